"""Evaluations: components that take arrays and return scores, registered by the names that sessions use."""

from saec.evaluation.base import EVALUATIONS
from saec.registry import import_submodules

__all__ = ["EVALUATIONS"]

import_submodules(__name__, __path__)
