"""Compact auto-encoders that turn folders of spectrogram pictures into features that cluster.

The work of the scripts, from Python: each takes a session as a file, a mapping or an object.
"""

from typing import Any

__all__ = ["evaluate", "extract", "predict", "prepare", "train"]


def __getattr__(name: str) -> Any:
    """The heavy rooms are opened when they are asked for."""
    if name == "train":
        from saec.training import train as found
    elif name == "extract":
        from saec.extraction import extract as found
    elif name == "predict":
        from saec.extraction import predict as found
    elif name == "evaluate":
        from saec.report import evaluate as found
    elif name == "prepare":
        from saec.preparing import prepare as found
    else:
        raise AttributeError(f"module 'saec' has no attribute {name!r}")
    return found
