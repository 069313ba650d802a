"""Probes: scores checked by hand, groups kept whole, few labels drawn fairly."""

from functools import partial

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from saec.evaluation import EVALUATIONS
from saec.evaluation.classifiers import CLASSIFIERS, COSTS, fit_classifier, inner_folds
from saec.evaluation.folds import (
    classes_of_few_groups,
    given_split,
    grouped_splits,
    repeated_splits,
    require_two_groups,
)
from saec.evaluation.probes import predict_fold
from saec.faults import Fault

N = 120
QUICK = {"n_repeats": 1, "curve": []}


@pytest.fixture
def labelled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that tell the class in their first column, beside a loud one that tells the group."""
    labels = np.array(["crow", "tit", "wren"])[np.arange(N) % 3]
    groups = np.arange(N) // 12
    quiet = (np.arange(N) % 3)[:, None] + np.random.default_rng(0).normal(scale=0.1, size=(N, 1))
    return np.hstack([quiet, 1000.0 * groups[:, None]]), labels, groups


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_the_features_tell_is_read(name, labelled):
    scores = EVALUATIONS.parse({"name": name} | QUICK)(*labelled)
    assert scores.scores["macro_f1"] > 0.95 and scores.scores["balanced_accuracy"] > 0.95
    assert [row["class"] for row in scores.classes] == ["crow", "tit", "wren"]
    assert all(row["f1"] > 0.9 and row["n"] == N // 3 for row in scores.classes)
    assert (scores.predicted == labelled[1]).mean() > 0.95  # each row is tested once


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_features_that_tell_the_recording_alone_are_of_no_use(name, labelled):
    rows, _, groups = labelled
    labels = np.array(["crow", "tit", "wren"])[groups % 3]  # each recording has one species
    rows = np.random.default_rng(1).normal(size=(10, 5))[groups]
    scores = EVALUATIONS.parse({"name": name, "n_splits": 3} | QUICK)(rows, labels, groups)
    assert scores.scores["macro_f1"] < 0.7


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_more_labels_are_no_worse_and_few_vary_over_draws(name):
    rng = np.random.default_rng(0)
    kinds = np.arange(300) % 3
    rows = kinds[:, None] + rng.normal(scale=0.9, size=(300, 2))
    scores = EVALUATIONS.parse({"name": name, "curve": [2], "n_repeats": 1})(
        rows, kinds.astype(str), np.arange(300)
    )
    assert scores.scores["macro_f1_2"] < scores.scores["macro_f1"] and scores.stds["macro_f1_2"] > 0
    sizes = [row["n_learnt"] for row in scores.folds if row["labels_per_class"] == 2]
    assert set(sizes) == {6} and len(sizes) == 15  # five folds, three draws


def test_no_group_is_on_both_sides_every_row_is_tested_once_and_repeats_draw_other_folds(labelled):
    _, labels, groups = labelled
    splits = grouped_splits(labels, groups, 5, seed=0)
    assert len(splits) == 5 and sorted(np.concatenate([test for _, test in splits])) == list(range(N))
    assert all(not set(groups[train]) & set(groups[test]) for train, test in splits)
    rng = np.random.default_rng(0)
    for seed in range(60):
        groups, labels = rng.integers(0, 6, 30), rng.integers(0, 3, 30).astype(str)
        if classes_of_few_groups(labels, groups):
            continue
        for train, test in grouped_splits(labels, groups, 5, seed):
            assert len(test) and not set(groups[train]) & set(groups[test])
    _, labels, groups = labelled
    first, second = repeated_splits(labels, groups, 5, 2, seed=0)
    again = repeated_splits(labels, groups, 5, 2, seed=0)[0]
    assert any(not np.array_equal(one[1], other[1]) for one, other in zip(first, second, strict=True))
    assert all(np.array_equal(one[1], other[1]) for one, other in zip(first, again, strict=True))


def test_fewer_folds_and_fewer_repeats_than_wanted_are_in_the_remarks(labelled):
    rows, labels, groups = labelled
    three = EVALUATIONS.parse({"name": "knn"} | QUICK)(rows, labels, groups % 3)
    assert "3 folds, not 5" in three.remarks[0]
    two = EVALUATIONS.parse({"name": "knn", "curve": []})(rows, labels, groups % 2)
    assert len(two.folds) == 2 and "2 groups (recordings) can be parted in few ways" in two.remarks[-1]


def test_so_many_labels_of_each_class_are_learnt_from(labelled, monkeypatch):
    rows, labels, _ = labelled
    sizes = []
    monkeypatch.setitem(CLASSIFIERS, "linear", lambda: Counting(sizes))
    split = np.where(np.arange(N) < 60, "train", "test")
    scores = EVALUATIONS.parse({"name": "linear", "curve": [5], "n_draws": 4})(
        rows, labels, np.arange(N), split
    )
    assert [row["labels_per_class"] for row in scores.folds] == ["all"] + [5] * 4
    assert sizes == [{"crow": 20, "tit": 20, "wren": 20}] + [{"crow": 5, "tit": 5, "wren": 5}] * 4


@pytest.mark.parametrize(("labels", "groups"), [("ab", "xx"), ("aa", "xy")])
def test_one_group_or_one_class_is_refused_with_the_remedy(labels, groups):
    with pytest.raises(Fault, match="two groups and two classes at least"):
        EVALUATIONS.parse("linear")(np.zeros((2, 1)), np.array(list(labels)), np.array(list(groups)))


def test_a_class_of_one_group_is_refused_with_the_remedy(labelled):
    _, labels, groups = labelled
    labels = np.where(groups == 3, "owl", labels)
    assert classes_of_few_groups(labels, groups) == {"owl": 1}
    with pytest.raises(Fault, match=r"owl: 12 rows of one group\n.*least: 2"):
        require_two_groups(labels, groups)


def test_a_given_split_is_kept_to_and_labels_may_be_missing(labelled):
    rows, labels, groups = labelled
    split = np.where(groups < 6, "train", np.where(groups < 9, "test", ""))
    scores = EVALUATIONS.parse({"name": "linear"} | QUICK)(rows, labels, groups, split)
    (fold,) = scores.folds
    assert (fold["n_learnt"], fold["n_asked"]) == (72, 36)
    assert (scores.predicted != "").sum() == 36 and (scores.predicted[split == "test"] != "").all()
    with pytest.raises(Fault, match="'train' and rows 'test', got 'a'"):
        given_split(np.array(["a", "a"]))
    labels = np.where(np.arange(N) % 2, labels, "")  # rows without a label are neither learnt from nor tested
    scores = EVALUATIONS.parse({"name": "knn"} | QUICK)(rows, labels, groups)
    assert ((scores.predicted != "") == (labels != "")).all()
    assert all(row["n_learnt"] + row["n_asked"] == N // 2 for row in scores.folds)


def test_without_groups_folds_are_of_single_rows_and_a_remark_says_that_they_are_too_good(labelled):
    rows, labels, groups = labelled
    few = {"name": "linear", "n_splits": 5, "n_repeats": 1, "curve": []}
    kept, single = (
        EVALUATIONS.parse(few | {"keep_groups": keep})(rows, labels, groups) for keep in (True, False)
    )
    assert {fold["n_asked"] for fold in single.folds} <= {N // 5, N // 5 + 1} and len(single.folds) == 5
    assert single.remarks == ["groups (recordings) are on both sides of folds, so these scores are too good"]
    assert not any("both sides" in remark for remark in kept.remarks)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("blocks", [None, (1, 1)])
def test_test_rows_move_no_scaling_and_no_component(classifier, blocks, labelled):
    rows, labels, groups = labelled
    train, test = np.arange(60), np.arange(60, N)
    loud = rows.copy()
    loud[test[1:]] *= 1e6
    fit = partial(fit_classifier, classifier=classifier, pca=2, blocks=blocks, C=(1.0, 10.0))
    plain, other = (predict_fold(fit, some, labels, groups, (train, test[:1])) for some in (rows, loud))
    assert plain == other


def test_an_svm_alone_searches_a_grid_inside_what_is_learnt_from_or_takes_its_middle(labelled):
    rows, labels, groups = labelled
    folds = inner_folds(labels[:60], groups[:60], seed=0)
    assert len(folds) == 3 and not any(set(groups[one]) & set(groups[other]) for one, other in folds)
    scores = fit_classifier(rows[:60], labels[:60], groups[:60], classifier="svm")
    by_library = GridSearchCV(
        make_pipeline(StandardScaler(), SVC()), {"svc__C": COSTS}, scoring="f1_macro", cv=folds
    ).fit(rows[:60], labels[:60])
    assert scores.chosen == {"C": by_library.best_params_["svc__C"], "gamma": "scale"}
    assert scores.macro_f1 == pytest.approx(by_library.best_score_)
    assert len(inner_folds(labels[:24], groups[:24], seed=0)) == 2  # of two groups
    one_group = fit_classifier(rows[:12], labels[:12], groups[:12], classifier="svm")
    assert (one_group.chosen, one_group.macro_f1) == ({"C": 10.0, "gamma": "scale"}, None)
    assert (one_group.model[-1].C, one_group.model[-1].gamma) == (10.0, "scale")
    relative = fit_classifier(rows[:12], labels[:12], groups[:12], classifier="svm", gamma=("0.1*scale",))
    assert relative.model[-1].gamma == pytest.approx(0.1)  # of two columns, one without variance
    svm = EVALUATIONS.parse({"name": "svm", "C": [1, 2], "gamma": ["scale", 0.01]})
    assert (svm.C, svm.gamma) == ((1.0, 2.0), ("scale", 0.01))
    for name in CLASSIFIERS.keys() - {"svm"}:
        with pytest.raises(ValueError, match="C: unknown key|C\n  unknown key"):
            EVALUATIONS.parse({"name": name, "C": [1]})


class Counting(DummyClassifier):
    """Answers with the most frequent class, and remembers how many of each it was given."""

    def __init__(self, sizes: list[dict[str, int]]):
        super().__init__()
        self.sizes = sizes

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> "Counting":
        names, counts = np.unique(labels, return_counts=True)
        self.sizes.append(dict(zip(names.tolist(), counts.tolist(), strict=True)))
        return super().fit(rows, labels)
