"""Builds auto-encoders of traces: convolutions along time over all columns, of samples of any lengths."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from operator import mul
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from saec.models.base import MODELS, Model, Ragged
from saec.together import summed

HIDDEN = {  # widths between columns and latents, by the width of latents and the number of blocks
    1024: {2: (512,), 3: (128, 512), 4: (128, 256, 512), 5: (128, 256, 512)},
    768: {2: (256,), 3: (128, 256), 4: (128, 256, 256), 5: (128, 256, 256)},
}
LOW_PASS = (1, 4, 6, 4, 1)  # binomial: without overshoot, what is positive stays so
ENDS = {"linear": nn.Identity, "relu": nn.ReLU}
TINY = 1e-6  # beneath a norm that is divided by
REACH = 2  # frames to both sides that the low-pass filter and the kernels of `conv1d_strided` see

Blocks = Annotated[int, Field(ge=2, le=5)]
Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=6)]
Frames = Annotated[int, Field(ge=1, le=501)]
Strides = Annotated[tuple[Literal[1, 2], ...], Field(min_length=1, max_length=6)]
End = Literal["linear", "relu"]


@MODELS.register("conv1d")
def conv1d(
    input_shape: tuple[int, ...],
    *,
    encoder_blocks: Blocks = 5,
    decoder_blocks: Blocks = 3,
    inner: Literal[1024, 768] = 1024,
    end: End = "linear",
) -> Model:
    """Builds blocks of batch norm, convolution along time and ReLU; each frame has a latent of its own.

    The rows of all channels are the columns of the first block. `end` is what follows the last convolution
    of the decoder; with `relu` nothing negative can be rebuilt.
    """
    channels, rows, _ = input_shape
    encoder = [Block(*step) for step in _steps(channels * rows, encoder_blocks, inner)]
    *up, last = _steps(channels * rows, decoder_blocks, inner, back=True)
    decoder = [*(Block(*step) for step in up), Block(*last, end, rows)]
    return Model(_named(encoder), _named(decoder), height=rows, ragged=True)


@MODELS.register("conv1d_strided")
def conv1d_strided(
    input_shape: tuple[int, ...],
    *,
    widths: Widths = (64, 128),
    latent: PositiveInt = 128,
    strides: Strides = (2, 2),
    end: End = "linear",
) -> Model:
    """Builds a block for each width and one for the latents, which a shift by all strides only shifts.

    A block halves the frames (stride 2) behind a fixed low-pass filter. A sample's first and last frame are
    repeated beyond its ends. `end` is what follows the last convolution of the decoder.
    """
    if len(strides) != len(widths):
        raise ValueError(f"`strides` must be as many as `widths`, {len(widths)}, got {len(strides)}")
    channels, rows, _ = input_shape
    frames = accumulate(strides, mul, initial=1)  # of the input in one of a block
    steps = list(zip(pairwise((channels * rows, *widths, latent)), frames, (*strides, 1), strict=True))
    encoder = [Strided(*step, frame, down=stride) for step, frame, stride in steps]
    *up, last = [(wide, narrow, frame, stride) for (narrow, wide), frame, stride in reversed(steps)]
    decoder = [*(Strided(*step) for step in up), Strided(*last, end=end, rows=rows)]
    return Model(_named(encoder), _named(decoder), height=rows, time_pool=prod(strides), ragged=True)


@MODELS.register("movements")
def movements(
    input_shape: tuple[int, ...],
    *,
    widths: Widths = (64, 64),
    latent: PositiveInt = 32,
    kernel: Frames = 9,
    movement_frames: Frames = 31,
) -> Model:
    """Builds an encoder of blocks as `conv1d` has them, and a decoder that is a dictionary of movements.

    A code says how strong its movement is at each frame; what is decoded is the sum of all movements. They
    are `movement_frames` long, and have a norm of 1, so that small codes cannot make large movements.
    """
    if not (kernel % 2 and movement_frames % 2):
        raise ValueError(f"`kernel` and `movement_frames` must be odd, got {kernel} and {movement_frames}")
    channels, rows, _ = input_shape
    encoder = [Block(*step, kernel) for step in pairwise((channels * rows, *widths, latent))]
    decoder = [Movements(latent, channels * rows, movement_frames, rows)]
    return Model(_named(encoder), _named(decoder), height=rows, ragged=True)


class MaskedNorm(nn.BatchNorm2d):
    """Is a batch norm in which only a sample's own frames count; the others become zero. Statistics are of
    all processes that learn together.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor, n_own: Tensor | None = None) -> Tensor:
        if n_own is None:
            return super().forward(x)
        if not self.training:
            return _own(super().forward(x), n_own)
        exact = x.to(self.weight.dtype)  # arithmetic of mixed types is slow
        own = _is_own(x, n_own).to(exact.dtype)
        n = summed(n_own.sum())
        mean = summed((exact * own).sum((0, 2, 3))) / n
        centred = (exact - mean[:, None, None]) * own
        variance = summed(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1).clamp(min=1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None] * own).to(x.dtype)


