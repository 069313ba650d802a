"""Clusters that know nothing of labels (nor of groups): how they agree with labels, how firm they are."""

import warnings
from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt
from sklearn.cluster import DBSCAN, HDBSCAN, AffinityPropagation, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler

from saec.data.decoding import evenly
from saec.evaluation.agreement import agreement, internal
from saec.evaluation.base import EVALUATIONS, Scores, has_label
from saec.registry import Strict

LEAST = 5  # rows; fewer are clustered as they are


class Umap(Strict):
    """Rows are reduced before they are clustered, by umap-learn."""

    dims: PositiveInt = 2
    n_neighbors: Annotated[int, Field(ge=2)] = 10
    min_dist: Annotated[float, Field(ge=0)] = 0.1
    scale: bool = True


def umapped(rows: np.ndarray, asked: Umap | None, seed: int) -> np.ndarray:
    if asked is None or len(rows) < LEAST:
        return rows
    from umap import UMAP  # seconds to import

    scaled = StandardScaler().fit_transform(rows.astype(np.float64)) if asked.scale else rows
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # few rows: another start, one thread because of the seed
        return UMAP(
            n_components=max(1, min(asked.dims, len(rows) - 3)),
            n_neighbors=max(2, min(asked.n_neighbors, len(rows) - 1)),
            min_dist=asked.min_dist,
            random_state=seed,
            n_jobs=1,
        ).fit_transform(scaled)


SUBSAMPLE = 0.8  # of the rows, for the stability of clusters
Share = Annotated[float, Field(gt=0)]
Clustering = Callable[[np.ndarray, float], tuple[np.ndarray, list[str]]]  # rows, value -> clusters, remarks


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
    """k-means on standardised rows; as many clusters as there are labels where no number is said."""

    def clusters(some: np.ndarray, n: float) -> tuple[np.ndarray, list[str]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # rows that are alike make fewer clusters
            means = KMeans(min(int(n), len(some)), n_init=n_init, random_state=seed)
            return means.fit_predict(some), []

    n = n_clusters or max(2, len(np.unique(labels[has_label(labels)])))
    scaled = StandardScaler().fit_transform(umapped(rows, umap, seed).astype(np.float64))
    swept = [value for value in sweep if value < len(rows)]
    return _found(scaled, labels, clusters, ("n_clusters", n), swept, resamples, seed)


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
    """HDBSCAN; agreement takes its noise as one more cluster."""

    def clusters(some: np.ndarray, size: float) -> tuple[np.ndarray, list[str]]:
        least = max(2, min(int(size), len(some)))
        return HDBSCAN(min_cluster_size=least, copy=True).fit_predict(some), []

    space = umapped(rows, umap, seed).astype(np.float64)
    return _found(space, labels, clusters, ("min_cluster_size", min_cluster_size), sweep, resamples, seed)


@EVALUATIONS.register("dbscan")
def dbscan(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray | None = None,
    *,
    eps: Share = 0.2,
    min_samples: PositiveInt = 10,
    umap: Umap | None = None,
    sweep: tuple[Share, ...] = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    resamples: NonNegativeInt = 5,
    seed: int = 0,
) -> Scores:
    """DBSCAN on standardised rows."""

    def clusters(some: np.ndarray, radius: float) -> tuple[np.ndarray, list[str]]:
        return DBSCAN(eps=radius, min_samples=min_samples).fit_predict(some), []

    scaled = StandardScaler().fit_transform(umapped(rows, umap, seed).astype(np.float64))
    return _found(scaled, labels, clusters, ("eps", eps), sweep, resamples, seed)


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
    """Affinity propagation on UMAP rows (50 neighbours, 10 dimensions, min_dist 0), preference the median.

    Above `limit` rows, which it compares all with all, so many of them are taken, evenly spread. `sweep` has
    quantiles of the similarities, taken as preference in place of the median.
    """

    def clusters(some: np.ndarray, quantile: float) -> tuple[np.ndarray, list[str]]:
        model = AffinityPropagation(
            damping=damping, max_iter=max_iter, preference=_preference(some, quantile), random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said in a remark
            found = model.fit_predict(some)
        over = model.n_iter_ >= max_iter
        return found, [f"affinity propagation did not converge in {max_iter} iterations"] if over else []

    chosen = np.array(evenly(range(len(rows)), limit))
    space = umapped(rows[chosen], umap, seed).astype(np.float64)
    found = _found(space, labels[chosen], clusters, ("preference", 0.5), sweep, resamples, seed)
    found.scores["converged"] = float(not found.remarks)
    if len(chosen) == len(rows):
        return found
    answers = np.full(len(rows), "", dtype=found.predicted.dtype)
    answers[chosen] = found.predicted
    remark = f"affinity propagation on {limit:,} of {len(rows):,} rows, evenly spread"
    return Scores(found.scores, sweep=found.sweep, predicted=answers, remarks=[*found.remarks, remark])


def _found(
    space: np.ndarray,
    labels: np.ndarray,
    clusters: Clustering,
    parameter: tuple[str, float],
    sweep: tuple[float, ...] | list[float],
    resamples: int,
    seed: int,
) -> Scores:
    """Clusters at the parameter's value, their scores and firmness, and scores at the values to sweep."""
    name, value = parameter
    found, remarks = clusters(space, value)
    plain = _scores(space, labels, found, seed)
    scores = dict(plain)
    if resamples and scores["n_clusters"] > 1:
        scores["stability"] = _stability(space, found, clusters, value, resamples, seed)
    swept = [
        {"parameter": name, "value": one}
        | (plain if one == value else _scores(space, labels, clusters(space, one)[0], seed))
        for one in sweep
    ]
    return Scores(scores, sweep=swept, predicted=found.astype(str), remarks=remarks)


def _scores(space: np.ndarray, labels: np.ndarray, found: np.ndarray, seed: int) -> dict[str, float]:
    """Agreement is of the rows whose label is known."""
    told = has_label(labels)
    agreed = agreement(labels[told], found[told]) if len(np.unique(labels[told])) > 1 else {}
    return agreed | internal(space, found, seed)


def _stability(
    space: np.ndarray, found: np.ndarray, clusters: Clustering, value: float, n: int, seed: int
) -> float:
    """Mean adjusted Rand index between these clusters and those of n subsamples (Hennig 2007's idea)."""
    rng = np.random.default_rng(seed)
    size = max(2, int(SUBSAMPLE * len(space)))
    draws = [np.sort(rng.choice(len(space), size, replace=False)) for _ in range(n)]
    again = [adjusted_rand_score(found[draw], clusters(space[draw], value)[0]) for draw in draws]
    return float(np.mean(again))


def _preference(space: np.ndarray, quantile: float) -> float:
    """A quantile of the similarities, which are negative squared distances."""
    return -float(np.quantile(euclidean_distances(space, squared=True), 1 - quantile))
