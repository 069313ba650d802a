"""A folder through an encoder: latents and pooled features, shard by shard, in bounded memory."""

import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from saec.data import Dataset, chunks
from saec.data.ahead import Behind, ahead
from saec.devices import computing
from saec.extraction.plan import ExtractionPlan
from saec.faults import Fault
from saec.files import fingerprint, flush, map_npz, write_text
from saec.models import Model
from saec.models.base import Tapped
from saec.objectives import Objective
from saec.progress import progress


@dataclass(frozen=True)
class Known:
    """Rows that an earlier extraction has: (place here, place in its array)."""

    pairs: np.ndarray
    array: np.ndarray


def known_rows(plan: ExtractionPlan, data: Dataset) -> dict[str, Known]:
    """By array, from the files that are there; none where these are made anew."""
    if plan.state != "pictures changed":
        return {}
    now, before = set(plan.kind.files), plan.outputs.read_about()["pictures"]
    changed = {picture[0] for picture in now.symmetric_difference(before)}
    sources = data.names if data.files is None else data.files
    known = {}
    for array, file in plan.files_of_rows.items():
        there = {name: row for row, name in enumerate(map_npz(file, "N").tolist())}
        pairs = [
            (row, there[name])
            for row, (name, source) in enumerate(zip(data.names.tolist(), sources.tolist(), strict=True))
            if name in there and source not in changed
        ]
        known[array] = Known(np.array(pairs, dtype=np.int64).reshape(-1, 2), map_npz(file, "X"))
    n_known = len(known["pooled"].pairs)
    LOG.info("%d of %d %s are as they were, only the rest is encoded", n_known, len(data), data.what)
    return known


PLAN = "plan.txt"


