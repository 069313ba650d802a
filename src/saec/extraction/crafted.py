"""Hand-crafted features in place of a model's: no run, no latents, one row a sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saec.data import DATA, Dataset
from saec.data.kinds import Places
from saec.data.sound_store import FULL_SCALE, NOTHING
from saec.registry import Component

AT_ONCE = 64  # samples of a batch


@dataclass(frozen=True)
class Crafted:
    """What features come of where nothing was learnt: it answers as a run does."""

    component: Component

    channels = 1
    colormap = None

    @property
    def folder(self) -> Path:
        """It has none; its name stands for it."""
        return Path(self.component.name)

    @property
    def timestamp(self) -> str:
        return self.component.name

    @property
    def data(self) -> Places:
        extractor = self.component()
        hop = max(2, round(extractor.windows["step_s"] * extractor.listening["sample_rate"]))
        spectrum = {"name": "linear", "n_fft": 2 * hop, "hop_length": hop}  # never made, but fits any rate
        plain = {"kind": "audio", "train": "", "length_s": "longest", "spectrum": spectrum}
        return DATA.parse(plain | extractor.listening)

    def which(self, weights: str) -> dict[str, Any]:
        return self.component.model_dump(mode="json")


class CraftedEncoder:
    """One row of features a sample, computed on the CPU."""

    def __init__(self, source: Crafted, data: Dataset):
        self.extractor = source.component()
        self.data = data
        self.batch_size = AT_ONCE
        self.shapes = {"pooled": (len(self.extractor.names),)}

    def gather(self, rows: np.ndarray) -> Tensor:
        return self.data.gather(rows, torch.device("cpu"))

    def __call__(self, raw: Tensor, n: int) -> dict[str, Tensor]:
        sounds = [sound[sound != NOTHING] / FULL_SCALE for sound in raw[:n].numpy()]
        return {"pooled": torch.from_numpy(np.stack([self.extractor(sound) for sound in sounds]))}
