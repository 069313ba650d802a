"""Scores of clusters: against labels where there are some, and by themselves where there are none."""

from itertools import combinations

import numpy as np
from scipy.stats import chi2_contingency
from scipy.stats import t as student
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


def corrected_t_test(first: np.ndarray, second: np.ndarray, asked_per_learnt: float) -> float:
    """Two-sided p-value of paired scores over folds, by the corrected resampled t-test.

    Folds share what they learn from, so the variance is taken larger: by 1/k + asked/learnt in place of 1/k
    (Nadeau and Bengio, Machine Learning 52, 2003, eq. 9).
    """
    differences = np.asarray(first) - np.asarray(second)
    n = len(differences)
    if n < 2:
        return float("nan")
    variance = differences.var(ddof=1) * (1 / n + asked_per_learnt)
    if variance == 0:
        return 1.0 if differences.mean() == 0 else 0.0
    return float(2 * student.sf(abs(differences.mean()) / np.sqrt(variance), n - 1))


def compare_methods(scores: dict[str, np.ndarray], asked_per_learnt: float) -> list[dict[str, float | str]]:
    """Every pair of methods: mean difference and p-value."""
    return [
        {
            "method": one,
            "other": other,
            "difference": float(np.mean(scores[one] - scores[other])),
            "p": corrected_t_test(scores[one], scores[other], asked_per_learnt),
        }
        for one, other in combinations(scores, 2)
    ]


def holm(values: list[float]) -> list[float]:
    """p-values for many comparisons at once (Holm 1979), in the order given."""
    order = np.argsort(values)
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted
