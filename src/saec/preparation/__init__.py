"""From a folder of recordings to a folder of spectrogram pictures."""

from saec.preparation.job import PreparationJob, plan_preparation, prepare
from saec.preparation.look import PreparationSession

__all__ = ["PreparationJob", "PreparationSession", "plan_preparation", "prepare"]
