"""Scores clusterings, which use neither labels nor groups, by agreement with labels and by stability."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt
from sklearn.base import ClusterMixin
from sklearn.cluster import DBSCAN, HDBSCAN, AffinityPropagation, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler

from saec.data.kind import evenly
from saec.evaluation.agreement import agreement, internal
from saec.evaluation.base import EVALUATIONS, Scores
from saec.registry import Strict

LEAST = 5  # rows; fewer are clustered without UMAP
SUBSAMPLE = 0.8  # of the rows, for the stability of clusters
Positive = Annotated[float, Field(gt=0)]
Build = Callable[[np.ndarray, float], ClusterMixin]  # from rows and the swept parameter to an estimator


class Umap(Strict):
    """Reduces rows by umap-learn before they are clustered."""

    dims: PositiveInt = 2
    n_neighbors: Annotated[int, Field(ge=2)] = 10
    min_dist: Annotated[float, Field(ge=0)] = 0.1
    scale: bool = True


REEF = Umap(dims=10, n_neighbors=50, min_dist=0.0, scale=False)


@EVALUATIONS.register("kmeans")
def kmeans(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray | None = None,
    *,
    n_clusters: PositiveInt | None = None,
    n_init: PositiveInt = 10,
    umap: Umap | None = None,
    sweep: tuple[PositiveInt, ...] = (2, 4, 8, 16, 32, 64),
    resamples: NonNegativeInt = 5,
    seed: int = 0,
) -> Scores:
    """Runs k-means on standardised rows, by default with as many clusters as there are labels."""

    def build(some: np.ndarray, n: float) -> KMeans:
        return KMeans(min(int(n), len(some)), n_init=n_init, random_state=seed)

    n = n_clusters or max(2, len(np.unique(labels[labels != ""])))
    space = StandardScaler().fit_transform(_reduced(rows, umap, seed))
    values = [value for value in sweep if value < len(rows)]
    return _score(space, labels, build, ("n_clusters", n), values, resamples, seed)


@EVALUATIONS.register("hdbscan")
def hdbscan(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray | None = None,
    *,
    min_cluster_size: Annotated[int, Field(ge=2)] = 10,
    umap: Umap | None = None,
    sweep: tuple[Annotated[int, Field(ge=2)], ...] = (5, 10, 20, 40, 80),
    resamples: NonNegativeInt = 5,
    seed: int = 0,
) -> Scores:
    """Runs HDBSCAN; agreement takes its noise as one more cluster."""

    def build(some: np.ndarray, size: float) -> HDBSCAN:
        return HDBSCAN(min_cluster_size=max(2, min(int(size), len(some))), copy=True)

    space = _reduced(rows, umap, seed)
    return _score(space, labels, build, ("min_cluster_size", min_cluster_size), sweep, resamples, seed)


@EVALUATIONS.register("dbscan")
def dbscan(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray | None = None,
    *,
    eps: Positive = 0.2,
    min_samples: PositiveInt = 10,
    umap: Umap | None = None,
    sweep: tuple[Positive, ...] = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    resamples: NonNegativeInt = 5,
    seed: int = 0,
) -> Scores:
    """Runs DBSCAN on standardised rows."""

    def build(some: np.ndarray, radius: float) -> DBSCAN:
        return DBSCAN(eps=radius, min_samples=min_samples)

    space = StandardScaler().fit_transform(_reduced(rows, umap, seed))
    return _score(space, labels, build, ("eps", eps), sweep, resamples, seed)


@EVALUATIONS.register("affinity")
def affinity(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray | None = None,
    *,
    damping: Annotated[float, Field(ge=0.5, lt=1)] = 0.9,
    max_iter: PositiveInt = 500,
    limit: PositiveInt = 3000,
    umap: Umap | None = REEF,
    sweep: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (),
    resamples: NonNegativeInt = 0,
    seed: int = 0,
) -> Scores:
    """Runs affinity propagation, with the median as preference, on UMAP rows.

    It compares all rows with all, so at most `limit` of them are taken, evenly spaced. `sweep` has quantiles
    of the similarities (negative squared distances), taken as preference in place of the median.
    """

    def build(some: np.ndarray, quantile: float) -> AffinityPropagation:
        preference = -float(np.quantile(euclidean_distances(some, squared=True), 1 - quantile))
        options = {"damping": damping, "max_iter": max_iter, "random_state": seed}
        return AffinityPropagation(**options, preference=preference)

    chosen = np.array(evenly(range(len(rows)), limit))
    space = _reduced(rows[chosen], umap, seed)
    scores = _score(space, labels[chosen], build, ("preference", 0.5), sweep, resamples, seed)
    if len(chosen) == len(rows):
        return scores
    predicted = np.full(len(rows), "", dtype=scores.predicted.dtype)
    predicted[chosen] = scores.predicted
    remark = f"affinity propagation on {limit:,} of {len(rows):,} rows, evenly spaced"
    return replace(scores, predicted=predicted, remarks=[*scores.remarks, remark])


def _reduced(rows: np.ndarray, umap: Umap | None, seed: int) -> np.ndarray:
    """Returns the rows (n, dims) that UMAP reduces them to, float64; as they are where none is wanted."""
    rows = rows.astype(np.float64)
    if umap is None or len(rows) < LEAST:
        return rows
    from umap import UMAP  # seconds to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few rows need another start, a seed needs one thread
        reduction = UMAP(
            n_components=max(1, min(umap.dims, len(rows) - 3)),
            n_neighbors=max(2, min(umap.n_neighbors, len(rows) - 1)),
            min_dist=umap.min_dist,
            random_state=seed,
            n_jobs=1,
        )
        reduced = reduction.fit_transform(StandardScaler().fit_transform(rows) if umap.scale else rows)
    return reduced.astype(np.float64)


def _score(
    space: np.ndarray,
    labels: np.ndarray,
    build: Build,
    parameter: tuple[str, float],
    sweep: Sequence[float],
    resamples: int,
    seed: int,
) -> Scores:
    """Scores the clusters at the parameter's value, with their stability, and at the values to sweep."""
    name, value = parameter
    model = _fit(build, space, value)
    plain = _score_once(space, labels, model, seed)
    scores, remarks = dict(plain), []
    if resamples and scores["n_clusters"] > 1:
        scores["stability"] = _stability(space, model, build, value, resamples, seed)
    if isinstance(model, AffinityPropagation):
        scores["converged"] = float(model.n_iter_ < model.max_iter)
        if not scores["converged"]:
            remarks.append(f"affinity propagation did not converge in {model.max_iter} iterations")
    rows = [
        {"parameter": name, "value": one}
        | (plain if one == value else _score_once(space, labels, _fit(build, space, one), seed))
        for one in sweep
    ]
    return Scores(scores, model.labels_.astype(str), sweep=rows, remarks=remarks)


def _fit(build: Build, space: np.ndarray, value: float) -> ClusterMixin:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal rows make fewer clusters
        return build(space, value).fit(space)


def _score_once(space: np.ndarray, labels: np.ndarray, model: ClusterMixin, seed: int) -> dict[str, float]:
    """Returns the internal scores, and the agreement with labels on the rows that have one."""
    clusters, kept = model.labels_, labels != ""
    agreed = agreement(labels[kept], clusters[kept]) if len(np.unique(labels[kept])) > 1 else {}
    return agreed | internal(space, clusters, seed)


def _stability(space: np.ndarray, model: ClusterMixin, build: Build, at: float, n: int, seed: int) -> float:
    """Returns the mean adjusted Rand index between these clusters and those of n subsamples (Hennig 2007)."""
    rng = np.random.default_rng(seed)
    size = max(2, int(SUBSAMPLE * len(space)))
    draws = [np.sort(rng.choice(len(space), size, replace=False)) for _ in range(n)]
    again = [_fit(build, space[draw], at).labels_ for draw in draws]
    pairs = zip(draws, again, strict=True)
    return float(np.mean([adjusted_rand_score(model.labels_[draw], labels) for draw, labels in pairs]))
