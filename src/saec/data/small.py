"""Pictures made small: what any learned feature has to beat, and what pictures are compared by."""

import numpy as np
import torch
from torch.nn import functional as F

from saec.data.batch import Dataset, chunks

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
