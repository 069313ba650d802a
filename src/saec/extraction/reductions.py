"""Reduces pooled features of an extraction, by a map of their own or by one that is kept."""

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from saec.config import Config
from saec.data.kind import evenly
from saec.evaluation import EVALUATIONS
from saec.extraction.outputs import Outputs
from saec.extraction.sources import Source
from saec.faults import Fault, MissingFault, differences, listing
from saec.reduction import MAP, n_neighbors_used, possible_dims
from saec.reduction.kept import EUCLIDEAN, FIT_ROWS, Map, Metric, fitted_and_placed
from saec.registry import Strict, stated_in
from saec.samples import Samples
from saec.session import Count

LOG = logging.getLogger(__name__)
N_SCORED = 1_000  # rows with labels that are clustered for the log
OF_NUMBERS = ("latents", "precision", "backend")  # settings by which features differ in the last digits alone


class Reduction(Strict):
    """Says to how many dimensions pooled features are reduced, and how; or `like` which other features.

    Of more rows than `fit_rows` so many are fitted, and the others placed among them.
    """

    dims: Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 4, 8, 16)
    n_neighbors: Annotated[int, Field(ge=2)] = 10
    seed: Annotated[int, Field(ge=0)] = 0
    # sessions stay as they were
    metric: Metric = Field(default=EUCLIDEAN, exclude_if=lambda metric: metric == EUCLIDEAN)
    fit_rows: int = Field(default=FIT_ROWS, ge=100, exclude_if=lambda n: n == FIT_ROWS)
    like: str | None = Field(default=None, min_length=1, exclude_if=lambda path: path is None)
    # of the map that is kept
    sha256: str | None = Field(default=None, exclude_if=lambda digest: digest is None)

    @model_validator(mode="after")
    def _has_both(self) -> "Reduction":
        if self.sha256 and not self.like:
            raise ValueError("`sha256` is of the map of the features that `like` names: name these, too")
        return self


@dataclass(frozen=True)
class Reduced:
    """Holds the number of neighbours used, reductions by dimension, and the map that was fitted for them."""

    n_neighbors: int | None = None
    by_dim: dict[int, np.ndarray] = field(default_factory=dict)
    map: Map | None = None


def reduce_features(
    pooled: np.ndarray | None, wanted: Reduction | None, what: str, config: Config
) -> Reduced:
    """Returns reductions to the dimensions that so many rows allow, or to those of a kept map."""
    if wanted is None or pooled is None:
        return Reduced()
    if wanted.like and wanted.sha256:
        kept = Map.read(kept_file(_outputs_of(wanted.like, config)), wanted.sha256)
        placed = kept.place(pooled)
        return Reduced(kept.n_neighbors, {d: placed[d] for d in dict.fromkeys([MAP, *wanted.dims])})
    n_fitted = min(len(pooled), wanted.fit_rows)
    dims = possible_dims(tuple(dict.fromkeys([MAP, *wanted.dims])), n_fitted)
    left_out = sorted(set(wanted.dims) - set(dims))
    if left_out:
        words = "%d %s are too few for %s dimensions: d dimensions need max(4, d + 2)"
        LOG.warning(words, n_fitted, what, ", ".join(map(str, left_out)))
    if not dims:
        return Reduced()
    used = n_neighbors_used(wanted.n_neighbors, n_fitted)
    if used < wanted.n_neighbors:
        LOG.warning("%d %s have %d neighbours, not %d", n_fitted, what, used, wanted.n_neighbors)
    options = wanted.seed, wanted.metric, wanted.fit_rows
    fitted, positions = fitted_and_placed(pooled, dims, used, *options)
    return Reduced(used, positions, fitted)


def kept_file(outputs: Outputs) -> Path:
    """Returns the path of the map that is kept beside `<id>.json`."""
    return outputs.local(outputs.npz("map"))


