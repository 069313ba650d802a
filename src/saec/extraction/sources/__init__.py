"""Registers the sources of features, each under its key of an extraction session."""

from saec.extraction.data import ExtractionData
from saec.extraction.sources.base import SOURCES, Source, build_source
from saec.registry import import_submodules

__all__ = ["SOURCES", "ExtractionData", "Source", "build_source"]

import_submodules(__name__, __path__)
