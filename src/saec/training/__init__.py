"""From a training session to a finished run."""

from saec.training.job import go_on, plan_run_folder, plan_training, train

__all__ = ["go_on", "plan_run_folder", "plan_training", "train"]
