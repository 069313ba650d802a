"""A model is tapped: what one of its blocks gives, on the way to the latents."""

from torch import Tensor, nn

from saec.faults import Fault, nearest
from saec.models.base import Model


class Tapped(nn.Module):
    """From pictures to what the first `n` blocks give (None: the latents) and to the latents.

    What comes out is (batch, features, frequency, time), vectors as (batch, features, 1, 1).
    """

    def __init__(self, encoder: nn.Module, n: int | None = None):
        super().__init__()
        self.encoder = encoder
        self.n = n

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.n is None:
            latents = self.encoder(x)
            return latents, latents
        tapped = x
        for place, block in enumerate(self.encoder.children(), start=1):
            x = block(x)
            tapped = x if place == self.n else tapped
        return tapped.reshape(*tapped.shape, *(1,) * (4 - tapped.ndim)), x


def blocks_kept(model: Model, tap: str | None, layers_dropped: int | None, has_head: bool) -> int | None:
    """So many of the encoder's blocks; None: all, and -1 where the head's output is asked for.

    Blocks are counted over the encoder, then the head: `layers_dropped: 0` is what the head gives.

    Raises:
        Fault: there is no such block, or there are not so many.
    """
    names = list(model.blocks)
    if tap is not None:
        if tap not in names:
            raise Fault(f"the encoder has no block {tap!r}: {nearest(tap, names)}")
        return names.index(tap) + 1
    if layers_dropped is None:
        return None
    n_all = len(names) + has_head
    if layers_dropped > n_all:
        raise Fault(f"the model has {n_all} blocks, {layers_dropped} cannot be dropped")
    if has_head and layers_dropped == 0:
        return -1
    return n_all - layers_dropped
