"""Builds the spectrogram auto-encoders from one table of architectures."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import prod
from typing import Literal

from pydantic import PositiveInt
from torch import nn

from saec.models.base import MODELS, Model

HEIGHT = 128  # rows of a picture; every encoder brings them down to one

Pair = tuple[int, int]  # (frequency, time)


@dataclass(frozen=True)
class Shape:
    """Describes one architecture; `..._end` names the layers after a block's convolutions."""

    down: tuple[int, ...]  # channels out of each encoder block
    pools: tuple[Pair, ...]  # of each encoder block
    up: tuple[int, ...]  # channels into each decoder block
    scales: tuple[Pair, ...]  # of each decoder block; a block without one is a 1x1 convolution
    code: int = 256  # channels of the latent
    collapse: Literal["pool", "conv", "reshape"] = "pool"  # what makes the last rows one
    code_end: str = ""  # of the last encoder block
    picture_end: str = "sigmoid"  # of the last decoder block
    single: bool = False  # one convolution a block and max pooling, instead of two and average pooling
    bilinear: bool = False  # upsampling and two convolutions in the decoder, instead of one transposed
    kernel: int = 5  # of the transposed convolutions
    frequency_paddings: tuple[tuple[int, Pair], ...] = ()  # (decoder block, paddings)

    @property
    def rows(self) -> int:
        """Returns the number of frequency rows that remain after pooling."""
        return HEIGHT // prod(frequency for frequency, _ in self.pools)

    @property
    def time_pool(self) -> int:
        return prod(time for _, time in self.pools)

    def with_latent(self, channels: int) -> "Shape":
        """Returns the architecture with a latent of so many channels, as the reference widens it.

        Raises:
            ValueError: the last block's channels, times its rows, cannot be as many.
        """
        rows = self.rows if self.collapse == "reshape" else 1
        if channels % rows:
            raise ValueError(f"`latent` must be a multiple of {rows}, got {channels}")
        if self.code != self.down[-1] * rows:
            return replace(self, code=channels)
        n = channels // rows
        return replace(self, code=channels, down=(*self.down[:-1], n), up=(n, *self.up[1:]))


GENB = Shape(
    down=(64, 128, 128, 128, 256),
    pools=((2, 2), (4, 2), (4, 2), (2, 2), (2, 2)),
    up=(256, 256, 128, 128, 128, 64),
    scales=((2, 2), (2, 2), (4, 2), (4, 2), (2, 2)),
)
# Trained weights of TP16 and TP08 were made with paddings that take the frequency axis through 16, 63 and 128
# rows, not 16, 64 and 128. They are kept, or those weights would not rebuild their pictures.
GENB_TP16 = replace(
    GENB,
    pools=((2, 2), (4, 2), (4, 2), (2, 2), (2, 1)),
    scales=((2, 2), (2, 2), (4, 2), (4, 2), (2, 1)),
    frequency_paddings=((3, (2, 2)), (4, (1, 1))),
)
GENB_TP08 = replace(
    GENB,
    pools=((2, 2), (4, 2), (4, 2), (2, 1), (2, 1)),
    scales=((2, 2), (2, 2), (4, 2), (4, 1), (2, 1)),
    frequency_paddings=((3, (1, 0)), (4, (1, 1))),
)
BLOCKS_3 = Shape(
    down=(64, 128, 128),
    pools=((2, 2),) * 3,
    up=(128, 128, 64),
    scales=((2, 2),) * 3,
    collapse="conv",
    code_end="norm relu",
    picture_end="norm sigmoid",
)
L5 = replace(GENB, down=(64, 64, 128, 256, 256), up=(256, 256, 128, 64, 64))
TEXTURE = Shape(
    down=(32, 64, 128, 128),
    pools=((1, 1), (2, 2), (4, 4), (1, 1)),
    up=(128, 128, 64, 32),
    scales=((1, 1), (4, 4), (2, 2), (1, 1)),  # a kernel of 3 leaves gaps at stride 4
    collapse="conv",
    code_end="norm",
    single=True,
    kernel=3,
)
RESHAPED = replace(
    TEXTURE,
    down=(*TEXTURE.down, 32),
    pools=((1, 1), *TEXTURE.pools),
    up=(32, 128, 128, 64, 32),
    scales=(*TEXTURE.scales, (1, 1)),
    code=512,
    collapse="reshape",
)
GAPLESS = ((2, 2), (2, 2), (2, 2), (1, 1))  # 4 as 2 * 2
LATE_POOLS = ((1, 1), (2, 2), (1, 1), (4, 4))
ARCHITECTURES = {
    "GenBTP32_CH0256": GENB,
    "GenC_new_TP32_CH0256": replace(
        GENB, up=(256, 128, 128, 128, 64), code_end="norm", picture_end="norm sigmoid", bilinear=True
    ),
    "GenB3blocks": BLOCKS_3,
    "GenBTP32_CH0512": replace(
        GENB, down=(64, 128, 128, 256, 512), up=(512, 512, 256, 128, 128, 64), code=512
    ),
    "GenBTP16_CH0256": GENB_TP16,
    "GenBTP08_CH0256": GENB_TP08,
    "conv_tran_L5_TP32_ch256": L5,
    "conv_tran_L5_TP32_ch512": L5.with_latent(512),
    "conv_conv_L5_TP32": replace(L5, bilinear=True),
    "conv_tran_L5_sym": replace(
        L5, pools=((2, 2),) * 5, scales=((2, 2),) * 5, collapse="conv", code_end="norm relu"
    ),
    "conv_tran_L4_TP08": replace(BLOCKS_3, down=(64, 64, 128), up=(128, 64, 64), picture_end="sigmoid"),
    "conv_tran_texture_01": TEXTURE,
    "conv_tran_textr_resh": RESHAPED,
    "texture_gapless": replace(TEXTURE, pools=LATE_POOLS, scales=GAPLESS, code_end="norm relu"),
    "textr_resh_gapless": replace(RESHAPED, pools=(*LATE_POOLS, (1, 1)), scales=((1, 1), *GAPLESS)),
}


