"""Builds compact auto-encoders that turn folders of spectrogram pictures into features that cluster.

The work of the scripts, from Python: each takes a session as a file, a mapping or an object.
"""

import os
from importlib import import_module
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads sleep
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # the CPU does what Apple's GPU cannot
_HOMES = {
    "draw_views": "training",
    "evaluate": "report",
    "extract": "extraction",
    "predict": "extraction",
    "prepare": "preparation",
    "train": "training",
}
__all__ = list(_HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def __getattr__(name: str) -> Any:
    """Imports what is named when it is first used, for its packages take seconds to import; in a notebook,
    progress and log lines are shown from then on.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'saec' has no attribute {name!r}")
    import_module("saec.progress").show_in_notebook()
    return getattr(import_module(f"saec.{_HOMES[name]}"), name)
