"""From a folder of recordings to a folder of spectrogram pictures."""

from saec.preparation.folder import Preparation, check_preparation, prepare_folder

__all__ = ["Preparation", "check_preparation", "prepare_folder"]
