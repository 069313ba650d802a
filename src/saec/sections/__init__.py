"""Registers the sections of a report, which the keys of an evaluation session ask for."""

from saec.registry import import_submodules
from saec.sections.base import SECTIONS

__all__ = ["SECTIONS"]

import_submodules(__name__, __path__)
