"""What is true and what was predicted along a recording, brought to one grid of points in time."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix

from saec.evaluation.base import Rows
from saec.evaluation.probes import SCORES, per_class

NO_LABEL = ""  # at points that no segment holds


def grid(end_s: float, grid_s: float) -> np.ndarray:
    """The points k * grid_s + grid_s / 2 before `end_s`, in seconds."""
    points = np.arange(math.ceil(end_s / grid_s)) * grid_s + grid_s / 2
    return points[points < end_s]


def true_track(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, int]:
    """The label (n,) of the segment [start, end) that holds each point, and how many points are doubtful.

    A point is doubtful where segments of different labels hold it; it has no label, as have points that
    none holds.
    """
    edges = np.unique([starts, ends])
    held = np.full(len(edges) + 1, NO_LABEL, dtype=np.array(labels, dtype=str).dtype)
    doubtful = np.zeros(len(edges) + 1, dtype=bool)
    for first, last, label in zip(*_between(edges, starts, ends), labels, strict=True):
        if label != NO_LABEL:
            others = held[first:last]
            doubtful[first:last] |= (others != NO_LABEL) & (others != label)
            held[first:last] = label
    held[doubtful] = NO_LABEL
    at = _stretch(edges, points)
    return held[at], int(doubtful[at].sum())


def predicted_track(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, probabilities: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """The class (n,) with the largest mean probability over the segments [start, end) that hold each point.

    Probabilities are (segments, classes). Points that no segment holds have no class.
    """
    edges = np.unique([starts, ends])
    sums = np.zeros((len(edges) + 1, probabilities.shape[1]))
    held = np.zeros(len(edges) + 1, dtype=bool)
    for first, last, shares in zip(*_between(edges, starts, ends), probabilities, strict=True):
        sums[first:last] += shares
        held[first:last] = True
    said = np.where(held, classes[sums.argmax(1)], NO_LABEL)  # the largest sum is the largest mean
    return said[_stretch(edges, points)]


def _between(edges: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each segment the first of the stretches between edges, and the one after its last."""
    return np.searchsorted(edges, starts), np.searchsorted(edges, ends)


def _stretch(edges: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Of each point the stretch [edge, next edge) that it lies in; -1, which nothing holds, before all."""
    return np.searchsorted(edges, points, side="right") - 1


SHOWN = ("macro_f1", "weighted_f1")


@dataclass(frozen=True)
class ClassScores:
    """Scores of `n` answers, and of each class that was asked for: `classes`.

    `confusion` counts answers, rows are what is true, columns what was said, both in the order of `names`.
    """

    n: int
    scores: dict[str, float]
    classes: Rows
    confusion: np.ndarray
    names: np.ndarray


def score_classes(labels: np.ndarray, answers: np.ndarray) -> ClassScores:
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
    return ClassScores(len(labels), scores, classes, counts, names)


def labels_by_file(files: np.ndarray, labels: np.ndarray) -> dict[str, set[str]]:
    """The labels that segments of each file have; none where no segment has one."""
    found: dict[str, set[str]] = {str(file): set() for file in np.unique(files)}
    for file, label in zip(files.tolist(), labels.tolist(), strict=True):
        if label:
            found[file].add(label)
    return found
