"""The pictures of a set, in the order of its names; and how good features are that nothing was learnt for."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from saec.config import Config
from saec.data import Cache
from saec.data.batch import Dataset, chunks
from saec.data.images import Images
from saec.tables import Table

FLOOR = "pixels 32 x 32"


def opened(folder: Path, config: Config) -> Dataset:
    """All pictures of a folder, as intensity where a colour map explains them, else as RGB.

    Raises:
        Fault: some cannot be read, or sizes differ.
    """
    data = Images(folder, Cache.of(config), channels="rgb").open()
    return data if data.about["colormap"] == "none" else Images(folder, Cache.of(config)).open()


def pixel_floor(folder: Path, names: np.ndarray, config: Config) -> Table:
    """Small pictures as features of the pictures by these names, which are all in the folder."""
    data = opened(folder, config)
    rows = small_pictures(data.subset(np.searchsorted(data.names, names)))
    varies = np.ptp(rows, axis=0) > 0
    return Table(folder, rows[:, varies] if varies.any() else rows, names)


AT_ONCE = 64
SIDE = 32  # pixels


def small_pictures(data: Dataset, side: int = SIDE) -> np.ndarray:
    """(pictures, channels x side x side), float32: means over areas of each picture."""
    cpu = torch.device("cpu")
    pieces = chunks(np.arange(len(data)), AT_ONCE)
    small = [
        F.interpolate(data.prepare(data.gather(rows, cpu)), (side, side), mode="area").flatten(1)
        for rows in pieces
    ]
    return torch.cat(small).numpy()
