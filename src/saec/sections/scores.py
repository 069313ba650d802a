"""Scores the features of every method of every set by every evaluation."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator
from torch.nn import functional as F

from saec import evaluation
from saec.config import Config
from saec.data import Cache, chunks
from saec.data.batch import Dataset
from saec.data.images import Images
from saec.data.photos import Photos
from saec.data.png import SUFFIXES as PNG
from saec.documents import read_cached, write_cached
from saec.evaluation import EVALUATIONS
from saec.evaluation.base import Scores
from saec.evaluation.probes import CLASSIFIERS
from saec.extraction.data import ExtractionData
from saec.extraction.sources.base import build_source, for_samples, recipe_of
from saec.faults import Fault, listing
from saec.files import fingerprint, sha256_of
from saec.progress import progress
from saec.registry import Component, as_list
from saec.samples import means_per_recording, recording_of
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.findings import Doubt, doubts_in
from saec.sections.score_tables import show_all_sets, show_set
from saec.sections.sets import PIXELS, FeatureSet, Result, about_of, require_probes
from saec.tables import Table

LOG = logging.getLogger(__name__)
CLUSTERS = ("kmeans", {"name": "hdbscan", "umap": {}})  # evaluations that need no label
MADE_BY = ("saec", "scikit-learn", "umap-learn", "numpy", "scipy")  # what remembered scores depend on
CPU = torch.device("cpu")
AT_ONCE, SIDE = 64, 32  # pictures, pixels
MOST_FOR_SVM = 5_000  # labels that an SVM is fitted on unless it is named: its time grows with their square
Evaluations = Annotated[tuple[Annotated[Component, EVALUATIONS], ...] | None, BeforeValidator(as_list)]


@SECTIONS.register("scores")
class ScoredSets:
    """Scores what the session names; what was scored before is read from the cache."""

    position = 0

    def __init__(
        self,
        inputs: Inputs,
        *,
        evaluations: Evaluations = None,
        pixels: bool = True,
    ):
        self.sets, self.config = list(inputs.sets.values()), inputs.config
        self.named, self.pixels = evaluations is not None, pixels
        for one in self.sets:
            key = f"evaluations of {one.name}" if len(self.sets) > 1 else "evaluations"
            one.evaluations = inputs.check(key, choose_evaluations, evaluations, one) or []

    def describe(self) -> list[str]:
        lines = []
        for one in self.sets:
            names = ", ".join(component.name for component in one.evaluations)
            lines.append(f"{one.name}: {names or 'no evaluations'}")
            if one.split is not None:
                lines.append(f"{one.name}: probes by the split that the labels give")
        has_pixels = self.pixels and any(one.images or one.recordings for one in self.sets)
        return [*lines, "small pixels stand beside"] if has_pixels else lines

    def write(self, folder: Path) -> list[Content]:
        contents = []
        for one in self.sets:
            if self.pixels and (one.images or one.recordings) and PIXELS not in one.tables:
                _add_pixels(one, self.config)
            names = {component.name for component in one.evaluations}
            if not self.named and names & {*CLASSIFIERS} and "svm" not in names:
                one.remarks.append(
                    f"no svm: {one.n_labelled:,} labels take it long; name it in `evaluations` to have it"
                )
            one.results = score_set(one, self.config.cache)
            contents.append(Content(f"Set {one.name}", folder, one.remarks))
            show_set(one, contents[-1])
            prefix = f"{one.name}: " if len(self.sets) > 1 else ""
            contents[-1].doubts += [prefix + doubt for doubt in doubts_in(one.remarks)]
        results = [result for one in self.sets for result in one.results]
        if results:
            contents.insert(0, Content("Scores", folder))
            show_all_sets(results, self.sets, contents[0])
        if contents:
            counts = [f"{one.name}: {one.counts}" if len(self.sets) > 1 else one.counts for one in self.sets]
            contents[0].findings.insert(0, f"{'; '.join(counts)}.")
        return contents


def choose_evaluations(named: tuple[Component, ...] | None, one: FeatureSet) -> list[Component]:
    """Returns what the session names; without that all that the labels allow, and a remark why no more."""
    if named is not None:
        probes = [component for component in named if component.name in CLASSIFIERS]
        if probes:
            require_probes(one, any(component.keep_groups for component in probes))
        return list(named)
    clusters = [EVALUATIONS.parse(name) for name in CLUSTERS]
    if not one.samples.classes:
        return clusters
    try:
        require_probes(one)
    except Fault as fault:
        one.remarks.append(Doubt(f"no probes: {fault}"))
        LOG.warning("%s", one.remarks[-1])
        return clusters
    names = [name for name in CLASSIFIERS if name != "svm" or one.n_labelled <= MOST_FOR_SVM]
    return [*clusters, *map(EVALUATIONS.parse, names)]


def score_set(one: FeatureSet, cache: Path) -> list[Result]:
    """Scores in the order of methods, then of evaluations; the combination comes last, by probes alone."""
    together, names = one.combination, [component.name for component in one.evaluations]
    parts = {method: [method] for method in one.scored}
    parts |= {together.name: together.methods} if together else {}
    pairs = [
        (method, number)
        for method in parts
        for number, name in enumerate(names)
        if method in one.scored or name in CLASSIFIERS
    ]
    samples, results = one.samples, []
    for method, number in progress(pairs, f"scoring {one.name}", len(pairs), " evaluations"):
        component, name = one.evaluations[number], names[number]
        blocks = list(one.blocks(parts[method]).values())
        given: tuple[Any, ...] = (blocks[0], samples.labels, samples.groups, one.split)
        if together and method == together.name:
            component = component if component.pca else component.model_copy(update={"pca": together.pca})
            given = (np.hstack(blocks), *given[1:], tuple(rows.shape[1] for rows in blocks))
        scores = remembered(cache, (component.model_dump(mode="json"), *given), partial(component, *given))
        LOG.info("%s, %s, %s: %s", one.name, method, name, _headline(scores.scores))
        who = "probes" if name in CLASSIFIERS else f"{method}, {name}"
        remarks = [f"{who}: {remark}" for remark in scores.remarks]
        one.remarks += [remark for remark in remarks if remark not in one.remarks]
        before = names[:number].count(name)  # evaluations of one name are numbered from the second on
        called = f"{name} {before + 1}" if before else name
        results.append(Result(one.name, method, called, scores, samples.labels))
    return results


def _headline(scores: dict[str, float]) -> str:
    names = ("macro_f1", "v_measure", "n_clusters", "silhouette", "stability")
    return ", ".join(f"{name} {scores[name]:.3g}" for name in names if name in scores)


def remembered(folder: Path, given: tuple, score: Callable[[], Scores]) -> Scores:
    """Returns the scores of an earlier call with the same data, options and packages, else new ones, kept.

    `given` are plain values and arrays that the scores depend on.
    """
    plain = [_digest(part) if isinstance(part, np.ndarray) else part for part in given]
    key = fingerprint(plain, _code(), [version(package) for package in MADE_BY])
    file = folder / "evaluations" / f"{key}.json"
    content = read_cached(file) if file.is_file() else None
    if content:
        return Scores(**content | {"predicted": np.array(content["predicted"], dtype=str)})
    scores = score()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_cached(file, asdict(scores) | {"predicted": scores.predicted.tolist()})
    return scores


@cache
def _code() -> str:
    """Returns a digest of the evaluations themselves: scores of another version of them do not count."""
    return fingerprint(*map(sha256_of, sorted(Path(evaluation.__file__).parent.glob("*.py"))))


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() + str((array.shape, array.dtype))


def _add_pixels(one: FeatureSet, config: Config) -> None:
    """Adds small pictures, or spectra as a run sees them, as features that nothing was learnt for."""
    try:
        data = _opened(one.images, one.names, config) if one.images else _seen_by_run(one, config)
        per_sample = one.per == "sample"
        called = data.samples.names if per_sample else np.array(list(map(recording_of, data.samples.names)))
        left_out = sorted({*one.names.tolist()} - {*called.tolist()})
        if left_out:
            raise Fault(f"{len(left_out):,} {one.samples_are} are not there any more:\n{listing(left_out)}")
    except Fault as fault:
        LOG.warning("no pixels to compare with: %s", fault)
        one.remarks.append(f"no pixels to compare with: {fault}")
        return
    chosen = np.flatnonzero(np.isin(called, one.names))
    rows = small_pictures(data.subset(chosen))
    rows = rows if per_sample else means_per_recording(data.samples.names[chosen], rows)[1]
    varies = np.ptp(rows, axis=0) > 0
    file = one.images or next(iter(one.tables.values())).file
    one.pixels = {PIXELS: Table(file, rows[:, varies] if varies.any() else rows, one.samples)}


def _seen_by_run(one: FeatureSet, config: Config) -> Dataset:
    """Opens the samples of the first features that a run has made, with its front end; raises a `Fault` where
    there are none, or they have lengths of their own.
    """
    recipes = [recipe_of(about) for table in one.tables.values() if (about := about_of(table.file))]
    recipe = next((recipe for recipe in recipes if "run" in recipe), None)
    if recipe is None:
        raise Fault("none of these features are of a run, whose spectra they would be of")
    faults: list[str] = []
    of_data = ExtractionData.model_validate(recipe["data"])
    source = build_source(for_samples(recipe, of_data.location), of_data, config, faults)
    if source is None:
        raise Fault("; ".join(faults))
    if source.sizes.is_ragged:
        raise Fault(f"{source.kind.samples_are} have lengths of their own")
    return source.sized(source.kind.open())


def _opened(folder: Path, names: np.ndarray, config: Config) -> Dataset:
    """Opens all pictures of a folder: photographs small, others as intensity of their colour map, or RGB."""
    if not all(name.lower().endswith(PNG) for name in names.tolist()):
        return Photos(folder, Cache.of(config), size=(SIDE, SIDE), skip_bad=True).open()
    images = partial(Images, folder, Cache.of(config), recursive=any("/" in name for name in names))
    data = images(channels="rgb").open()
    return data if data.about["colormap"] == "none" else images().open()


def small_pictures(data: Dataset) -> np.ndarray:
    """Returns means over areas of each picture, (pictures, channels x SIDE x SIDE) float32."""
    pieces = (data.front(data.gather(rows, CPU)) for rows in chunks(np.arange(len(data)), AT_ONCE))
    return torch.cat([F.interpolate(piece, (SIDE, SIDE), mode="area").flatten(1) for piece in pieces]).numpy()
