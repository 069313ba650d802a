"""Trains a run from a training session."""

from saec.session import TrainingSession
from saec.training.job import draw_views, go_on, plan_run_folder, plan_training, train

__all__ = ["TrainingSession", "draw_views", "go_on", "plan_run_folder", "plan_training", "train"]
