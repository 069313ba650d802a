"""From a training session to a finished run."""

from saec.training.loop import epochs_of, go_on, plan_going_on, train
from saec.training.plan import TrainingPlan, plan_training

__all__ = ["TrainingPlan", "epochs_of", "go_on", "plan_going_on", "plan_training", "train"]
