"""From a folder of recordings to a folder of spectrogram pictures."""

from saec.preparation.folder import PictureFolder
from saec.preparation.job import (
    PreparationJob,
    PreparationSession,
    plan_pictures,
    plan_preparation,
    prepare,
)

__all__ = [
    "PictureFolder",
    "PreparationJob",
    "PreparationSession",
    "plan_pictures",
    "plan_preparation",
    "prepare",
]
