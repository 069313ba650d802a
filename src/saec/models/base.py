"""Defines what every architecture is: an encoder and, if it can reconstruct, a decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from saec.faults import Fault, did_you_mean
from saec.registry import Registry

MODELS = Registry("model", given="input_shape")
PIECE = 2**15  # columns of a long sample that go through an encoder at once, a multiple of all time pools
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


class Model(nn.Module):
    """Encodes (batch, channels, height, width) to (batch, features, frequency, time), and decodes back.

    Encoder and decoder are ordered containers of named blocks. `height` is the picture height that the
    encoder needs (None: any), `time_pool` the number of picture columns that make one time step of the
    latents: widths must be a multiple of it, or equal to `width` if that is given. With `whole_batches` the
    decoder takes only the latents of the batch that was encoded last, all of them. With `ragged` both are
    `Ragged` containers: samples may have lengths of their own. `from_torchvision` gives weights that
    torchvision has named the names of the encoder's.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None = None,
        height: int | None = None,
        time_pool: int = 1,
        width: int | None = None,
        whole_batches: bool = False,
        ragged: bool = False,
        from_torchvision: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    ):
        super().__init__()
        self.frozen: list[nn.Module] = []
        self.encoder = encoder
        self.decoder = decoder
        self.height = height
        self.time_pool = time_pool
        self.width = width
        self.whole_batches = whole_batches
        self.ragged = ragged
        self.from_torchvision = from_torchvision

    @property
    def takes(self) -> tuple[int | None, int, int | None]:
        """Returns height, time pool and width, by which a front end brings samples to a size that fits."""
        return self.height, self.time_pool, self.width

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def encode(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Returns latents of samples, whose own columns are the first `lengths` (batch,) if given."""
        return self.encoder(x) if lengths is None else self.encoder(x, lengths)

    def decode(self, latents: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Returns what latents are decoded to; `lengths` are columns of what was encoded."""
        assert self.decoder is not None  # as nobody decodes without one
        return self.decoder(latents) if lengths is None else self.decoder(latents, lengths)

    def n_steps(self, lengths: Tensor | None) -> Tensor | None:
        """Returns the own time steps of the latents of samples with so many columns."""
        return None if lengths is None else (lengths + self.time_pool - 1) // self.time_pool

    @property
    def blocks(self) -> dict[str, nn.Module]:
        """Returns the blocks of the encoder by name, in their order."""
        return dict(self.encoder.named_children())

    def freeze(self, n: int | Literal["all_but_head"]) -> None:
        """Freezes the first n blocks of the encoder, running statistics included."""
        self.frozen = list(self.blocks.values())[: None if n == "all_but_head" else n]
        for block in self.frozen:
            block.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Model":
        super().train(mode)
        for block in self.frozen:
            block.eval()
        return self


class Ragged(nn.Sequential):
    """Hands the lengths of samples, in columns of the model's input, to each block.

    A block called with lengths gives zeros behind each sample's own steps, and there nothing that the padding
    has any part in; without them all columns are the samples' own.
    """

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        for block in self:
            x = block(x) if lengths is None else block(x, lengths)
        return x


class Standardise(nn.Module):
    """Subtracts the mean of each colour in ImageNet and divides by its deviation; others take their means."""

    scale: Tensor

    def __init__(self, channels: int):
        super().__init__()
        of_colours = torch.tensor([MEAN, DEVIATION])
        if channels != len(MEAN):
            of_colours = of_colours.mean(dim=1, keepdim=True).expand(2, channels)
        self.register_buffer("scale", of_colours.reshape(2, channels, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.scale[0]) / self.scale[1]


@torch.no_grad()
def feature_shape(model: Model, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of one encoded sample, by running zeros through the encoder."""
    training = model.training
    device = next(model.parameters()).device
    shape = model.eval()(torch.zeros(1, *input_shape, device=device)).shape[1:]
    model.train(training)
    return tuple(shape)


@torch.no_grad()
def model_table(model: Model, input_shape: tuple[int, ...]) -> str:
    """Returns each block with its output shape and its weights, by running zeros through; then the total."""
    rows: list[tuple[str, tuple[int, ...] | None, int | None]] = [("input", input_shape, None)]
    parts = {"encoder": model.encoder} | ({"decoder": model.decoder} if model.decoder is not None else {})
    hooks, training = [], model.training

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows.append((name, tuple(output.shape[1:]), sum(weight.numel() for weight in module.parameters())))

    for part, blocks in parts.items():
        for name, block in (*blocks.named_children(), ("", blocks)):
            hooks.append(block.register_forward_hook(partial(note, f"{part}.{name}".rstrip("."))))
    outputs = torch.zeros(1, *input_shape, device=next(model.parameters()).device)
    model.eval()
    for run in (model.encode, model.decode)[: len(parts)]:
        outputs = run(outputs)
    model.train(training)
    for hook in hooks:
        hook.remove()
    rows.append(("total", None, sum(weight.numel() for weight in model.parameters())))
    cells = [(name, " x ".join(map(str, of or ())), "" if n is None else f"{n:,}") for name, of, n in rows]
    cells.insert(0, ("block", "output shape", "weights"))
    first, second, third = (max(map(len, column)) for column in zip(*cells, strict=True))
    return "".join(f"{a:{first}}  {b:{second}}  {c:>{third}}".rstrip() + "\n" for a, b, c in cells)


@dataclass(frozen=True)
class Tap:
    """Says where features are taken: latents, the output of an earlier block (or input), or the head's."""

    at: Literal["latents", "block", "head"] = "latents"
    n_blocks: int = 0  # of the encoder, that are gone through before a tap at a block


def run_to_tap(
    encoder: nn.Module, x: Tensor, tap: Tap, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns what comes out at the tap of the encoder (for a head: the latents), and the latents.

    Both are (batch, features, frequency, time), vectors are (batch, features, 1, 1).
    """
    more = () if lengths is None else (lengths,)
    if tap.at != "block":
        latents = encoder(x, *more)
        return latents, latents
    tapped = x
    for n, block in enumerate(encoder.children(), start=1):
        x = block(x, *more)
        tapped = x if n == tap.n_blocks else tapped
    return tapped.reshape(*tapped.shape, *(1,) * (4 - tapped.ndim)), x


def run_in_pieces(
    model: Model, encoder: nn.Module, x: Tensor, tap: Tap, lengths: Tensor | None, most: int = PIECE
) -> tuple[Tensor, Tensor]:
    """Returns what `run_to_tap` does; a single long sample goes through `most` columns at a time, each time
    with the columns around them that the kernels of a `Ragged` encoder see.
    """
    width, whole = x.shape[-1], list[Tensor]()
    if lengths is None or len(x) > 1 or width <= most:
        return run_to_tap(encoder, x, tap, lengths)
    kernels = [one for one in (*encoder.parameters(), *encoder.buffers()) if one.ndim == 4]
    reach = model.time_pool * sum(kernel.shape[-1] for kernel in kernels)
    for start in range(0, width, most):
        first = max(0, start - reach)
        piece = x[..., first : start + most + reach]
        n_own = (lengths - first).clamp(max=piece.shape[-1])
        tapped, latents = run_to_tap(encoder, piece, tap, n_own)
        outs = (tapped,) if latents is tapped else (tapped, latents)
        whole = whole or [
            out.new_empty(*out.shape[:3], width * out.shape[3] // piece.shape[3]) for out in outs
        ]
        for to, out in zip(whole, outs, strict=True):
            pool = piece.shape[3] // out.shape[3]
            part = to[..., start // pool : (start + most) // pool]
            part.copy_(out[..., (start - first) // pool :][..., : part.shape[3]])
    return whole[0], whole[-1]


def find_tap(model: Model, tap: str | None, layers_dropped: int | None, has_head: bool) -> Tap:
    """Returns the tap after the block of that name, or before so many of the last blocks.

    Blocks are counted over the encoder, then the head: `layers_dropped: 0` is what the head gives.

    Raises:
        Fault: there is no such block, or there are not so many.
    """
    names = list(model.blocks)
    if tap is not None:
        if tap not in names:
            raise Fault(f"the encoder has no block {tap!r}: {did_you_mean(tap, names)}")
        return Tap("block", names.index(tap) + 1)
    if layers_dropped is None:
        return Tap("latents")
    n_all = len(names) + has_head
    if layers_dropped > n_all:
        raise Fault(f"the model has {n_all} blocks, {layers_dropped} cannot be dropped")
    return Tap("head") if has_head and layers_dropped == 0 else Tap("block", n_all - layers_dropped)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Folds batch norms into the preceding convolutions in place; the module can no longer be trained."""
    for block in module.modules():
        layers = list(block.named_children()) if isinstance(block, nn.Sequential) else []
        for (name, layer), (after, norm) in zip(layers, layers[1:], strict=False):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and not norm.training:
                setattr(block, name, fuse_conv_bn_eval(layer, norm))
                setattr(block, after, nn.Identity())
    return module
