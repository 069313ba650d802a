"""What a session file may say. All of it is checked here, before any data are read; no path is touched."""

from saec.session.base import Session, SessionError
from saec.session.evaluation import (
    EvaluatedSet,
    EvaluationSession,
    ExplorerOptions,
    FeatureFile,
    Labels,
    Rebuilding,
    Search,
)
from saec.session.extraction import ExtractionSession, PictureFolder, Reduction
from saec.session.load import load_session
from saec.session.preparation import PreparationSession
from saec.session.training import TrainingOptions, TrainingSession, Weights, WeightsOf

__all__ = [
    "EvaluatedSet",
    "EvaluationSession",
    "ExplorerOptions",
    "ExtractionSession",
    "FeatureFile",
    "Labels",
    "PictureFolder",
    "PreparationSession",
    "Rebuilding",
    "Reduction",
    "Search",
    "Session",
    "SessionError",
    "TrainingOptions",
    "TrainingSession",
    "Weights",
    "WeightsOf",
    "load_session",
]
