"""Puts labels and predictions along a recording on one grid of points in time, and scores predictions."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix

from saec.evaluation.base import Rows
from saec.evaluation.probes import SCORES, per_class

NO_LABEL = ""  # of points in time that are in no segment


def grid(end_s: float, grid_s: float) -> np.ndarray:
    """Returns the points k * grid_s + grid_s / 2 before `end_s`, in seconds."""
    points = np.arange(math.ceil(end_s / grid_s)) * grid_s + grid_s / 2
    return points[points < end_s]


def true_track(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, int]:
    """Returns the label (n,) of each point's segment [start, end), and the number of doubtful points.

    A point is doubtful where it is in segments of different labels; it has no label then, like points that
    are in no segment.
    """
    track = np.full(len(points), NO_LABEL, dtype=np.array(labels, dtype=str).dtype)
    doubtful = np.zeros(len(points), dtype=bool)
    for first, last, label in zip(*np.searchsorted(points, [starts, ends]), labels, strict=True):
        if label != NO_LABEL:
            others = track[first:last]
            doubtful[first:last] |= (others != NO_LABEL) & (others != label)
            track[first:last] = label
    track[doubtful] = NO_LABEL
    return track, int(doubtful.sum())


def predicted_track(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, probabilities: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Returns the class (n,) with the largest mean probability over the segments [start, end) of each point.

    Probabilities are (segments, classes). Points that are in no segment have no class.
    """
    edges = np.unique([starts, ends])  # fewer than points; between two of them nothing changes
    sums = np.zeros((len(edges) + 1, probabilities.shape[1]))
    covered = np.zeros(len(edges) + 1, dtype=bool)
    for first, last, shares in zip(*np.searchsorted(edges, [starts, ends]), probabilities, strict=True):
        sums[first:last] += shares
        covered[first:last] = True
    named = np.where(covered, classes[sums.argmax(1)], NO_LABEL)  # the largest sum is the largest mean
    return named[
        np.searchsorted(edges, points, side="right") - 1
    ]  # before all edges: the last, in no segment


@dataclass(frozen=True)
class ClassScores:
    """Scores of `n` predictions, and of each class that labels have: `classes`.

    `confusion` counts predictions: true classes down, predicted ones across, both in the order of `names`.
    """

    n: int
    scores: dict[str, float]
    classes: Rows
    confusion: np.ndarray
    names: np.ndarray


def score_classes(labels: np.ndarray, predicted: np.ndarray) -> ClassScores:
    """Scores predicted classes (n,), n > 0."""
    names = np.unique(np.concatenate([labels, predicted]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # many classes for few rows; a class without rows has 0
        scores = {"accuracy": float(accuracy_score(labels, predicted))}
        scores |= {name: float(SCORES[name](labels, predicted)) for name in ("macro_f1", "weighted_f1")}
        counts = confusion_matrix(labels, predicted, labels=names)
        return ClassScores(len(labels), scores, per_class(labels, predicted), counts, names)
