"""What a session file may say. All of it is checked here, before any data are read; no path is touched."""

from importlib import import_module
from typing import Any

from saec.session.base import Session, SessionError
from saec.session.extraction import ExtractionSession, Reduction, Samples
from saec.session.load import load_session
from saec.session.preparation import PreparationSession
from saec.session.training import TrainingOptions, TrainingSession, Weights, WeightsOf

__all__ = [
    "Combine",
    "EvaluatedSet",
    "EvaluationSession",
    "ExplorerOptions",
    "ExtractionSession",
    "FeatureFile",
    "Labels",
    "Predictions",
    "PreparationSession",
    "Rebuilding",
    "Reduction",
    "Samples",
    "Search",
    "Session",
    "SessionError",
    "TrainingOptions",
    "TrainingSession",
    "Weights",
    "WeightsOf",
    "load_session",
]


def __getattr__(name: str) -> Any:
    """What an evaluation may say is read when it is asked for: scikit-learn takes seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module 'saec.session' has no attribute {name!r}")
    return getattr(import_module("saec.session.evaluation"), name)
