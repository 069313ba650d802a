"""Builds compact auto-encoders that turn folders of spectrogram pictures into features that cluster.

The work of the scripts, from Python: each takes a session as a file, a mapping or an object.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:  # what editors see
    from saec.extraction import extract as extract
    from saec.extraction import predict as predict
    from saec.preparation import prepare as prepare
    from saec.report import evaluate as evaluate
    from saec.training import draw_views as draw_views
    from saec.training import train as train


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
