"""How well a simple classifier reads the labels from features, with many labels and with few."""

import warnings
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from saec.evaluation.base import EVALUATIONS, Rows, Scores, has_label
from saec.evaluation.classifiers import CLASSIFIERS, COSTS, SVM, ClassifierOptions, ClassWeight, Costs, Gammas
from saec.evaluation.folds import Split, draw_few, given_split, repeated_splits

NO_GRID = {
    "C": COSTS,
    "gamma": ("scale",),
    "class_weight": None,
}  # classifiers that are no SVM have no such option
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "macro_f1": lambda true, said: f1_score(
        true, said, labels=np.unique(true), average="macro", zero_division=0
    ),
    "weighted_f1": lambda true, said: f1_score(true, said, average="weighted", zero_division=0),
    "balanced_accuracy": balanced_accuracy_score,
}


def probe(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray | None = None,
    blocks: tuple[int, ...] | None = None,
    *,
    classifier: str,
    n_splits: Annotated[int, Field(ge=2)] = 5,
    n_repeats: PositiveInt = 3,
    curve: tuple[PositiveInt, ...] = (5, 10, 20),
    n_draws: PositiveInt = 3,
    pca: PositiveInt | None = None,
    C: Costs = COSTS,
    gamma: Gammas = ("scale",),
    class_weight: ClassWeight = None,
    seed: int = 0,
) -> Scores:
    """A classifier on standardised features (and `pca` components), cross-validated: groups stay whole.

    Folds are drawn `n_repeats` times; a `split` of the table is used instead of them. In the first folds so
    many rows a class as `curve` says are learnt from, drawn `n_draws` times: the learning curve. Classes
    are judged by the answers of the first folds. Rows without a label are neither learnt from nor asked.
    `blocks` are the widths of methods whose features stand side by side: each has its own `pca` components.
    An SVM is searched over `C` and `gamma` within the rows that are learnt from.
    """
    told = np.flatnonzero(has_label(labels))
    recipe = ClassifierOptions(classifier, pca, blocks, C, gamma, class_weight)
    known = Known(rows[told], labels[told], groups[told], recipe)
    repeats = (
        repeated_splits(known.labels, known.groups, n_splits, n_repeats, seed)
        if split is None
        else [[given_split(split[told])]]
    )
    folds: Rows = []
    answers = np.full(len(told), "", dtype=known.labels.astype(str).dtype)
    for repeat, splits in enumerate(repeats):
        for place, (learnt, asked) in enumerate(splits):
            said = known.predict(learnt, asked)
            folds.append(_fold("all", repeat, place, learnt, known.labels[asked], said))
            if repeat == 0:
                answers[asked] = said
    folds += _curve(known, repeats[0], curve, n_draws, seed)
    everywhere = np.full(len(labels), "", dtype=answers.dtype)
    everywhere[told] = answers
    heard = answers != ""
    scores, spreads = _summary(folds)
    classes = per_class(known.labels[heard].astype(str), answers[heard])
    remarks = []
    if split is None and len(repeats[0]) < n_splits:
        remarks.append(f"{len(repeats[0])} folds, not {n_splits}: a class has no more groups (recordings)")
    if split is None and len(repeats) < n_repeats:
        n_groups = len(np.unique(known.groups))
        remarks.append(
            f"{n_groups} groups (recordings) can be parted in few ways: {len(repeats)} of {n_repeats} repeats"
        )
    return Scores(scores, spreads, folds, classes, predicted=everywhere, remarks=remarks)


for _name in CLASSIFIERS:
    EVALUATIONS.register(_name, classifier=_name, **({} if _name == SVM else NO_GRID))(probe)


class Known:
    """Rows with their labels, and a classifier that is fitted on some of them and asked for others."""

    def __init__(self, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, recipe: ClassifierOptions):
        self.rows = rows
        self.labels = labels
        self.groups = groups
        self.recipe = recipe

    def predict(self, learnt: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if len(np.unique(self.labels[learnt])) == 1:
            return np.full(len(asked), self.labels[learnt[0]], dtype=self.labels.dtype)
        fitted = self.recipe.fit(self.rows[learnt], self.labels[learnt], self.groups[learnt])
        return fitted.model.predict(self.rows[asked])


def split_scores(
    rows: np.ndarray,
    labels: np.ndarray,
    split: Split,
    classifier: str,
    labels_per_class: int | None,
    n_draws: int,
    seed: int,
) -> list[float]:
    """Macro-F1 of the rows that are asked, one score a draw; one where all labels are learnt from."""
    learnt, asked = split
    draws = (
        [learnt] if labels_per_class is None else draw_few(labels, learnt, labels_per_class, n_draws, seed)
    )
    known = Known(rows, labels, np.arange(len(labels)), ClassifierOptions(classifier))
    return [SCORES["macro_f1"](labels[asked], known.predict(draw, asked)) for draw in draws]


def per_class(labels: np.ndarray, answers: np.ndarray) -> Rows:
    """Precision, recall, F1 and number of rows of each class that is there."""
    names = np.unique(labels)
    scored = precision_recall_fscore_support(labels, answers, labels=names, zero_division=0)
    return [
        {"class": str(name), "precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
        for name, p, r, f, n in zip(names, *scored, strict=True)
    ]


def _curve(known: Known, splits: list[Split], sizes: tuple[int, ...], n_draws: int, seed: int) -> Rows:
    """Sizes that some class has more rows than; a larger one would be all of them again."""
    most = max(np.unique(known.labels[learnt], return_counts=True)[1].max() for learnt, _ in splits)
    return [
        _fold(size, 0, place, learnt_few, known.labels[asked], known.predict(learnt_few, asked))
        | {"draw": draw}
        for size in sizes
        if size < most
        for place, (learnt, asked) in enumerate(splits)
        for draw, learnt_few in enumerate(draw_few(known.labels, learnt, size, n_draws, seed))
    ]


def _fold(
    size: int | str, repeat: int, fold: int, learnt: np.ndarray, true: np.ndarray, said: np.ndarray
) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a fold may be answered with classes it does not hold
        scores = {name: float(score(true, said)) for name, score in SCORES.items()}
    place = {"labels_per_class": size, "repeat": repeat, "fold": fold}
    return place | {"n_learnt": len(learnt), "n_asked": len(true)} | scores


def _summary(folds: Rows) -> tuple[dict[str, float], dict[str, float]]:
    """Means and standard deviations; those of the learning curve are called `macro_f1_5` and so on."""
    kinds = {(name, row["labels_per_class"]): [] for row in folds for name in SCORES}
    for row in folds:
        for name in SCORES:
            kinds[name, row["labels_per_class"]].append(row[name])
    called = {
        kind: kind[0] if kind[1] == "all" else f"{kind[0]}_{kind[1]}"
        for kind in kinds
        if kind[1] == "all" or kind[0] == "macro_f1"
    }
    means = {name: float(np.mean(kinds[kind])) for kind, name in called.items()}
    several = {name: kinds[kind] for kind, name in called.items() if len(kinds[kind]) > 1}
    return means, {name: float(np.std(scores)) for name, scores in several.items()}
