"""What a session file may say. All of it is checked here, before any data are read; no path is touched."""

from saec.session.base import Session, SessionError
from saec.session.load import load_session
from saec.session.preparation import PreparationSession
from saec.session.training import TrainingOptions, TrainingSession, Weights, WeightsOf

__all__ = [
    "PreparationSession",
    "Session",
    "SessionError",
    "TrainingOptions",
    "TrainingSession",
    "Weights",
    "WeightsOf",
    "load_session",
]
