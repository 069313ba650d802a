"""A compact auto-encoder: strided stem, few channels, the frequency axis collapsed by a learned sum."""

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import nn

from saec.models.base import MODELS, Model

HEIGHT = 128

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=7)]


@MODELS.register("compact")
def compact(
    input_shape: tuple[int, ...],
    *,
    widths: Widths = (24, 48, 64, 96),
    latent: Annotated[int, Field(gt=0)] = 128,
    time_halvings: Annotated[int, Field(ge=1)] = 3,
) -> Model:
    """Halves the frequency axis once a width, the time axis in the first `time_halvings` of them.

    The latent is (latent, 1, width / 2**time_halvings), linear; the decoder mirrors the encoder, with
    upsampling before convolutions, and ends in a sigmoid.
    """
    if time_halvings > len(widths):
        raise ValueError(
            f"time_halvings must be at most the number of widths {len(widths)}, got {time_halvings}"
        )
    channels = input_shape[0]
    strides = [(2, 2 if place < time_halvings else 1) for place in range(len(widths))]
    rows = HEIGHT >> len(widths)
    steps = list(zip((channels, *widths), widths, strides, strict=False))
    down = [_down(*step, kernel=5 if place == 0 else 3) for place, step in enumerate(steps)]
    up = [_up(wide, narrow, stride) for narrow, wide, stride in reversed(steps[1:])]
    return Model(
        encoder=nn.Sequential(*down, nn.Conv2d(widths[-1], latent, (rows, 1))),
        decoder=nn.Sequential(
            nn.Sequential(nn.ConvTranspose2d(latent, widths[-1], (rows, 1)), *_normed(widths[-1])),
            *up,
            nn.Sequential(
                nn.Upsample(scale_factor=strides[0], mode="nearest"),
                nn.Conv2d(widths[0], channels, 5, padding=2),
                nn.Sigmoid(),
            ),
        ),
        height=HEIGHT,
        time_pool=2**time_halvings,
    )


def _down(n_in: int, n_out: int, stride: tuple[int, int], kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, *_normed(n_out))


def _up(n_in: int, n_out: int, stride: tuple[int, int]) -> nn.Sequential:
    upsampling = nn.Upsample(scale_factor=stride, mode="nearest")
    return nn.Sequential(upsampling, nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), *_normed(n_out))


def _normed(n: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(n), nn.ReLU()
