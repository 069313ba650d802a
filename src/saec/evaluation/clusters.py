"""How well clusters that know nothing of labels (nor of groups) agree with the labels."""

from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, v_measure_score
from sklearn.preprocessing import StandardScaler

from saec.evaluation.base import EVALUATIONS


@EVALUATIONS.register("kmeans")
def kmeans(
    rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0, n_init: int = 10
) -> dict[str, float]:
    """k-means on standardised rows with as many clusters as there are labels: V-measure and adjusted Rand."""
    scaled = StandardScaler().fit_transform(rows.astype(np.float64))
    n_clusters = min(len(np.unique(labels)), len(rows))
    found = KMeans(n_clusters, n_init=n_init, random_state=seed).fit_predict(scaled)
    return _agreement(labels, found)


@EVALUATIONS.register("hdbscan")
def hdbscan(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    min_cluster_size: Annotated[int, Field(ge=2)] = 10,
) -> dict[str, float]:
    """HDBSCAN, its noise taken as one cluster: V-measure, adjusted Rand, share of noise, clusters found."""
    size = max(2, min(min_cluster_size, len(rows)))
    found = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(rows.astype(np.float64))
    n_clusters = len(set(found.tolist()) - {-1})
    return _agreement(labels, found) | {"noise": float(np.mean(found == -1)), "n_clusters": float(n_clusters)}


def _agreement(labels: np.ndarray, found: np.ndarray) -> dict[str, float]:
    return {
        "v_measure": float(v_measure_score(labels, found)),
        "adjusted_rand": float(adjusted_rand_score(labels, found)),
    }
