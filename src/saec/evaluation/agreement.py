"""Scores of clusters with and without labels, and tests of differences between methods."""

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
ROUNDING = 1e-12  # up to which scores are equal
N_SILHOUETTE = 5_000  # rows that a silhouette is computed from: it compares all with all


def agreement(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """Returns scores of how clusters agree with labels; noise counts as one more cluster.

    The V-measure is the normalised mutual information (arithmetic mean). Chi-square grows with the number of
    rows and of clusters, and Cramer's V of chance with that of clusters, so that only the corrected one
    compares between methods.
    """
    homogeneity, completeness, v_measure = homogeneity_completeness_v_measure(labels, clusters)
    scores = {
        "v_measure": v_measure,
        "adjusted_rand": adjusted_rand_score(labels, clusters),
        "adjusted_mutual_info": adjusted_mutual_info_score(labels, clusters),
        "homogeneity": homogeneity,
        "completeness": completeness,
    }
    table = crosstab(labels, clusters).count
    if min(table.shape) < 2:
        scores |= {"cramers_v": 0, "cramers_v_corrected": 0, "chi2": 0, "p_value": 1}
    else:
        test = chi2_contingency(table, correction=False)  # as Cramer's V
        v = association(table, method="cramer")
        scores |= {"cramers_v": v, "cramers_v_corrected": _corrected(v, table)}
        scores |= {"chi2": test.statistic, "p_value": test.pvalue}
    return {name: float(score) for name, score in scores.items()}


def _corrected(v: float, table: np.ndarray) -> float:
    """Returns Cramer's V without what chance adds to it (Bergsma, J. Korean Stat. Soc. 42, 2013)."""
    n, less = table.sum() - 1, np.array(table.shape) - 1
    phi2 = max(0.0, v**2 * less.min() - less.prod() / n)
    size = min(less - less**2 / n)
    return float(np.sqrt(phi2 / size)) if size > 0 else 0.0


def internal(rows: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, float]:
    """Returns what needs no labels: number of clusters, share of noise, largest share, silhouette.

    The silhouette is that of rows that are no noise, and is left out where it is not defined.
    """
    numbers, counts = np.unique(clusters[clusters != NOISE], return_counts=True)
    scores = {
        "n_clusters": float(len(numbers)),
        "noise": float(np.mean(clusters == NOISE)),
        "largest": float(counts.max() / len(clusters)) if len(counts) else 0.0,
    }
    kept = np.flatnonzero(clusters != NOISE)
    if len(kept) > N_SILHOUETTE:
        kept = np.sort(np.random.default_rng(seed).choice(kept, N_SILHOUETTE, replace=False))
    if 2 <= len(np.unique(clusters[kept])) < len(kept):
        scores["silhouette"] = float(silhouette_score(rows[kept], clusters[kept]))
    return scores


def purity(labels: np.ndarray) -> dict[str, str | float]:
    """Returns the commonest `label` of rows and its share of those with a label, the `purity`, if any has."""
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    shares = counts / counts.sum()
    return {"label": str(names[shares.argmax()]), "purity": float(shares.max())} if len(names) else {}


def corrected_t_test(first: np.ndarray, second: np.ndarray, test_per_train: float) -> float:
    """Returns the two-sided p-value of paired scores over folds, by the corrected resampled t-test; NaN where
    all folds differ alike, of which it would say that no chance is left.

    Folds share training rows, so the variance is taken larger: by 1/k + n_test/n_train in place of 1/k
    (Nadeau and Bengio, Machine Learning 52, 2003, eq. 9).
    """
    differences = np.asarray(first) - np.asarray(second)
    n = len(differences)
    if n < 2:
        return float("nan")
    variance = differences.var(ddof=1) * (1 / n + test_per_train)
    if variance <= ROUNDING**2:
        return 1.0 if abs(differences.mean()) <= ROUNDING else float("nan")
    return float(2 * student.sf(abs(differences.mean()) / np.sqrt(variance), n - 1))


def holm(values: list[float]) -> list[float]:
    """Returns p-values adjusted for many comparisons (Holm 1979), in the order given."""
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, factors * np.array(values, dtype=float)[order]))
    return adjusted.tolist()
