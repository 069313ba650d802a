"""Probes: what they know by hand, groups kept whole, few labels drawn fairly."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from saec.evaluation import EVALUATIONS
from saec.evaluation.probes import CLASSIFIERS, grouped_splits, split_scores
from saec.faults import Fault

N = 120


@pytest.fixture
def known() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that tell the class in their first column, beside a loud one that tells the group."""
    labels = np.array(["crow", "tit", "wren"])[np.arange(N) % 3]
    groups = np.arange(N) // 12
    quiet = (np.arange(N) % 3)[:, None] + np.random.default_rng(0).normal(scale=0.1, size=(N, 1))
    return np.hstack([quiet, 1000.0 * groups[:, None]]), labels, groups


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_the_features_tell_is_read(name, known):
    assert EVALUATIONS.parse(name)(*known)["macro_f1"] > 0.95


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_features_that_tell_the_recording_alone_are_of_no_use(name, known):
    rows, _, groups = known
    labels = np.array(["crow", "tit", "wren"])[groups % 3]  # each recording has one species
    rows = np.random.default_rng(1).normal(size=(10, 5))[groups]
    assert EVALUATIONS.parse({"name": name, "n_splits": 3})(rows, labels, groups)["macro_f1"] < 0.7


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_more_labels_are_no_worse_and_few_are_spread_over_draws(name):
    rng = np.random.default_rng(0)
    kinds = np.arange(300) % 3
    rows = kinds[:, None] + rng.normal(scale=0.9, size=(300, 2))
    few, all_of_them = (
        EVALUATIONS.parse({"name": name, "labels_per_class": n})(rows, kinds, np.arange(300))
        for n in (2, None)
    )
    assert few["macro_f1"] < all_of_them["macro_f1"] and few["spread"] > 0


def test_no_group_is_on_both_sides_and_every_row_is_asked_once(known):
    _, labels, groups = known
    splits = grouped_splits(labels, groups, 5, seed=0)
    assert len(splits) == 5 and sorted(np.concatenate([asked for _, asked in splits])) == list(range(N))
    assert all(not set(groups[known]) & set(groups[asked]) for known, asked in splits)


def test_two_groups_make_two_folds(known):
    assert len(grouped_splits(known[1], np.arange(N) % 2, 5, seed=0)) == 2


def test_so_many_labels_of_each_class_are_learnt_from(known, monkeypatch):
    rows, labels, _ = known
    sizes = []
    monkeypatch.setitem(CLASSIFIERS, "linear", lambda: Counting(sizes))
    split = (np.arange(60), np.arange(60, N))
    assert len(split_scores(rows, labels, split, "linear", 5, 4, seed=0)) == 4
    assert len(split_scores(rows, labels, split, "linear", None, 4, seed=0)) == 1
    assert sizes == [{"crow": 5, "tit": 5, "wren": 5}] * 4 + [{"crow": 20, "tit": 20, "wren": 20}]


@pytest.mark.parametrize(("labels", "groups"), [("ab", "xx"), ("aa", "xy")])
def test_one_group_or_one_class_is_refused_with_the_remedy(labels, groups):
    with pytest.raises(Fault, match="two groups and two classes at least"):
        EVALUATIONS.parse("linear")(np.zeros((2, 1)), np.array(list(labels)), np.array(list(groups)))


class Counting(DummyClassifier):
    """Answers with the most frequent class, and remembers how many of each it was given."""

    def __init__(self, sizes: list[dict[str, int]]):
        super().__init__()
        self.sizes = sizes

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> "Counting":
        names, counts = np.unique(labels, return_counts=True)
        self.sizes.append(dict(zip(names.tolist(), counts.tolist(), strict=True)))
        return super().fit(rows, labels)
