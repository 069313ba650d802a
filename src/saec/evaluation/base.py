"""Registers evaluations, and defines the scores that each of them returns.

A component is given rows (n, features), labels (n,) with "" where there is none, groups (n,), and perhaps a
split (n,) of "train" and "test"; its options follow.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from saec.registry import Registry

EVALUATIONS = Registry("evaluation", given="rows labels groups split")


def macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Returns the mean F1 of the classes that labels have; other classes that are predicted do not count."""
    return f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)


Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Holds named scores, and the rows of tidy tables from which they were computed."""

    scores: dict[str, float]
    predicted: np.ndarray  # (n,): the class or the cluster of each row, "" for none
    stds: dict[str, float] = field(default_factory=dict)  # standard deviations, where scores are means
    folds: Rows = field(default_factory=list)  # one row a fold and draw
    classes: Rows = field(default_factory=list)  # one row a class
    sweep: Rows = field(default_factory=list)  # one row a value of the parameter that is swept
    remarks: list[str] = field(default_factory=list)
