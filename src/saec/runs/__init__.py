"""Trainings on the disk, each a folder: its session, its weights, its scores, and how far it has come."""

from saec.runs.run import REBUILT, SESSION, TIMESTAMP, Progress, Run

__all__ = ["REBUILT", "SESSION", "TIMESTAMP", "Progress", "Run"]
