"""A folder through an encoder: latents and pooled features, shard by shard, in bounded memory."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saec.data import Dataset, chunks
from saec.devices import computing
from saec.extraction.shards import Shards
from saec.faults import Fault
from saec.models import Model, feature_shape
from saec.progress import progress

LOG = logging.getLogger(__name__)
BATCH_PIXELS = 2**21  # of all pictures of a batch: 64 of 128 x 256
BATCHES_PER_SHARD = 8


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

    @torch.no_grad()
    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents (n, channels, time) and pooled features (n, features), float32.

        Raises:
            Fault: the encoder gives numbers that are not finite.
        """
        padded = np.pad(rows, (0, self.batch_size - len(rows)), mode="edge")
        pictures = self.data.prepare(self.data.gather(padded, self.device))
        with computing(self.device, self.precision):
            codes = self.model.encoder(pictures)
        latents = codes.float().flatten(1, 2)[: len(rows)]
        if not torch.isfinite(latents).all():
            raise Fault(
                "the encoder gives numbers that are not finite: its training went wrong, take another run"
            )
        return _array(latents), _array(self.pooling(latents))


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
    n_shards = int((~shards.done).sum())
    for rows in progress(shards.missing(todo), "extracting", n_shards, " shards"):
        for chosen in chunks(rows, encoder.batch_size):
            shards.arrays["X"][chosen], shards.arrays["pooled"][chosen] = encoder(chosen)
    return shards


def _array(rows: Tensor) -> np.ndarray:
    return rows.float().cpu().numpy()
