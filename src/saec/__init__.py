"""Builds compact auto-encoders that turn folders of spectrogram pictures into features that cluster.

The work of the scripts, from Python: each takes a session as a file, a mapping or an object.
"""

from importlib import import_module
from typing import Any

__all__ = ["evaluate", "extract", "predict", "prepare", "train"]


def __getattr__(name: str) -> Any:
    """Imports what is named when it is first used, for its packages take seconds to import."""
    homes = {
        "train": "training",
        "extract": "extraction",
        "predict": "extraction",
        "evaluate": "report",
        "prepare": "preparation",
    }
    if name not in homes:
        raise AttributeError(f"module 'saec' has no attribute {name!r}")
    return getattr(import_module(f"saec.{homes[name]}"), name)
