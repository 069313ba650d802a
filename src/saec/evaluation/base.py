"""Where evaluations are registered, and what each of them finds.

A component is given rows (n, features), labels (n,) with "" where unknown, groups (n,), and perhaps a split
(n,) of "train" and "test"; options follow.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saec.registry import Registry

EVALUATIONS = Registry("evaluation")

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Named scores, and what they were made of, as rows of tidy tables."""

    scores: dict[str, float]
    stds: dict[str, float] = field(default_factory=dict)  # standard deviations, where scores are means
    folds: Rows = field(default_factory=list)  # one row a fold and draw
    classes: Rows = field(default_factory=list)  # one row a class
    sweep: Rows = field(default_factory=list)  # one row a value of the parameter that is swept
    predicted: np.ndarray | None = None  # (n,): the class or the cluster that each row was given
    remarks: list[str] = field(default_factory=list)  # what to beware of


def has_label(labels: np.ndarray) -> np.ndarray:
    """Which rows have a label: "" is none; labels that are no words are all known."""
    return labels != "" if labels.dtype.kind == "U" else np.ones(len(labels), dtype=bool)
