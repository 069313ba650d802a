"""Builds a compact auto-encoder: a coarse stem, few channels, one row of latents with context over time."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from saec.models.base import MODELS, Model

HEIGHT = 128
STEM = 4  # rows, and at most as many columns, that the first convolution makes one

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=6)]
Stride = tuple[int, int]  # (frequency, time)


@MODELS.register("compact")
def compact(
    input_shape: tuple[int, ...],
    *,
    widths: Widths = (24, 48, 64),
    latent: PositiveInt = 128,
    time_halvings: PositiveInt = 3,
    context: NonNegativeInt = 2,
) -> Model:
    """Quarters both axes in a stem, then halves frequency once a width, and time while halvings are left.

    A learned sum over the last rows leaves one row of latents, linear; `context` residual blocks along time
    then let each of them see further (dilated by 1, 2, 4 ... steps). Convolutions of the decoder work before
    each upsampling, where they are cheap; it ends in a sigmoid.
    """
    strides = _strides(len(widths), time_halvings)
    rows = HEIGHT >> (len(widths) + 1)
    (stem, *steps) = zip((input_shape[0], *widths), widths, strides, strict=False)
    down = [_down(*step) for step in steps]
    up = [_up(wide, narrow, stride) for narrow, wide, stride in reversed(steps)]
    return Model(
        encoder=nn.Sequential(
            _down(*stem, kernel=7),
            *down,
            nn.Conv2d(widths[-1], latent, (rows, 1)),
            *(Residual(latent, dilation=2**i) for i in range(context)),
        ),
        decoder=nn.Sequential(
            nn.Sequential(
                nn.ConvTranspose2d(latent, widths[-1], (rows, 1), bias=False), *_normed(widths[-1])
            ),
            *up,
            nn.Sequential(_upsample(widths[0], input_shape[0], strides[0]), nn.Sigmoid()),
        ),
        height=HEIGHT,
        time_pool=2**time_halvings,
    )


class Residual(nn.Module):
    """Adds to the latents a dilated convolution along time of themselves."""

    def __init__(self, n: int, dilation: int):
        super().__init__()
        along_time = nn.Conv2d(n, n, (1, 3), padding=(0, dilation), dilation=(1, dilation), bias=False)
        self.change = nn.Sequential(*_normed(n), along_time)

    def forward(self, latents: Tensor) -> Tensor:
        return latents + self.change(latents)


def _strides(n_widths: int, time_halvings: int) -> list[Stride]:
    """Returns the strides of the stem and of each later block."""
    if time_halvings > n_widths + 1:
        most = f"at most {n_widths + 1}, one more than there are widths"
        raise ValueError(f"time_halvings must be {most}, got {time_halvings}")
    stem = (STEM, min(STEM, 2**time_halvings))
    return [stem] + [(2, 2 if i < time_halvings - 2 else 1) for i in range(n_widths - 1)]


def _down(n_in: int, n_out: int, stride: Stride, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, *_normed(n_out))


def _up(n_in: int, n_out: int, stride: Stride) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, *_normed(n_out), nn.Upsample(scale_factor=stride, mode="nearest"))


def _upsample(n_in: int, n_out: int, stride: Stride) -> nn.Module:
    """Returns a transposed convolution whose kernel is twice the stride, so that no seams are visible."""
    frequency, time = stride
    return nn.ConvTranspose2d(n_in, n_out, (2 * frequency, 2 * time), stride, (frequency // 2, time // 2))


def _normed(n: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(n), nn.ReLU()
