"""Scores of clusters: against labels where there are some, and by themselves where there are none."""

import numpy as np
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association, crosstab
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_completeness_v_measure,
    silhouette_score,
)

NOISE = -1
N_SILHOUETTE = 5_000  # rows that a silhouette is taken of: it compares all with all


def agreement(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """How clusters agree with labels; noise counts as one more cluster.

    The V-measure is the normalised mutual information (arithmetic mean). Chi-square grows with the number of
    rows and of clusters, so that only Cramer's V compares between methods.
    """
    homogeneity, completeness, v_measure = homogeneity_completeness_v_measure(labels, clusters)
    return {
        "v_measure": float(v_measure),
        "adjusted_rand": float(adjusted_rand_score(labels, clusters)),
        "adjusted_mutual_info": float(adjusted_mutual_info_score(labels, clusters)),
        "homogeneity": float(homogeneity),
        "completeness": float(completeness),
        **_crossed(labels, clusters),
    }


def internal(rows: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, float]:
    """What can be said without labels: number of clusters, share of noise, largest share, silhouette."""
    numbers, counts = np.unique(clusters[clusters != NOISE], return_counts=True)
    scores = {
        "n_clusters": float(len(numbers)),
        "noise": float(np.mean(clusters == NOISE)),
        "largest": float(counts.max() / len(clusters)) if len(counts) else 0.0,
    }
    silhouette = _silhouette(rows, clusters, seed)
    return scores if silhouette is None else scores | {"silhouette": silhouette}


def purity(labels: np.ndarray) -> tuple[str, float] | None:
    """The commonest label of a cluster's rows and its share of those that have one; None where none has."""
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    return (str(names[counts.argmax()]), float(counts.max() / counts.sum())) if len(names) else None


def _crossed(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    table = crosstab(labels, clusters).count
    if min(table.shape) < 2:
        return {"cramers_v": 0.0, "chi2": 0.0, "p_value": 1.0}
    test = chi2_contingency(table)
    return {
        "cramers_v": float(association(table, method="cramer")),
        "chi2": float(test.statistic),
        "p_value": float(test.pvalue),
    }


def _silhouette(rows: np.ndarray, clusters: np.ndarray, seed: int) -> float | None:
    """Of what is no noise; None where it is not defined."""
    kept = np.flatnonzero(clusters != NOISE)
    if len(kept) > N_SILHOUETTE:
        kept = np.sort(np.random.default_rng(seed).choice(kept, N_SILHOUETTE, replace=False))
    if not 2 <= len(np.unique(clusters[kept])) < len(kept):
        return None
    return float(silhouette_score(rows[kept], clusters[kept]))