class Block(nn.Module):
    """Normalizes every column, convolves along time, and rectifies."""

    def __init__(self, n_in: int, n_out: int, kernel: int, end: End = "relu", rows: int = 1):
        super().__init__()
        self.norm = MaskedNorm(n_in)
        self.convolution = nn.Conv2d(n_in, n_out, (1, kernel), padding=(0, kernel // 2))
        self.end = ENDS[end]()
        self.rows = rows

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = self.end(self.convolution(self.norm(_as_columns(x), lengths)))
        return _as_rows(_own(x, lengths), self.rows)


class Movements(nn.Module):
    """Adds movements of norm 1, as strong as the codes say; it is linear."""

    def __init__(self, n_codes: int, n_columns: int, n_frames: int, rows: int):
        super().__init__()
        self.convolution = nn.Conv2d(n_codes, n_columns, (1, n_frames), padding=(0, n_frames // 2))
        self.rows = rows

    @property
    def kernel(self) -> Tensor:
        """Returns the kernel, (columns, codes, 1, frames): movements, the last frame first."""
        weight = self.convolution.weight
        return weight / weight.square().sum((0, 2, 3), keepdim=True).sqrt().clamp(min=TINY)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        layer = self.convolution
        x = F.conv2d(_as_columns(x), self.kernel, layer.bias, padding=layer.padding)
        return _as_rows(_own(x, lengths), self.rows)


class Strided(nn.Module):
    """Doubles the frames (`up` 2), convolves along time, rectifies, and halves the frames (`down` 2).

    While it convolves, a frame is `frame` columns of the model's input. Without `end` it has a norm.
    """

    low_pass: Tensor | None

    def __init__(
        self,
        n_in: int,
        n_out: int,
        frame: int,
        up: int = 1,
        down: int = 1,
        end: End | None = None,
        rows: int = 1,
    ):
        super().__init__()
        self.frame, self.up, self.down, self.rows = frame, up, down, rows
        self.convolution = nn.Conv2d(n_in, n_out, (1, 2 * REACH + 1), bias=end is not None)
        self.norm = MaskedNorm(n_out) if end is None else None
        self.end = ENDS[end or "relu"]()
        low_pass = torch.tensor(LOW_PASS)[None, None, None] / sum(LOW_PASS)
        self.register_buffer("low_pass", low_pass if down > 1 else None)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        n_own = _n_frames(lengths, self.frame)
        x = _as_columns(x)
        x = x.repeat_interleave(self.up, dim=-1) if self.up > 1 else x
        x = self.convolution(_held(x, n_own))
        x = self.end(x if self.norm is None else self.norm(x, n_own))
        if self.low_pass is not None:
            kernels = self.low_pass.expand(x.shape[1], -1, -1, -1)
            x = F.conv2d(_held(x, n_own), kernels, stride=(1, self.down), groups=len(kernels))
        return _as_rows(_own(x, _n_frames(lengths, self.frame * self.down)), self.rows)


def _steps(n_columns: int, n_blocks: int, inner: int, back: bool = False) -> list[tuple[int, int, int]]:
    """Returns the width before each block, that behind it, and its kernel: to the latents, or `back`."""
    widths = (n_columns, *HIDDEN[inner][n_blocks], inner)[:: -1 if back else 1]
    widths = widths if n_blocks < 5 else (widths[0], *widths)
    kernels = (3 if n_blocks == 2 else 5, *(3,) * (n_blocks - 1))
    return [(*step, kernel) for step, kernel in zip(pairwise(widths), kernels, strict=True)]


def _named(blocks: Sequence[nn.Module]) -> Ragged:
    return Ragged(OrderedDict((f"conv{i}", block) for i, block in enumerate(blocks, start=1)))


def _as_columns(x: Tensor) -> Tensor:
    """Returns (batch, channels x rows, 1, time) of (batch, channels, rows, time)."""
    return x.flatten(1, 2)[:, :, None]


def _as_rows(x: Tensor, n: int) -> Tensor:
    """Returns (batch, channels, n rows, time) of (batch, channels x rows, 1, time)."""
    return x.unflatten(1, (-1, n)).flatten(2, 3)


def _n_frames(lengths: Tensor | None, frame: int) -> Tensor | None:
    return None if lengths is None else (lengths + frame - 1) // frame


def _is_own(x: Tensor, n_own: Tensor) -> Tensor:
    """Returns which frames are a sample's own: (batch, 1, 1, time)."""
    return (torch.arange(x.shape[-1], device=x.device) < n_own[:, None])[:, None, None]


def _own(x: Tensor, n_own: Tensor | None) -> Tensor:
    """Returns x with zeros behind each sample's own frames."""
    return x if n_own is None else x * _is_own(x, n_own).to(x.dtype)


def _held(x: Tensor, n_own: Tensor | None) -> Tensor:
    """Returns x with `REACH` more frames on both sides, which repeat the first and the last own frame."""
    if n_own is not None:
        last = (n_own - 1)[:, None, None, None].expand(-1, x.shape[1], 1, 1)
        x = torch.where(_is_own(x, n_own), x, x.gather(3, last))
    return F.pad(x, (REACH, REACH, 0, 0), mode="replicate")
