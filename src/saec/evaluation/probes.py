"""How well a simple classifier reads the labels from features, with many labels and with few."""

import warnings
from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from saec.evaluation.base import EVALUATIONS
from saec.faults import Fault

N_NEIGHBORS = 5
MAX_ITER = 1000
CLASSIFIERS: dict[str, Callable[[], ClassifierMixin]] = {
    "linear": lambda: LogisticRegression(max_iter=MAX_ITER),
    "knn": lambda: KNeighborsClassifier(N_NEIGHBORS, weights="distance"),
}

Split = tuple[np.ndarray, np.ndarray]  # the rows to learn from, the rows to be asked


def probe(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    classifier: str,
    labels_per_class: PositiveInt | None = None,
    n_splits: Annotated[int, Field(ge=2)] = 5,
    n_draws: PositiveInt = 5,
    seed: int = 0,
) -> dict[str, float]:
    """Macro-F1 of a classifier on standardised features, cross-validated: no group is on both sides.

    With `labels_per_class` only so many rows a class are learnt from, drawn `n_draws` times in every fold.
    """
    splits = grouped_splits(labels, groups, n_splits, seed)
    scores = [
        score
        for split in splits
        for score in split_scores(rows, labels, split, classifier, labels_per_class, n_draws, seed)
    ]
    return {"macro_f1": float(np.mean(scores)), "spread": float(np.std(scores))}


for _name in CLASSIFIERS:
    EVALUATIONS.register(_name, classifier=_name)(probe)


def grouped_splits(labels: np.ndarray, groups: np.ndarray, n_splits: int, seed: int) -> list[Split]:
    """Stratified folds that keep groups whole; fewer where there are fewer groups.

    Raises:
        Fault: all rows are of one group or of one class.
    """
    n_groups, n_classes = len(np.unique(groups)), len(np.unique(labels))
    if n_groups < 2 or n_classes < 2:
        raise Fault(
            f"a probe needs two groups and two classes at least, got {n_groups} and {n_classes}: name groups "
            "(recordings) and labels in a labels.csv"
        )
    folds = StratifiedGroupKFold(min(n_splits, n_groups), shuffle=True, random_state=seed)
    return list(folds.split(labels, labels, groups))


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
    known, asked = split
    draws = [known] if labels_per_class is None else _few(labels, known, labels_per_class, n_draws, seed)
    return [_macro_f1(_pipeline(classifier, len(few)), rows, labels, few, asked) for few in draws]


def _pipeline(classifier: str, n: int) -> Pipeline:
    model = CLASSIFIERS[classifier]()
    if isinstance(model, KNeighborsClassifier):
        model.set_params(n_neighbors=min(N_NEIGHBORS, n))
    return make_pipeline(StandardScaler(), model)


def _macro_f1(
    model: Pipeline, rows: np.ndarray, labels: np.ndarray, known: np.ndarray, asked: np.ndarray
) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps to an optimum change no answer
        found = model.fit(rows[known], labels[known]).predict(rows[asked])
    return float(f1_score(labels[asked], found, average="macro"))


def _few(labels: np.ndarray, known: np.ndarray, n_each: int, n_draws: int, seed: int) -> Iterator[np.ndarray]:
    """So many of each class, or all of a class that has fewer."""
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        classes = [known[labels[known] == label] for label in np.unique(labels[known])]
        yield np.concatenate([rng.permutation(rows)[:n_each] for rows in classes])
