"""Builds a convolutional auto-encoder whose decoder undoes max pooling by the indices of the maxima."""

from collections import OrderedDict
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from saec.models.base import MODELS, Model
from saec.models.cnn import require_size

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=5)]
Size = tuple[int, int]


@MODELS.register("convae")
def convae(
    input_shape: tuple[int, ...],
    *,
    widths: Widths = (64, 128, 256),
    latent: PositiveInt = 10,
    unpooling: Literal["indices", "nearest"] = "indices",
) -> Model:
    """Builds 5 x 5 convolutions with batch norm, leaky ReLU and max pooling, the last one bare; and back.

    `unpooling`: values return to the positions of the maxima (indices), which the decoder has only for the
    batch that was encoded last; or to the whole window (nearest), so that any latents can be decoded. It
    takes only spectra of the size that it was made for.
    """
    channels, height, width = input_shape
    steps = list(pairwise((channels, *widths, latent)))
    require_size(input_shape, len(steps))
    downs = [Down(*step, bare=step is steps[-1]) for step in steps]
    sizes = [(height >> i, width >> i) for i in range(len(steps))]
    ups = [
        Up(n_out, n_in, size, down if unpooling == "indices" else None, bare=i == 0)
        for i, ((n_in, n_out), size, down) in enumerate(zip(steps, sizes, downs, strict=True))
    ]
    encoder = OrderedDict[str, nn.Module]((f"conv{i}", down) for i, down in enumerate(downs, start=1))
    decoder = nn.Sequential(*reversed(ups))
    own = {"height": height, "time_pool": 2 ** len(steps), "width": width}
    return Model(nn.Sequential(encoder), decoder, **own, whole_batches=unpooling == "indices")


class Down(nn.Module):
    """Halves both axes by max pooling, and keeps the indices of the maxima of the last batch."""

    def __init__(self, n_in: int, n_out: int, bare: bool):
        super().__init__()
        convolution = nn.Conv2d(n_in, n_out, 5, padding=2)
        self.layers = nn.Sequential(convolution, *_normed(n_out, bare))
        self.indices: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        pooled, indices = F.max_pool2d(self.layers(x), 2, return_indices=True)
        if not torch.compiler.is_exporting():  # an exported encoder has no decoder
            self.indices = indices
        return pooled


class Up(nn.Module):
    """Brings both axes back to the size they had, by the indices that a `Down` keeps, or evenly."""

    def __init__(self, n_in: int, n_out: int, size: Size, down: Down | None, bare: bool):
        super().__init__()
        self.size = size
        self.of = (down,)  # in a tuple, since its weights are the encoder's
        self.layers = nn.Sequential(nn.ConvTranspose2d(n_in, n_out, 5, padding=2), *_normed(n_out, bare))

    def forward(self, x: Tensor) -> Tensor:
        (down,) = self.of
        if down is None:
            return self.layers(F.interpolate(x, self.size, mode="nearest"))
        if down.indices is None or down.indices.shape != x.shape:
            raise ValueError(
                "the decoder of `convae` puts values where those of the batch encoded last came from, and was"
                " given latents of another batch: choose `model.unpooling: nearest`"
            )
        return self.layers(F.max_unpool2d(x, down.indices, (2, 2), output_size=self.size))


def _normed(n: int, bare: bool) -> tuple[nn.Module, ...]:
    return () if bare else (nn.BatchNorm2d(n), nn.LeakyReLU())
