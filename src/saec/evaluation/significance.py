"""Whether one set of features is better than another on the same folds."""

from itertools import combinations

import numpy as np
from scipy.stats import t as student


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


def compared(scores: dict[str, np.ndarray], asked_per_learnt: float) -> list[dict[str, float | str]]:
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
