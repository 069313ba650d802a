"""From a folder of recordings to a folder of spectrogram pictures."""

from saec.preparation.folder import PictureFolder
from saec.preparation.job import Preparation, PreparationJob, plan_pictures

__all__ = ["PictureFolder", "Preparation", "PreparationJob", "plan_pictures"]
