"""A run and samples become latents, pooled features and reductions, as NPZ beside what they are of."""

import logging
import shutil
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from saec.data import Dataset
from saec.data.decoding import NotInMap
from saec.devices import to_device
from saec.evaluation import EVALUATIONS
from saec.export import OnnxEncoder
from saec.extraction.crafted import CraftedEncoder
from saec.extraction.encoding import Encoder, Encodes, Shards, encoded, known_rows
from saec.extraction.plan import ExtractionPlan
from saec.extraction.predictions import write_predictions
from saec.faults import Fault
from saec.features import Features, n_trimmed
from saec.files import locked, remove_leftovers, write_json, write_npz
from saec.gallery import show_folder
from saec.models import Model
from saec.models.base import fold_batch_norms
from saec.progress import progress
from saec.reduction import MAP, n_neighbors_used, possible_dims, reduce_dims
from saec.session import Reduction

PLAIN = {"sweep": (), "resamples": 0}  # clusters once, as they come


def warn_of_other_colours(plan: ExtractionPlan, data: Dataset) -> None:
    """Colours mean nothing to a model that was trained on others; intensity is the same in every map."""
    trained, here = plan.source.colormap, data.about.get("colormap")
    if plan.source.channels == 3 and trained not in (None, here):
        LOG.warning("the model was trained on colour map %s, these pictures have %s", trained, here)


def warn_if_not_trimmed(n_steps: int, plan: ExtractionPlan) -> None:
    trim = plan.session.pooling.trim
    is_vector = n_steps == 1 and plan.model.width is not None
    if trim and not is_vector and n_trimmed(n_steps, trim) == 0:
        LOG.warning(
            "latents have %d time steps, too few to trim %g of each side: all are kept", n_steps, trim
        )


def say_result(
    plan: ExtractionPlan, data: Dataset, pooled: np.ndarray, reductions: dict[int, np.ndarray]
) -> None:
    """What came out, and where labels are known, how well clusters agree with them."""
    by = f"by the weights of {plan.source.folder.name} ({plan.settings['weights']}), pooled"
    LOG.info(
        "%s: %d %s %s features %d, reductions to %s",
        plan.outputs.id,
        len(data),
        data.what,
        by if plan.model else "without a model,",
        pooled.shape[1],
        ", ".join(map(str, reductions)) or "none",
    )
    known = np.flatnonzero(data.labels != "")
    labels, groups = data.labels[known], data.groups[known]
    if len(np.unique(labels)) < 2:
        return
    kmeans, hdbscan = (EVALUATIONS.parse({"name": name} | PLAIN) for name in ("kmeans", "hdbscan"))
    found = {"pooled features, k-means": kmeans(pooled[known], labels, groups)}
    if MAP in reductions:
        found["2-D map, HDBSCAN"] = hdbscan(reductions[MAP][known], labels, groups)
    for what, clusters in found.items():
        LOG.info(
            "clusters against %d labels, %s: V-measure %.2f, adjusted Rand %.2f",
            len(np.unique(labels)),
            what,
            clusters.scores["v_measure"],
            clusters.scores["adjusted_rand"],
        )


LOG = logging.getLogger(__name__)


class FeaturesJob(ExtractionPlan):
    """A checked session that can be run."""

    def run(self) -> Features:
        return extract_features(self)


def extract_features(plan: ExtractionPlan) -> Features:
    """Extracts as planned and returns the latents (or hand-crafted features), with all files.

    Raises:
        Fault: the samples or this machine cannot do it.
    """
    outputs = plan.outputs
    if plan.state == "same":
        LOG.info("%s: nothing to do, the files are there", outputs.id)
    else:
        LOG.info("%s", plan.describe())
        outputs.folder.mkdir(parents=True, exist_ok=True)
        with locked(outputs.lock, outputs.id):
            if outputs.state(plan.settings, plan.kind.files, plan.session.overwrite) != plan.state:
                raise Fault(f"another process has just made features {outputs.id}: call again")
            _work(plan)
    names = outputs.read_about()["files"]
    latents = Features.load(next(iter(plan.files_of_rows.values())))
    return Features(latents.X, latents.N, (*(outputs.folder / name for name in names), outputs.about))


def _work(plan: ExtractionPlan) -> None:
    """Encodes into the part folder, then puts the files in place, `<id>.json` last."""
    remove_leftovers(plan.outputs.folder, f"_{plan.outputs.id}.*")
    model = _quickened(plan) if plan.model else None
    try:
        with closing(plan.kind.open(early=True)) as data:
            _make(plan, model, data)
    except NotInMap as odd:
        LOG.info("%s is in no colour map with the others: all are decoded and encoded as RGB", odd)
        _make(plan, model, plan.kind.open())


