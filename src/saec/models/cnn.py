"""Builds a convolutional encoder for classifiers: blocks that halve both axes, then two linear blocks."""

from collections import OrderedDict
from itertools import pairwise
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import nn

from saec.models.base import MODELS, Model

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=6)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


@MODELS.register("cnn")
def cnn(
    input_shape: tuple[int, ...],
    *,
    widths: Widths = (32, 64, 128, 256),
    hidden: PositiveInt = 1024,
    latent: PositiveInt = 256,
    dropout: tuple[Dropout, Dropout] = (0.75, 0.5),
) -> Model:
    """Builds 5 x 5 convolutions with batch norm, leaky ReLU and max pooling, then two linear blocks.

    Latents are (latent, 1, 1); there is no decoder. The classifier on the latents is the objective's head. It
    takes only spectra of the size that it was made for.
    """
    channels, height, width = input_shape
    n_halvings = len(widths)
    require_size(input_shape, n_halvings)
    n_flat = widths[-1] * (height >> n_halvings) * (width >> n_halvings)
    blocks = [
        (f"conv{i}", _halving(n_in, n_out))
        for i, (n_in, n_out) in enumerate(pairwise((channels, *widths)), start=1)
    ]
    lin1 = nn.Sequential(nn.Flatten(), *_linear(n_flat, hidden, dropout[0]))
    lin2 = nn.Sequential(*_linear(hidden, latent, dropout[1]), nn.Unflatten(1, (latent, 1, 1)))
    encoder = nn.Sequential(OrderedDict([*blocks, ("lin1", lin1), ("lin2", lin2)]))
    return Model(encoder, height=height, time_pool=width, width=width)


def require_size(input_shape: tuple[int, ...], n_halvings: int) -> None:
    """Raises a `ValueError` if an axis is too short to be halved so many times."""
    _, height, width = input_shape
    least = 2**n_halvings
    if min(height, width) < least:
        raise ValueError(
            f"needs spectra of at least {least} rows and {least} frames, got {height} x {width}: choose a "
            "smaller `data.spectrum.hop_length`, a longer `data.length_s`, or fewer `widths`"
        )


def _halving(n_in: int, n_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, 5, padding=2)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.LeakyReLU(), nn.MaxPool2d(2))


def _linear(n_in: int, n_out: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Dropout(dropout), nn.Linear(n_in, n_out), nn.LeakyReLU()