@dataclass(frozen=True)
class Shards:
    """Memory-mapped arrays in a part folder; whatever a kill leaves, rows of a marked shard are complete."""

    folder: Path
    arrays: dict[str, np.ndarray]
    size: int

    @classmethod
    def open(
        cls,
        folder: Path,
        plan: str,
        shapes: dict[str, tuple[tuple[int, ...], type]],
        todo: np.ndarray,
        size: int,
    ) -> tuple["Shards", bool]:
        """The part folder of the same plan to go on with (True), or a fresh one (False)."""
        n_shards = -(-len(todo) // size)
        files = {**shapes, "done": ((n_shards,), np.bool_)}
        kinds = {name: [shape, np.dtype(kind).name] for name, (shape, kind) in files.items()}
        key = fingerprint(plan, kinds, todo.tolist())
        plan_file = folder / PLAN
        resumed = plan_file.is_file() and plan_file.read_text(encoding="utf-8") == key
        if not resumed:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        arrays = {name: _mapped(folder / f"{name}.npy", *files[name], resumed) for name in files}
        if not resumed:
            write_text(plan_file, key)
        return cls(folder, arrays, size), resumed

    @property
    def done(self) -> np.ndarray:
        """(n_shards,) bool."""
        return self.arrays["done"]

    def missing(self, todo: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Each shard that is not done, and its rows."""
        numbers = np.flatnonzero(~self.done).tolist()
        return [(shard, todo[shard * self.size : (shard + 1) * self.size]) for shard in numbers]

    def keep(self, shard: int) -> None:
        """Marks a shard as done, once its rows are on the disk."""
        for name, array in self.arrays.items():
            if name != "done":
                flush(array)
        self.done[shard] = True
        flush(self.done)

    def remove(self) -> None:
        self.arrays.clear()  # Windows removes no file that is mapped
        shutil.rmtree(self.folder, ignore_errors=True)


def _mapped(file: Path, shape: tuple[int, ...], kind: type, resumed: bool) -> np.ndarray:
    if 0 in shape:
        return np.zeros(shape, kind)
    if resumed:
        return np.load(file, mmap_mode="r+")
    return np.lib.format.open_memmap(file, "w+", kind, shape)


LOG = logging.getLogger(__name__)
BATCH_PIXELS = 2**21  # of all pictures of a batch: 64 of 128 x 256
BATCH_STORED = 2**25  # stored numbers of a batch, where a sample has more of them than its picture
BATCHES_PER_SHARD = 8
N_AHEAD = 2  # batches on the device before they are encoded
N_BEHIND = BATCHES_PER_SHARD  # batches that are encoded before the first of them is written


class Encodes(Protocol):
    """Makes rows of arrays, such as `X`, of the samples of a dataset, in batches of one size."""

    data: Dataset
    batch_size: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one row of each array."""

    def gather(self, rows: np.ndarray) -> Tensor: ...

    def __call__(self, raw: Tensor, n: int) -> dict[str, Tensor]:
        """The rows of the first n samples of a batch."""


class Encoder:
    """A model that takes batches of one size, so that a row does not depend on the other samples.

    `X` is what is tapped (n, channels, time), `pooled` is (n, features); with a classifying objective
    `probabilities` is (n, classes). `n_kept` blocks are gone through (None: all; -1: the head, too).
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        pooling: Callable,
        device: torch.device,
        precision: str,
        objective: Objective | None = None,
        n_kept: int | None = None,
    ):
        self.model = model
        self.data = data
        self.pooling = pooling
        self.device = device
        self.precision = precision
        self.objective = objective
        self.headed = n_kept == -1
        self.tapped = Tapped(model.encoder, None if self.headed else n_kept).eval()
        pixels = data.shape[1] * data.shape[2]
        n_stored = int(np.prod(data.stored.shape[1:]))
        self.batch_size = max(1, min(BATCH_PIXELS // pixels, BATCH_STORED // n_stored))

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        zeros = torch.zeros(1, *self.data.shape, device=self.device)
        return {name: tuple(array.shape[1:]) for name, array in self._rows(zeros).items()}

    @property
    def n_steps(self) -> int:
        return self.shapes["X"][1]

    def gather(self, rows: np.ndarray) -> Tensor:
        """Stored numbers of these samples, the last one repeated up to the size of a batch, on the device."""
        padded = np.pad(rows, (0, self.batch_size - len(rows)), mode="edge")
        return self.data.gather(padded, self.device)

    def __call__(self, raw: Tensor, n: int) -> dict[str, Tensor]:
        return {name: array[:n] for name, array in self._rows(self.data.prepare(raw)).items()}

    @torch.no_grad()
    def _rows(self, pictures: Tensor) -> dict[str, Tensor]:
        with computing(self.device, self.precision):
            tapped, latents = self.tapped(pictures)
        logits = self.objective.logits(latents) if self.objective else None
        codes = logits[:, :, None] if self.headed else tapped.float().flatten(1, 2)
        rows = {"X": codes, "pooled": self.pooling(codes)}
        if self.objective and self.objective.needs_labels:
            rows["probabilities"] = logits.softmax(dim=1)
        return rows


def encoded(encoder: Encodes, part: Path, plan: str, kind: type, known: dict[str, Known]) -> Shards:
    """All rows of its arrays (`X` of that kind), in a part folder that a kill leaves usable."""
    n = len(encoder.data)
    shapes = {
        name: ((n, *shape), kind if name == "X" else np.float32) for name, shape in encoder.shapes.items()
    }
    done_before = next(iter(known.values())).pairs[:, 0] if known else []
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
                behind.do(_put, shards.arrays, chosen, encoder(next(gathered), len(chosen)))
            behind.do(shards.keep, shard)
    return shards


def _put(arrays: dict[str, np.ndarray], rows: np.ndarray, found: dict[str, Tensor]) -> None:
    """Raises a `Fault` where the encoder gives numbers that are not finite."""
    for name, tensor in found.items():
        values = tensor.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise Fault(
                "the encoder gives numbers that are not finite: its training went wrong, take another run"
            )
        arrays[name][rows] = values
