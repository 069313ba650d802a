"""The front end of pictures: stored bytes to floats in [0, 1], at a size that the model can take."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from saec.faults import Fault

Fit = Literal["none", "pad", "crop", "resize"]


@dataclass(frozen=True)
class PictureFront:
    """From (batch, height, width[, 3]) uint8 to (batch, channels, height, width) float."""

    stored: tuple[int, int]  # height and width of a stored picture
    channels: Literal["intensity", "rgb"]
    fit: Fit = "none"
    colours: np.ndarray | None = None  # (256, 3): the map, where intensity is stored
    size: tuple[int, int] | None = None  # height and width that come out

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1 if self.channels == "intensity" else 3, *(self.size or self.stored))

    @property
    def in_units(self) -> bool:
        return True

    def decide(self, batches: Iterable[Tensor]) -> dict[str, Any]:
        return {}

    def fitted(self, height: int | None, time_pool: int, width: int | None = None) -> "PictureFront":
        """The same front end with the size that a model needs; `width` where it takes that one alone.

        Raises:
            Fault: the stored size does not suit the model and `fit` is none, or it is too narrow to crop.
        """
        wanted, (high, wide) = height or self.stored[0], self.stored
        if width is not None:
            return self._as_wide(wanted, width)
        if self.fit == "none" and (high != wanted or wide % time_pool):
            raise Fault(
                f"pictures are {wide} wide and {high} high, the model needs a width that is a multiple of "
                f"{time_pool} and a height of {wanted}: choose `data.fit: pad`, `crop` or `resize`, another "
                "model, or make the pictures anew"
            )
        if self.fit == "crop" and wide < time_pool:
            raise Fault(f"pictures of width {wide} cannot be cropped to {time_pool}: choose `data.fit: pad`")
        steps = {"pad": ceil(wide / time_pool), "crop": wide // time_pool}
        n_steps = steps.get(self.fit, max(1, round(wide / time_pool)))
        return replace(self, size=(wanted, n_steps * time_pool))

    def _as_wide(self, height: int, width: int) -> "PictureFront":
        high, wide = self.stored
        narrow = self.fit in ("none", "crop") and wide < width
        if (
            self.fit == "none"
            and (high, wide) != (height, width)
            or narrow
            or self.fit == "pad"
            and wide > width
        ):
            raise Fault(
                f"pictures are {wide} wide and {high} high, the model takes {width} x {height} alone: choose "
                "`data.fit: resize`, another model, or make the pictures anew"
            )
        return replace(self, size=(height, width))

    def __call__(self, raw: Tensor) -> Tensor:
        x = self._floats(raw)
        if self.size is None or x.shape[2:] == self.size:
            return x
        height, width = self.size
        resized = (height, width if self.fit == "resize" else x.shape[3])
        if x.shape[2:] != resized:
            x = F.interpolate(x, resized, mode="bilinear", antialias=True).clamp(0, 1)
        return self._padded(x[..., :width], width - x.shape[3])

    def _floats(self, raw: Tensor) -> Tensor:
        if raw.ndim == 4:  # stored as RGB
            return raw.permute(0, 3, 1, 2).float() / 255
        if self.channels == "intensity":
            return raw[:, None].float() / 255
        colours = torch.from_numpy(self.colours).to(raw.device)
        return colours[raw.long()].permute(0, 3, 1, 2).float() / 255

    def _padded(self, x: Tensor, n: int) -> Tensor:
        """The floor colour on the right, n columns of it."""
        if n <= 0:
            return x
        floor = torch.zeros(x.shape[1], device=x.device)
        if self.channels == "rgb" and self.colours is not None:
            floor = torch.from_numpy(self.colours[0]).to(x.device).float() / 255
        return torch.cat([x, floor[None, :, None, None].expand(*x.shape[:3], n)], dim=3)
