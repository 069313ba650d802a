"""Manages runs: folders with the session, the weights, the scores and the progress of a training."""

from saec.runs.run import REBUILT, SESSION, TIMESTAMP, Progress, Run

__all__ = ["REBUILT", "SESSION", "TIMESTAMP", "Progress", "Run"]
