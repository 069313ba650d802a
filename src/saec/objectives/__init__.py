"""Registers objectives by the names that sessions use."""

from saec.objectives.base import ERRORS, OBJECTIVES, Learning, Objective
from saec.registry import import_submodules

__all__ = ["ERRORS", "OBJECTIVES", "Learning", "Objective"]

import_submodules(__name__, __path__)
