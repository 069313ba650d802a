"""Builds auto-encoders of photographs: the VGG16 trunk, and residual blocks before a dense bottleneck."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from saec.models.base import MODELS, Model, Standardise

TRUNK = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # widths, by block
SIZES = {"small": (32, 64, 128, 256), "medium": (64, 128, 256, 512), "large": (64, 128, 256, 512, 512)}

Norm = Literal["none", "batch"]


@MODELS.register("vgg16")
def vgg16(
    input_shape: tuple[int, ...],
    *,
    kernel_size: Literal[3, 5, 7] = 3,
    norm: Norm = "none",
    bottleneck: PositiveInt | None = None,
    standardise: Literal["imagenet", "none"] = "imagenet",
) -> Model:
    """Builds the five blocks of VGG16, each of convolutions with ReLU and a max pooling, and mirrors them.

    Simonyan, Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", without
    the classifier. Latents have 512 channels at a 32nd of height and width; with a dense `bottleneck` they
    are one vector, and samples keep the size that the model was made for. The decoder ends in a convolution
    and a sigmoid. `standardise: imagenet` takes values in [0, 1] to ImageNet's scale.
    """
    channels, height, width = _multiples(input_shape, len(TRUNK))
    before = (channels, *(widths[-1] for widths in TRUNK))
    encoder = [
        (f"block{i}", nn.Sequential(*_convolutions((n_in, *widths), kernel_size, norm), nn.MaxPool2d(2)))
        for i, (n_in, widths) in enumerate(zip(before, TRUNK, strict=False), start=1)
    ]
    decoder = []
    for n_out, widths in reversed(list(zip(before, TRUNK, strict=False))):
        layers = _convolutions((*reversed(widths), n_out), kernel_size, norm)
        decoder.append(nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), *layers))
    decoder[-1] = nn.Sequential(*decoder[-1][: -2 if norm == "batch" else -1], nn.Sigmoid())
    if standardise == "imagenet":
        first = OrderedDict(encoder[0][1].named_children())
        encoder[0] = ("block1", nn.Sequential(OrderedDict(standardise=Standardise(channels), **first)))
    if bottleneck:
        dense = (TRUNK[-1][-1], height >> len(TRUNK), width >> len(TRUNK))
        encoder.append(("bottleneck", _dense(dense, bottleneck)))
        decoder.insert(0, _dense_back(bottleneck, dense))
    model = Model(
        nn.Sequential(OrderedDict(encoder)),
        nn.Sequential(*decoder),
        height=height,
        time_pool=2 ** len(TRUNK),
        width=width if bottleneck else None,
        from_torchvision=partial(_of_torchvision, norm=norm),
    )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # as torchvision
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


@MODELS.register("residual")
def residual(
    input_shape: tuple[int, ...],
    *,
    size: Literal["small", "medium", "large"] = "small",
    bottleneck: PositiveInt = 256,
) -> Model:
    """Builds residual blocks that halve both axes, a dense bottleneck, and the same blocks back.

    Latents are one vector, and samples keep the size that the model was made for. `size`: four blocks with 32
    to 256 channels (small), four with 64 to 512 (medium), five with 64 to 512 (large). The decoder ends in a
    sigmoid.
    """
    widths = SIZES[size]
    channels, height, width = _multiples(input_shape, len(widths))
    steps = list(pairwise((channels, *widths)))
    dense = (widths[-1], height >> len(widths), width >> len(widths))
    down = [(f"block{i}", Halving(*step)) for i, step in enumerate(steps, start=1)]
    up = [Doubling(n_out, max(n_in, widths[0])) for n_in, n_out in reversed(steps)]
    last = nn.Sequential(nn.Conv2d(widths[0], channels, 3, padding=1), nn.Sigmoid())
    return Model(
        nn.Sequential(OrderedDict([*down, ("bottleneck", _dense(dense, bottleneck))])),
        nn.Sequential(_dense_back(bottleneck, dense), *up, last),
        height=height,
        time_pool=width,
        width=width,
    )


class Halving(nn.Module):
    """Halves both axes: two convolutions with batch norm, added to one of 1 x 1 pixels."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.kept = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(n_in, n_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.change(x) + self.kept(x)).relu()


class Doubling(nn.Module):
    """Doubles both axes: two convolutions with batch norm, the second upsampled, added to one of 1 x 1."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.kept = nn.Sequential(nn.Conv2d(n_in, n_out, 1), nn.Upsample(scale_factor=2, mode="nearest"))

    def forward(self, x: Tensor) -> Tensor:
        return (self.change(x) + self.kept(x)).relu()


def _multiples(input_shape: tuple[int, ...], n_halvings: int) -> tuple[int, int, int]:
    """Returns channels, height and width, both the multiples of 2^n_halvings that are nearest below."""
    least = 2**n_halvings
    channels, height, width = input_shape
    if min(height, width) < least:
        raise ValueError(
            f"needs samples of at least {least} x {least}, got {height} x {width}: choose `data.size` of "
            "photos, `data.fit: resize` of spectrograms, or more rows and frames of sound"
        )
    return channels, height // least * least, width // least * least


def _convolutions(widths: Sequence[int], kernel_size: int, norm: Norm) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for step in pairwise(widths):
        layers.append(nn.Conv2d(*step, kernel_size, padding=kernel_size // 2))
        layers += [nn.BatchNorm2d(step[1])] if norm == "batch" else []
        layers.append(nn.ReLU())
    return layers


def _dense(shape: tuple[int, int, int], n: int) -> nn.Sequential:
    channels, height, width = shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, n), nn.Unflatten(1, (n, 1, 1)))


def _dense_back(n: int, shape: tuple[int, int, int]) -> nn.Sequential:
    channels, height, width = shape
    layers = nn.Linear(n, channels * height * width), nn.ReLU(), nn.Unflatten(1, shape)
    return nn.Sequential(nn.Flatten(), *layers)


def _of_torchvision(weights: dict[str, Tensor], norm: Norm) -> dict[str, Tensor]:
    """Returns weights that torchvision has named (`features.<layer>`) by the names of our encoder."""
    of_one = 3 if norm == "batch" else 2  # layers for a convolution
    blocks = [(f"block{i}", of_one * len(widths) + 1) for i, widths in enumerate(TRUNK, start=1)]
    ours = [f"{block}.{own}" for block, n_layers in blocks for own in range(n_layers)]
    names = {f"features.{layer}": name for layer, name in enumerate(ours)}
    parts = {key: key.rpartition(".") for key in weights}
    return {f"{names[of]}.{part}": weights[key] for key, (of, _, part) in parts.items() if of in names}