def on_kept_map(like: str, wanted: Reduction, source: Source, out: Outputs, config: Config) -> Reduction:
    """Returns the reduction with the path of the features that it names, and the numbers of their map.

    Raises:
        Fault: there is no such map, it was altered, or it is of other features or dimensions.
    """
    beside = replace(out, id=like)
    kept = beside if beside.about.is_file() else _outputs_of(like, config)
    about, file = kept.read_about(), kept.address
    if not about:
        words = f"no such features: {like} (the id of some in {out.where}, or the path of an <id>.json)"
        raise MissingFault(words)
    try:
        before = Reduction(**(about["session"].get("reduction") or {}))
        sha256 = wanted.sha256 or before.sha256 or ("map" in about["roles"] and about["sha256"]["map"])
        if before.like:  # the map that those features are on
            first = wanted.model_copy(update={"sha256": sha256})
            return on_kept_map(before.like, first, source, out, config)
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise Fault(f"{file} is damaged ({' '.join(str(error).split())}): remove it, extract anew") from error
    if not sha256 or "map" not in about["roles"]:
        raise Fault(f"{file} keeps no map: extract those features once more with `overwrite: true`")
    fitted = Map.read(kept_file(kept), str(sha256))
    _require_same_features(source, about, fitted, file)
    if MAP not in fitted.layouts:
        raise Fault(f"the map of {file} has no layout of {MAP} dimensions: extract those features once more")
    dims = tuple(d for d in before.dims if d in fitted.layouts) or (MAP,)  # few rows do not allow all
    own = before.model_copy(update={"dims": dims})
    return Reduction(**_numbers(wanted, own, file), like=file, sha256=sha256)


def _outputs_of(about: str, config: Config) -> Outputs:
    """Returns the outputs that an `<id>.json` describes."""
    folder, name = os.path.split(about)
    return Outputs.at(folder or ".", config, name.removesuffix(".json"))


def _require_same_features(source: Source, about: dict[str, Any], fitted: Map, file: str) -> None:
    """Raises a `Fault` where the map is of features that were made otherwise."""
    now = source.settings | {"fit": source.data.fit}
    different = differences(about["settings"], {key: now[key] for key in now if key not in OF_NUMBERS})
    n_before, n_now = len(fitted.mean), source.shapes["pooled"][0][0]
    different += [f"features: there {n_before:,}, here {n_now:,}"] if n_before != n_now else []
    if different:
        raise Fault(f"the map of {file} is of features that were made otherwise:\n{listing(different)}")


def _numbers(wanted: Reduction, own: Reduction, file: str) -> dict[str, Any]:
    """Returns the map's own numbers, with those of its dimensions that are wanted; refuses others."""
    stated = stated_in(wanted, Reduction, ("dims", "n_neighbors", "seed"))
    foreign = {*wanted.dims} - {MAP, *own.dims} if "dims" in stated else ()
    if foreign:
        there = ", ".join(map(str, own.dims))
        raise Fault(f"the map of {file} has {there} dimensions, got {', '.join(map(str, sorted(foreign)))}")
    for key in stated & {"n_neighbors", "seed", "metric", "fit_rows"}:
        if getattr(wanted, key) != getattr(own, key):
            words = f"the map of {file} has {key} {getattr(own, key)}, got {getattr(wanted, key)}"
            raise Fault(f"{words}: leave it out, the map is not made anew")
    return own.model_dump() | ({"dims": wanted.dims} if "dims" in stated else {})


def log_clusters(samples: Samples, pooled: np.ndarray, map_2d: np.ndarray | None) -> None:
    """Says how well clusters agree with labels, where some are there."""
    if len(samples.classes) < 2:
        return
    rows = np.array(evenly(np.flatnonzero(samples.labels != ""), N_SCORED))
    clustered = {"kmeans": ("pooled features, k-means", pooled)}
    if map_2d is not None:
        clustered["hdbscan"] = ("2-D map, HDBSCAN", map_2d)
    for name, (what, numbers) in clustered.items():
        score = EVALUATIONS.parse({"name": name, "sweep": (), "resamples": 0})  # clusters once, as they come
        scores = score(numbers[rows], samples.labels[rows], samples.groups[rows]).scores
        words = "clusters against %d labels, %s: V-measure %.2f, adjusted Rand %.2f"
        LOG.info(words, len(samples.classes), what, scores["v_measure"], scores["adjusted_rand"])