def spectrogram_autoencoder(
    input_shape: tuple[int, ...], *, shape: Shape, latent: PositiveInt | None = None
) -> Model:
    """Encodes pictures (channels, 128, width) as (latent, 1, width / time_pool), and decodes them again.

    Without `latent`, its channels are as many as the reference has.
    """
    shape = shape.with_latent(latent) if latent else shape
    down = list(pairwise((input_shape[0], *shape.down)))
    up = list(pairwise((*shape.up, input_shape[0])))
    encoder = [_down(shape, i, *widths) for i, widths in enumerate(down)] + _collapse(shape)
    decoder = _expand(shape) + [_up(shape, i, *widths) for i, widths in enumerate(up)]
    return Model(_named(encoder), _named(decoder), height=HEIGHT, time_pool=shape.time_pool)


for _name, _shape in ARCHITECTURES.items():
    MODELS.register(_name, shape=_shape)(spectrogram_autoencoder)


def _named(blocks: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict((f"block{i}", block) for i, block in enumerate(blocks, start=1)))


def _down(shape: Shape, i: int, n_in: int, n_out: int) -> nn.Sequential:
    inputs = (n_in,) if shape.single else (n_in, n_out)
    convolutions = [nn.Conv2d(n, n_out, 3, padding=1) for n in inputs]
    end = shape.code_end if i == len(shape.down) - 1 else "norm relu"
    pooling = nn.MaxPool2d if shape.single else nn.AvgPool2d
    pools = [pooling(shape.pools[i])] if shape.pools[i] != (1, 1) else []
    return nn.Sequential(*convolutions, *_end(end, n_out), *pools)


def _up(shape: Shape, i: int, n_in: int, n_out: int) -> nn.Sequential:
    end = shape.picture_end if i == len(shape.up) - 1 else "norm relu"
    return nn.Sequential(*_upsampling(shape, i, n_in, n_out), *_end(end, n_out))


def _upsampling(shape: Shape, i: int, n_in: int, n_out: int) -> list[nn.Module]:
    if i == len(shape.scales):
        return [nn.Conv2d(n_in, n_out, 1)]
    if shape.bilinear:
        convolutions = [nn.Conv2d(n_in, n, 3, padding=1) for n in (n_in, n_out)]
        return [nn.Upsample(scale_factor=shape.scales[i], mode="bilinear"), *convolutions]
    frequency, time = (_paddings(shape.kernel, stride) for stride in shape.scales[i])
    frequency = dict(shape.frequency_paddings).get(i, frequency)
    padding, output_padding = zip(frequency, time, strict=True)
    return [nn.ConvTranspose2d(n_in, n_out, shape.kernel, shape.scales[i], padding, output_padding)]


def _paddings(kernel: int, stride: int) -> Pair:
    """Returns padding (1 at least) and output padding that make an axis exactly `stride` times as long."""
    padding = max(1, (kernel - stride + 1) // 2)
    return padding, stride - kernel + 2 * padding


def _end(words: str, n: int) -> list[nn.Module]:
    layers: dict[str, Callable[[], nn.Module]]
    layers = {"norm": partial(nn.BatchNorm2d, n), "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
    return [layers[word]() for word in words.split()]


def _collapse(shape: Shape) -> list[nn.Module]:
    if shape.collapse == "conv":
        return [nn.Conv2d(shape.down[-1], shape.code, (shape.rows, 1))]
    return [_regroup(shape.code, 1)] if shape.collapse == "reshape" else []


def _expand(shape: Shape) -> list[nn.Module]:
    n = shape.up[0]
    if shape.collapse == "conv":
        return [nn.Sequential(nn.ConvTranspose2d(shape.code, n, (shape.rows, 1)), *_end("norm relu", n))]
    return [_regroup(n, shape.rows)] if shape.collapse == "reshape" else []


def _regroup(channels: int, rows: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(1, 2), nn.Unflatten(1, (channels, rows)))
