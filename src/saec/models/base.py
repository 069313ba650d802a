"""What every architecture is: an encoder and, where it can reconstruct, a decoder."""

import torch
from torch import Tensor, nn

from saec.registry import Registry

MODELS = Registry("model")


class Model(nn.Module):
    """An encoder from (batch, channels, height, width) to (batch, features, frequency, time), and back.

    Encoder and decoder are ordered containers of named blocks. `height` is the picture height that the
    encoder needs (None: any), `time_pool` the number of picture columns that make one time step of the
    latent: widths must be a multiple of it, or `width` where the model takes that one alone. With
    `whole_batches` the decoder takes the latents of the batch that was encoded last, all of them.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None = None,
        height: int | None = None,
        time_pool: int = 1,
        width: int | None = None,
        whole_batches: bool = False,
    ):
        super().__init__()
        self.frozen: list[nn.Module] = []
        self.encoder = encoder
        self.decoder = decoder
        self.height = height
        self.time_pool = time_pool
        self.width = width
        self.whole_batches = whole_batches

    @property
    def takes(self) -> tuple[int | None, int, int | None]:
        """What a front end must know of it: height, time pool, width."""
        return self.height, self.time_pool, self.width

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    @property
    def blocks(self) -> dict[str, nn.Module]:
        """Of the encoder, by their names, in their order."""
        return dict(self.encoder.named_children())

    def freeze(self, n: int) -> None:
        """The first n blocks of the encoder stay as they are, running statistics included."""
        self.frozen = list(self.blocks.values())[:n]
        for block in self.frozen:
            block.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Model":
        super().train(mode)
        for block in self.frozen:
            block.eval()
        return self


@torch.no_grad()
def feature_shape(model: Model, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one encoded sample, found by running zeros through the encoder."""
    training = model.training
    device = next(model.parameters()).device
    shape = model.eval()(torch.zeros(1, *input_shape, device=device)).shape[1:]
    model.train(training)
    return tuple(shape)
