"""A run and a folder of pictures become latents, pooled features and reductions, as NPZ beside the folder."""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from saec.config import Config, load_config
from saec.data import Dataset
from saec.devices import placed
from saec.evaluation import EVALUATIONS
from saec.extraction.encoding import Encoder, Known, encoded
from saec.extraction.plan import ExtractionPlan, plan_extraction
from saec.faults import Fault
from saec.features import Features, n_trimmed
from saec.files import alone, map_npz, sweep, write_json, write_npz
from saec.gallery import show_folder
from saec.progress import progress
from saec.reduction import MAP, n_neighbors_used, possible, reduced
from saec.session import ExtractionSession, Reduction, load_session

LOG = logging.getLogger(__name__)


def extract(session: ExtractionSession | dict | Path | str, config: Config | None = None) -> Features:
    """Extracts as the session says and returns the latents, with the files that are there now.

    Raises:
        Fault: the session, the run, the pictures or this machine cannot do it.
    """
    plan = plan_extraction(load_session(session, ExtractionSession), config or load_config())
    outputs = plan.outputs
    if plan.state == "same":
        LOG.info("%s: nothing to do, the files are there", outputs.id)
    else:
        LOG.info("%s", str(plan))  # once, not by each handler: it measures
        outputs.folder.mkdir(parents=True, exist_ok=True)
        with alone(outputs.lock, outputs.id):
            if outputs.state(plan.settings, plan.pictures, plan.session.overwrite) != plan.state:
                raise Fault(f"another process has just made features {outputs.id}: call again")
            _work(plan)
    names = outputs.read_about()["files"]
    latents = Features.load(outputs.latents)
    return Features(latents.X, latents.N, (*(outputs.folder / name for name in names), outputs.about))


def _work(plan: ExtractionPlan) -> None:
    """Encodes into the part folder, then puts the files in place, `<id>.json` last."""
    outputs, session = plan.outputs, plan.session
    sweep(outputs.folder, f"_{outputs.id}.*")
    model = placed(plan.model, plan.device, plan.precision)
    data = plan.kind.open().fitted(model.height, model.time_pool)
    _warn_of_other_colours(plan, data)
    encoder = Encoder(model, data, session.pooling, plan.device, plan.precision)
    _warn_if_not_trimmed(encoder.n_steps, session)
    before = outputs.present()
    latents = np.dtype(session.latents).type
    shards = encoded(encoder, outputs.part, plan.key(data), latents, _known(plan, data))
    pooled = np.array(shards.arrays["pooled"])
    used, reductions = _reductions(pooled, session.reduction)
    if plan.state == "new":  # nothing made otherwise may stay beside the new files, even after a kill
        outputs.about.unlink(missing_ok=True)
        outputs.remove(before)
    files = _put(plan, {"X": shards.arrays["X"]}, pooled, reductions, data.names)
    outputs.figure.unlink(missing_ok=True)
    if session.reconstructions and model.decoder is not None:
        show_folder(model, data, session.reconstructions, plan.device, plan.precision, outputs.figure)
    write_json(outputs.about, _facts(plan, data, used, files))
    outputs.remove(before - {file.name for file in files})
    shards.remove()
    _say(plan, data, pooled, reductions)


def _known(plan: ExtractionPlan, data: Dataset) -> dict[str, Known]:
    """Rows of pictures that have not changed, from the files that are there."""
    if plan.state != "pictures changed":
        return {}
    now = {tuple(picture) for picture in plan.pictures}
    before = plan.outputs.read_about()["pictures"]
    same = {name for name, *stamp in before if (name, *stamp) in now}
    files = {"X": plan.outputs.latents, "pooled": plan.outputs.pooled(plan.session.pooling.name)}
    known = {}
    for array, file in files.items():
        there = {name: row for row, name in enumerate(map_npz(file, "N")) if name in same}
        pairs = [(row, there[name]) for row, name in enumerate(data.names) if name in there]
        known[array] = Known(np.array(pairs, dtype=np.int64).reshape(-1, 2), map_npz(file, "X"))
    LOG.info("%d of %d pictures are as they were, only the rest is encoded", len(known["X"].pairs), len(data))
    return known


