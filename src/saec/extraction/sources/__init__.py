"""What features are computed by, each under its key of an extraction session."""

from saec.extraction.sources.base import (
    SOURCES,
    Computed,
    ExtractionData,
    Source,
    build_source,
    session_fields,
)
from saec.registry import import_submodules

__all__ = ["SOURCES", "Computed", "ExtractionData", "Source", "build_source", "session_fields"]

import_submodules(__name__, __path__)