def _quickened(plan: ExtractionPlan) -> Model:
    """The model as it encodes fastest: batch norms folded, on the device, by the backend that is asked."""
    fold_batch_norms(plan.model.encoder)
    model = to_device(plan.model, plan.device, plan.precision)
    if plan.session.backend == "onnx":
        model.encoder = OnnxEncoder(model, plan.survey.front.shape)
    return model


def _make(plan: ExtractionPlan, model: Model | None, data: Dataset) -> None:
    outputs, session = plan.outputs, plan.session
    data = data.fitted(*model.takes) if model else data
    shards = _shards(plan, model, data)
    used, reductions = _reductions(shards.arrays["pooled"], session.reduction)
    before = outputs.present()
    if plan.state == "new":  # nothing made otherwise may stay beside the new files, even after a kill
        outputs.about.unlink(missing_ok=True)
        outputs.remove(before)
    files = _put(plan, shards, reductions, data)
    outputs.figure.unlink(missing_ok=True)
    if session.reconstructions and model and model.decoder is not None:
        show_folder(model, data, session.reconstructions, plan.device, plan.precision, outputs.figure)
    write_json(outputs.about, _facts(plan, data, used, files))
    outputs.remove(before - {file.name for file in files})
    say_result(plan, data, shards.arrays["pooled"], reductions)
    shards.remove()


def _encoder(plan: ExtractionPlan, model: Model | None, data: Dataset) -> Encodes:
    if model is None:
        return CraftedEncoder(plan.source, data)
    objective = plan.objective and plan.objective.to(plan.device)
    how = (plan.session.pooling, plan.device, plan.precision, objective, plan.n_kept)
    encoder = Encoder(model, data, *how)
    warn_of_other_colours(plan, data)
    warn_if_not_trimmed(encoder.n_steps, plan)
    return encoder


def _shards(plan: ExtractionPlan, model: Model | None, data: Dataset) -> Shards:
    """All rows, of samples that are all found good; where some are not, the others are of no use later."""
    encoder = _encoder(plan, model, data)
    latents = np.dtype(plan.session.latents).type
    try:
        shards = encoded(encoder, plan.outputs.part, plan.key(data), latents, known_rows(plan, data))
        data.settle()
    except (Fault, NotInMap):
        shutil.rmtree(plan.outputs.part, ignore_errors=True)
        raise
    return shards


def _reductions(pooled: np.ndarray, asked: Reduction | None) -> tuple[int | None, dict[int, np.ndarray]]:
    """The number of neighbours used, and reductions by dimension: those that so many rows allow."""
    if asked is None:
        return None, {}
    dims = possible_dims(tuple(dict.fromkeys([MAP, *asked.dims])), len(pooled))
    left_out = sorted(set(asked.dims) - set(dims))
    if left_out:
        LOG.warning(
            "%d pictures are too few for %s dimensions: d dimensions need max(4, d + 2) pictures",
            len(pooled),
            ", ".join(map(str, left_out)),
        )
    if not dims:
        return None, {}
    used = n_neighbors_used(asked.n_neighbors, len(pooled))
    if used < asked.n_neighbors:
        LOG.warning("%d pictures have %d neighbours, not %d", len(pooled), used, asked.n_neighbors)
    return used, reduce_dims(pooled, dims, used, asked.seed)


def _put(
    plan: ExtractionPlan, shards: Shards, reductions: dict[int, np.ndarray], data: Dataset
) -> list[Path]:
    """Writes the files, each whole or not at all, and names them."""
    outputs, session = plan.outputs, plan.session
    content = {file: {"X": shards.arrays[name]} for name, file in plan.files_of_rows.items()}
    for d in session.reduction.dims if session.reduction else ():
        if d in reductions:
            file = outputs.reduced(d, session.reduction.n_neighbors)
            content[file] = {"X_red": reductions[d], "X_2D": reductions[MAP]}
    for file, arrays in progress(content.items(), "writing", len(content), " files"):
        write_npz(file, **arrays, N=data.names)
    if "probabilities" not in shards.arrays:
        return list(content)
    answers = (shards.arrays["probabilities"], plan.objective.classes)
    return [*content, *write_predictions(outputs, data, *answers)]


def _facts(plan: ExtractionPlan, data: Dataset, n_neighbors: int | None, files: list[Path]) -> dict[str, Any]:
    return {
        "id": plan.outputs.id,
        "settings": plan.settings,
        "session": plan.session.model_dump(mode="json"),
        "model": str(plan.source.folder),
        "n_neighbors_used": n_neighbors,
        "n_pictures": len(data),
        "left_out": data.about["left_out"],
        "classes": list(plan.objective.classes) if plan.objective else [],
        "fingerprint": data.fingerprint,
        "versions": {name: version(name) for name in ("saec", "torch", "numpy", "umap-learn")},
        "files": [file.name for file in files],
        "pictures": plan.kind.files,
    }
