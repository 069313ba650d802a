"""Builds torchvision's residual networks as encoders of samples of any size from 32 x 32 up."""

from collections import OrderedDict
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn

from saec.models.base import MODELS, Model

LEAST = 32  # rows and columns that are halved five times
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


@MODELS.register("resnet18", builder="resnet18")
@MODELS.register("resnet50", builder="resnet50")
def resnet(
    input_shape: tuple[int, ...], *, builder: str, standardise: Literal["imagenet", "none"] = "imagenet"
) -> Model:
    """Builds a residual network without its classifier; latents are means over frequency, with steps of 32.

    He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition". Blocks are named as torchvision
    names its layers, after a `stem`; the first layer has as many channels as the samples. `standardise:
    imagenet` takes values in [0, 1] to ImageNet's scale, which weights from torchvision were trained on.
    """
    channels, height, _ = input_shape
    if height < LEAST:
        raise ValueError(f"needs samples of at least {LEAST} rows, got {height}: choose `data.fit: resize`")
    layers = getattr(torchvision.models, builder)(weights=None)
    if channels != layers.conv1.in_channels:
        layers.conv1 = nn.Conv2d(channels, layers.conv1.out_channels, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(layers.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision
    stem = [(name, getattr(layers, name)) for name in ("conv1", "bn1", "relu", "maxpool")]
    if standardise == "imagenet":
        stem = [("standardise", Standardise(channels)), *stem]
    blocks = [(name, getattr(layers, name)) for name in ("layer1", "layer2", "layer3", "layer4")]
    blocks = [("stem", nn.Sequential(OrderedDict(stem))), *blocks, ("frequency_mean", FrequencyMean())]
    return Model(nn.Sequential(OrderedDict(blocks)), time_pool=LEAST)


class Standardise(nn.Module):
    """Subtracts the mean of each colour in ImageNet and divides by its deviation; others take their means."""

    def __init__(self, channels: int):
        super().__init__()
        of_colours = torch.tensor([MEAN, DEVIATION])
        if channels != len(MEAN):
            of_colours = of_colours.mean(dim=1, keepdim=True).expand(2, channels)
        self.register_buffer("scale", of_colours.reshape(2, channels, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.scale[0]) / self.scale[1]


class FrequencyMean(nn.Module):
    """Averages latents over frequency: (batch, channels, rows, steps) becomes (batch, channels, 1, steps)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=2, keepdim=True)


def of_torchvision(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights that torchvision has named by the names of our encoder, without the classifier's."""
    named = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    return {f"stem.{key}" if key.startswith(("conv1.", "bn1.")) else key: v for key, v in named.items()}
