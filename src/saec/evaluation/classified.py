"""How well answers that are given agree with labels; and the one answer for a file of several segments."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix

from saec.averages import means_by
from saec.evaluation.base import Rows
from saec.evaluation.probes import SCORES, per_class

SHOWN = ("macro_f1", "weighted_f1")


@dataclass(frozen=True)
class Classified:
    """Scores of `n` answers, and of each class that was asked for: `classes`.

    `confusion` counts answers, rows are what is true, columns what was said, both in the order of `names`.
    """

    n: int
    scores: dict[str, float]
    classes: Rows
    confusion: np.ndarray
    names: np.ndarray


def classified(labels: np.ndarray, answers: np.ndarray) -> Classified:
    """Labels and answers (n,), n > 0. Macro-F1 is the mean over the classes that labels have."""
    names = np.unique(np.concatenate([labels, answers]))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # many classes for few rows, scores of nothing: they are 0
        scores = {"accuracy": float(accuracy_score(labels, answers))}
        scores |= {name: float(SCORES[name](labels, answers)) for name in SHOWN}
        classes = per_class(labels, answers)
        counts = confusion_matrix(labels, answers, labels=names)
    return Classified(len(labels), scores, classes, counts, names)


def mean_by_file(files: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Files of segments (n,) and (n, classes) to the files, sorted, and the means over their segments."""
    return means_by(files, probabilities)


def label_by_file(files: np.ndarray, labels: np.ndarray) -> dict[str, set[str]]:
    """The labels that segments of each file have; none where no segment has one."""
    found: dict[str, set[str]] = {str(file): set() for file in np.unique(files)}
    for file, label in zip(files.tolist(), labels.tolist(), strict=True):
        if label:
            found[file].add(label)
    return found
