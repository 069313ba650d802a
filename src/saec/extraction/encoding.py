"""A folder through an encoder: latents and pooled features, shard by shard, in bounded memory."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saec.data import Dataset, chunks
from saec.data.ahead import Behind, ahead
from saec.devices import computing
from saec.extraction.shards import Shards
from saec.faults import Fault
from saec.models import Model, feature_shape
from saec.progress import progress

LOG = logging.getLogger(__name__)
BATCH_PIXELS = 2**21  # of all pictures of a batch: 64 of 128 x 256
BATCHES_PER_SHARD = 8
N_AHEAD = 2  # batches on the device before they are encoded
N_BEHIND = BATCHES_PER_SHARD  # batches that are encoded before the first of them is written


@dataclass(frozen=True)
class Known:
    """Rows that an earlier extraction has: (place here, place in its array)."""

    pairs: np.ndarray
    array: np.ndarray


class Encoder:
    """A model that takes batches of one size, so that a row does not depend on the other pictures."""

    def __init__(self, model: Model, data: Dataset, pooling: Callable, device: torch.device, precision: str):
        self.model = model
        self.data = data
        self.pooling = pooling
        self.device = device
        self.precision = precision
        channels, frequencies, self.n_steps = feature_shape(model, data.shape)
        self.n_channels = channels * frequencies
        self.batch_size = max(1, BATCH_PIXELS // (data.shape[1] * data.shape[2]))

    def gather(self, rows: np.ndarray) -> Tensor:
        """Stored bytes of these pictures, the last one repeated up to the size of a batch, on the device."""
        padded = np.pad(rows, (0, self.batch_size - len(rows)), mode="edge")
        return self.data.gather(padded, self.device)

    @torch.no_grad()
    def __call__(self, raw: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Of the first n: latents (n, channels, time) and pooled features (n, features), on the device."""
        with computing(self.device, self.precision):
            codes = self.model.encoder(self.data.prepare(raw))
        latents = codes.float().flatten(1, 2)[:n]
        return latents, self.pooling(latents)


def encoded(encoder: Encoder, part: Path, plan: str, kind: type, known: dict[str, Known]) -> Shards:
    """All rows of latents (`X`, of that kind) and of `pooled`, in a part folder that a kill leaves usable."""
    n = len(encoder.data)
    n_pooled = encoder.pooling(torch.zeros(1, encoder.n_channels, encoder.n_steps)).shape[1]
    shapes = {"X": ((n, encoder.n_channels, encoder.n_steps), kind), "pooled": ((n, n_pooled), np.float32)}
    done_before = known["X"].pairs[:, 0] if known else []
    todo = np.setdiff1d(np.arange(n), done_before)
    size = encoder.batch_size * BATCHES_PER_SHARD
    shards, resumed = Shards.open(part, plan, shapes, todo, size)
    if resumed:
        LOG.info("going on: %d of %d shards are done", int(shards.done.sum()), len(shards.done))
    for name, rows in known.items():
        for pairs in chunks(rows.pairs, size):
            shards.arrays[name][pairs[:, 0]] = rows.array[pairs[:, 1]]
    missing = shards.missing(todo)
    pieces = (chosen for _, rows in missing for chosen in chunks(rows, encoder.batch_size))
    with closing(ahead(encoder.gather, pieces, N_AHEAD)) as gathered, Behind(N_BEHIND) as behind:
        for shard, rows in progress(missing, "extracting", len(missing), " shards"):
            for chosen in chunks(rows, encoder.batch_size):
                behind.do(_put, shards.arrays, chosen, *encoder(next(gathered), len(chosen)))
            behind.do(shards.keep, shard)
    return shards


def _put(arrays: dict[str, np.ndarray], rows: np.ndarray, latents: Tensor, pooled: Tensor) -> None:
    """Raises a `Fault` where the encoder gives numbers that are not finite."""
    for name, values in (("X", latents.cpu().numpy()), ("pooled", pooled.float().cpu().numpy())):
        if not np.isfinite(values).all():
            raise Fault(
                "the encoder gives numbers that are not finite: its training went wrong, take another run"
            )
        arrays[name][rows] = values
