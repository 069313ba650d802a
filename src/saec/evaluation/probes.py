"""Measures how well a simple classifier predicts the labels from features, with many labels and with few."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from saec.evaluation.base import EVALUATIONS, Rows, Scores, macro_f1
from saec.evaluation.classifiers import (
    CLASSIFIERS,
    COSTS,
    SVM,
    ClassWeight,
    Costs,
    Fitted,
    Gammas,
    fit_classifier,
)
from saec.evaluation.folds import Split, draw_few, given_split, repeated_splits

SVM_OPTIONS: dict[str, Any] = {
    "C": COSTS,
    "gamma": ("scale",),
    "class_weight": None,
}  # others do not have these options
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "macro_f1": macro_f1,
    "weighted_f1": partial(f1_score, average="weighted", zero_division=0),
    "balanced_accuracy": balanced_accuracy_score,
}
ALL = "all"  # stands for a number of labels per class


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
    keep_groups: bool = True,
    seed: int = 0,
) -> Scores:
    """Scores a classifier by cross-validation on standardised features (and `pca` components), groups whole.

    Folds are drawn `n_repeats` times; a `split` of the table is used instead of them. In the first folds
    training rows are also limited to so many a class as `curve` says, drawn `n_draws` times: the learning
    curve. Scores of classes are of the first folds. Rows without a label are left out. `blocks` are
    the widths of methods whose features stand side by side: each has its own `pca` components. An SVM is
    searched over `C` and `gamma` within the training rows. Without `keep_groups` folds are of single rows: of
    five, each is a stratified split of 80 to 20.
    """
    parted = not keep_groups and split is None and len(np.unique(groups)) < len(labels)
    groups = groups if keep_groups else np.arange(len(labels))
    n_rows, labelled = len(labels), np.flatnonzero(labels != "")  # numbers are always labels
    rows, labels, groups = rows[labelled], labels[labelled], groups[labelled]
    fit = partial(fit_classifier, classifier=classifier, blocks=blocks, pca=pca)
    fit = partial(fit, C=C, gamma=gamma, class_weight=class_weight)
    if split is None:
        repeats = repeated_splits(labels, groups, n_splits, n_repeats, seed)
    else:
        repeats = [[given_split(split[labelled])]]
    folds: Rows = []
    predicted = np.full(n_rows, "", dtype=labels.astype(str).dtype)
    for key, (train, test) in _all_splits(labels, repeats, curve, n_draws, seed):
        answers = predict_fold(fit, rows, labels, groups, (train, test))
        folds.append(key | {"n_learnt": len(train), "n_asked": len(test)} | _scores(labels[test], answers))
        if (key["labels_per_class"], key["repeat"]) == (ALL, 0):
            predicted[labelled[test]] = answers
    tested = predicted[labelled] != ""
    classes = per_class(labels[tested].astype(str), predicted[labelled][tested])
    remarks = [] if split is not None else _fewer_folds(repeats, n_splits, n_repeats, groups)
    if parted:
        remarks.append("groups (recordings) are on both sides of folds, so these scores are too good")
    scores, stds = _means(folds)
    return Scores(scores, predicted, stds, folds, classes, remarks=remarks)


def _fewer_folds(repeats: list[list[Split]], n_splits: int, n_repeats: int, groups: np.ndarray) -> list[str]:
    """Returns remarks on folds and repeats that groups do not allow."""
    remarks = []
    if len(repeats[0]) < n_splits:
        remarks.append(f"{len(repeats[0])} folds, not {n_splits}: a class has no more groups (recordings)")
    if len(repeats) < n_repeats:
        remarks.append(
            f"{len(np.unique(groups))} groups (recordings) can be parted in few ways: {len(repeats)} of "
            f"{n_repeats} repeats"
        )
    return remarks


for _name in CLASSIFIERS:
    EVALUATIONS.register(_name, classifier=_name, **({} if _name == SVM else SVM_OPTIONS))(probe)


def predict_fold(
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray], Fitted],
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: Split,
) -> np.ndarray:
    """Returns the predicted classes of a split's test rows, by a classifier fitted on its training rows."""
    train, test = split
    if len(np.unique(labels[train])) == 1:
        return np.full(len(test), labels[train[0]], dtype=labels.dtype)
    return fit(rows[train], labels[train], groups[train]).model.predict(rows[test])


def per_class(labels: np.ndarray, predicted: np.ndarray) -> Rows:
    """Returns precision, recall, F1 and number of rows of each class that labels have."""
    names = np.unique(labels)
    scores = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    return [
        {"class": str(name), "precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
        for name, p, r, f, n in zip(names, *scores, strict=True)
    ]


def _all_splits(
    labels: np.ndarray, repeats: list[list[Split]], curve: tuple[int, ...], n_draws: int, seed: int
) -> Iterator[tuple[dict[str, int | str], Split]]:
    """Yields all splits with what names them: those of all labels, then those of the learning curve.

    Sizes of the curve that no class has more training rows than would be all of them again.
    """
    for repeat, splits in enumerate(repeats):
        for fold, split in enumerate(splits):
            yield {"labels_per_class": ALL, "repeat": repeat, "fold": fold}, split
    most = max(np.unique(labels[train], return_counts=True)[1].max() for train, _ in repeats[0])
    for size in curve:
        for fold, (train, test) in enumerate(repeats[0] if size < most else []):
            for draw, few in enumerate(draw_few(labels, train, size, n_draws, seed)):
                yield {"labels_per_class": size, "repeat": 0, "fold": fold, "draw": draw}, (few, test)


def _scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes may be predicted that a fold does not hold
        return {name: float(score(true, predicted)) for name, score in SCORES.items()}


def _means(folds: Rows) -> tuple[dict[str, float], dict[str, float]]:
    """Returns means and standard deviations; the learning curve has `macro_f1_5` and so on."""
    means, stds = {}, {}
    for size in dict.fromkeys(row["labels_per_class"] for row in folds):
        for score in SCORES if size == ALL else ("macro_f1",):
            name = score if size == ALL else f"{score}_{size}"
            values = [row[score] for row in folds if row["labels_per_class"] == size]
            means[name] = float(np.mean(values))
            if len(values) > 1:
                stds[name] = float(np.std(values))
    return means, stds
