"""What makes features of sound without a model that has learnt, by the names that sessions use."""

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from saec.registry import Registry
from saec.sound.handcrafted import NAMES, handcrafted, sizes
from saec.sound.recordings import Channel

EXTRACTORS = Registry("extractor")


@EXTRACTORS.register("handcrafted")
class Handcrafted:
    """The 136 hand-crafted features of a sound, and the way it is listened to.

    34 short-term features and their differences in frames of `window_s`, one every `hop_s`; their means and
    deviations in mid-term windows of `mid_window_s`, one every `mid_step_s`; the mean over these. Recordings
    are resampled to `sample_rate` and cut into segments as the data kind `audio` does.
    """

    names = NAMES

    def __init__(
        self,
        *,
        sample_rate: Annotated[int, Field(ge=2_000, le=1_000_000)] = 16_000,
        channel: Channel = "mean",
        segment_s: PositiveFloat | None = None,
        step_s: PositiveFloat | None = None,
        window_s: PositiveFloat = 0.05,
        hop_s: PositiveFloat = 0.01,
        mid_window_s: PositiveFloat = 1.0,
        mid_step_s: PositiveFloat = 1.0,
    ):
        self.listening = {
            "sample_rate": sample_rate,
            "channel": channel,
            "segment_s": segment_s,
            "step_s": step_s,
        }
        self.windows = {
            "window_s": window_s,
            "step_s": hop_s,
            "mid_window_s": mid_window_s,
            "mid_step_s": mid_step_s,
        }
        sizes(sample_rate, *self.windows.values())  # what windows and rate cannot do is said now

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """(samples,) in [-1, 1] to (136,) float32."""
        return handcrafted(sound, self.listening["sample_rate"], **self.windows)
