"""Builds torchvision's residual networks as encoders of samples of any size from 32 x 32 up."""

from collections import OrderedDict
from typing import Literal

import torchvision
from torch import Tensor, nn

from saec.models.base import MODELS, Model, Standardise

LEAST = 32  # rows and columns that are halved five times


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
    return Model(nn.Sequential(OrderedDict(blocks)), time_pool=LEAST, from_torchvision=_of_torchvision)


class FrequencyMean(nn.Module):
    """Averages latents over frequency: (batch, channels, rows, steps) becomes (batch, channels, 1, steps)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=2, keepdim=True)


def _of_torchvision(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights that torchvision has named by the names of our encoder, without the classifier's."""
    named = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    return {f"stem.{key}" if key.startswith(("conv1.", "bn1.")) else key: v for key, v in named.items()}
