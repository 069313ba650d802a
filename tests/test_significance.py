"""The corrected t-test against its formula, and Holm's correction against values known by hand."""

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from saec.evaluation.agreement import compare_methods, corrected_t_test, holm


def test_without_a_correction_it_is_the_paired_t_test():
    one, other = np.random.default_rng(0).normal(size=(2, 12))
    assert corrected_t_test(one, other, 0.0) == pytest.approx(ttest_rel(one, other).pvalue)


def test_the_variance_grows_by_the_rows_that_folds_share():
    one, other = np.array([0.8, 0.7, 0.9, 0.75]), np.array([0.6, 0.65, 0.7, 0.7])
    differences = one - other
    statistic = differences.mean() / np.sqrt((1 / 4 + 0.25) * differences.var(ddof=1))
    assert corrected_t_test(one, other, 0.25) == pytest.approx(2 * t.sf(statistic, 3))
    assert corrected_t_test(one, other, 0.25) > ttest_rel(one, other).pvalue


def test_equal_scores_are_no_difference_and_one_fold_says_nothing():
    same = np.array([0.5, 0.6])
    assert corrected_t_test(same, same, 0.2) == 1
    assert np.isnan(corrected_t_test(same[:1], same[:1], 0.2))


def test_holm_multiplies_the_smallest_by_the_number_of_comparisons_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_every_pair_of_methods_is_compared_once():
    rng = np.random.default_rng(0)
    scores = {"a": rng.uniform(0.9, 1, 10), "b": rng.uniform(0, 0.1, 10), "c": rng.uniform(0, 0.1, 10)}
    rows = compare_methods(scores, 0.25)
    assert [(row["method"], row["other"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert rows[0]["p"] < 0.01 < rows[2]["p"] and rows[0]["difference"] > 0.7
