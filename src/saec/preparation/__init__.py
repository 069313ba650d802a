"""Makes a folder of spectrogram pictures from a folder of recordings."""

from saec.preparation.job import PreparationJob, plan_preparation, prepare
from saec.preparation.look import PreparationSession

__all__ = ["PreparationJob", "PreparationSession", "plan_preparation", "prepare"]
