"""The encoder as a file that needs none of our code: `torch.export`, any batch, any width."""

import logging
import warnings
from pathlib import Path

import torch
from torch.export import Dim

from saec.faults import Fault
from saec.files import appearing
from saec.models import Model

LOG = logging.getLogger(__name__)
TOLERANCE = 1e-4  # relative to the largest latent


@torch.no_grad()
def export_encoder(model: Model, input_shape: tuple[int, ...], file: Path) -> None:
    """Writes `encoder.pt2` in fp32; kept only if it encodes another batch and width as the encoder does.

    The width may be any multiple of the model's time pool whose latent is at least two steps long.

    Raises:
        Fault: the exported encoder gives other latents.
    """
    channels, height, _ = input_shape
    encoder = model.encoder.float().cpu().eval()
    example = torch.rand(2, channels, height, 4 * model.time_pool)
    sizes = {0: Dim("batch", min=1), 3: model.time_pool * Dim("steps", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own internals here
        program = torch.export.export(encoder, (example,), dynamic_shapes=(sizes,))
        with appearing(file) as temporary, temporary.open("wb") as handle:
            torch.export.save(program, handle)
            handle.flush()
            with temporary.open("rb") as written:
                _compare(torch.export.load(written).module(), encoder, model.time_pool, channels, height)
    LOG.info("exported the encoder to %s", file)


def _compare(
    exported: torch.nn.Module, encoder: torch.nn.Module, time_pool: int, channels: int, height: int
) -> None:
    other = torch.rand(5, channels, height, 7 * time_pool)
    expected, got = encoder(other), exported(other)
    error = float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if error > TOLERANCE:
        raise Fault(f"the exported encoder differs by {error:.1e} of its largest latent: not kept")
