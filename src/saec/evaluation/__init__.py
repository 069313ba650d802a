"""Registers evaluations, which take arrays and return scores, by the names that sessions use."""

from saec.evaluation.base import EVALUATIONS
from saec.registry import import_submodules

__all__ = ["EVALUATIONS"]

import_submodules(__name__, __path__)