def _reductions(pooled: np.ndarray, asked: Reduction | None) -> tuple[int | None, dict[int, np.ndarray]]:
    """Reductions by dimension, those that so many rows allow, and the number of neighbours used."""
    if asked is None:
        return None, {}
    dims = possible(tuple(dict.fromkeys([MAP, *asked.dims])), len(pooled))
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
    return used, reduced(pooled, dims, used, asked.seed)


def _put(
    plan: ExtractionPlan,
    latents: dict[str, np.ndarray],
    pooled: np.ndarray,
    reductions: dict[int, np.ndarray],
    names: np.ndarray,
) -> list[Path]:
    """Writes the NPZ files, each whole or not at all, and names them."""
    outputs, session = plan.outputs, plan.session
    content = {outputs.latents: latents, outputs.pooled(session.pooling.name): {"X": pooled}}
    for d in session.reduction.dims if session.reduction else ():
        if d in reductions:
            file = outputs.reduced(d, session.reduction.n_neighbors)
            content[file] = {"X_red": reductions[d], "X_2D": reductions[MAP]}
    for file, arrays in progress(content.items(), "writing", len(content), " files"):
        write_npz(file, **arrays, N=names)
    return list(content)


def _facts(plan: ExtractionPlan, data: Dataset, n_neighbors: int | None, files: list[Path]) -> dict[str, Any]:
    return {
        "id": plan.outputs.id,
        "settings": plan.settings,
        "session": plan.session.model_dump(mode="json"),
        "model": str(plan.source.folder),
        "n_neighbors_used": n_neighbors,
        "n_pictures": len(data),
        "left_out": data.about["left_out"],
        "fingerprint": data.fingerprint,
        "versions": {name: version(name) for name in ("saec", "torch", "numpy", "umap-learn")},
        "files": [file.name for file in files],
        "pictures": plan.pictures,
    }


def _warn_of_other_colours(plan: ExtractionPlan, data: Dataset) -> None:
    """Colours mean nothing to a model that was trained on others; intensity is the same in every map."""
    trained, here = plan.source.colormap, data.about["colormap"]
    if plan.source.channels == 3 and trained not in (None, here):
        LOG.warning("the model was trained on colour map %s, these pictures have %s", trained, here)


def _warn_if_not_trimmed(n_steps: int, session: ExtractionSession) -> None:
    trim = session.pooling.trim
    if trim and n_trimmed(n_steps, trim) == 0:
        LOG.warning(
            "latents have %d time steps, too few to trim %g of each side: all are kept", n_steps, trim
        )


def _say(plan: ExtractionPlan, data: Dataset, pooled: np.ndarray, reductions: dict[int, np.ndarray]) -> None:
    """What came out, and where labels are known, how well clusters agree with them."""
    LOG.info(
        "%s: %d pictures by the weights of %s (%s), pooled features %d, reductions to %s",
        plan.outputs.id,
        len(data),
        plan.source.folder.name,
        plan.settings["weights"],
        pooled.shape[1],
        ", ".join(map(str, reductions)) or "none",
    )
    known = data.labels != ""
    if len(np.unique(data.labels[known])) < 2:
        return
    found = {"pooled features, k-means": EVALUATIONS.parse("kmeans")(pooled[known], data.labels[known])}
    if MAP in reductions:
        rows = reductions[MAP][known]
        found["2-D map, HDBSCAN"] = EVALUATIONS.parse("hdbscan")(rows, data.labels[known])
    for what, scores in found.items():
        LOG.info(
            "clusters against %d labels, %s: V-measure %.2f, adjusted Rand %.2f",
            len(np.unique(data.labels[known])),
            what,
            scores["v_measure"],
            scores["adjusted_rand"],
        )
