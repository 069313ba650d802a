"""Rows of arrays, computed shard by shard in bounded memory; a killed process goes on where it was."""

import logging
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from saec.data import Dataset, chunks
from saec.data.ahead import Behind, ahead
from saec.faults import Fault
from saec.files import fingerprint, flush, map_npz, write_text
from saec.progress import progress
from saec.samples import Samples

LOG = logging.getLogger(__name__)
PLAN = "plan.txt"
BATCHES_PER_SHARD = 8
N_AHEAD = 2  # batches on the device before they are encoded
N_BEHIND = BATCHES_PER_SHARD  # batches that are encoded before the first of them is written
Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[tuple[int, ...], type]]  # of one row of each array, with its type


class ComputesRows(Protocol):
    """Computes rows of named arrays, such as `X`, of batches of samples, which all have one size."""

    device: torch.device

    def batch_size(self, data: Dataset) -> int: ...

    def shapes(self, data: Dataset) -> Shapes: ...

    def rows(self, data: Dataset, stored: Tensor, n: int) -> dict[str, Tensor]:
        """Returns the rows of the first n samples of a batch; it is filled up with the last one."""


@dataclass(frozen=True)
class Earlier:
    """Feature files of an earlier extraction, from which rows of unchanged samples are taken."""

    npz: dict[str, Path]  # by array
    changed: set[str]  # names of sample files

    def rows(self, samples: Samples) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Returns pairs (row now, row in the file), (n, 2), and the arrays of the files."""
        names = map_npz(next(iter(self.npz.values())), "N").tolist()
        there = {name: row for row, name in enumerate(names)}
        pairs = [
            (row, there[name])
            for row, (name, file) in enumerate(
                zip(samples.names.tolist(), samples.files.tolist(), strict=True)
            )
            if name in there and file not in self.changed
        ]
        arrays = {name: map_npz(file, "X") for name, file in self.npz.items()}
        return np.array(pairs, dtype=np.int64).reshape(-1, 2), arrays


@dataclass(frozen=True)
class Shards:
    """Memory-mapped arrays in a part folder; whatever a kill leaves, rows of a marked shard are complete."""

    arrays: Arrays
    done: np.ndarray  # (n_shards,) bool
    size: int  # rows of a shard
    resumed: bool

    @classmethod
    def open(
        cls,
        folder: Path,
        plan: str,
        shapes: Shapes,
        todo: np.ndarray,
        size: int,
    ) -> "Shards":
        """Opens the part folder of the same plan to go on with, else begins a fresh one."""
        files = {**shapes, "done": ((-(-len(todo) // size),), np.bool_)}
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
        return cls(arrays, arrays.pop("done"), size, resumed)

    def missing(self, todo: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Returns each shard that is not done, and its rows."""
        numbers = np.flatnonzero(~self.done).tolist()
        return [(shard, todo[shard * self.size : (shard + 1) * self.size]) for shard in numbers]

    def write(self, rows: np.ndarray, computed: dict[str, Tensor]) -> None:
        """Raises a `Fault` where numbers are not finite."""
        for name, tensor in computed.items():
            values = tensor.float().cpu().numpy()
            if not np.isfinite(values).all():
                raise Fault(
                    "the encoder gives numbers that are not finite: its training went wrong, take another run"
                )
            self.arrays[name][rows] = values

    def mark(self, shard: int) -> None:
        """Marks a shard as done, once its rows are on the disk."""
        for array in self.arrays.values():
            flush(array)
        self.done[shard] = True
        flush(self.done)


def _mapped(file: Path, shape: tuple[int, ...], kind: type, resumed: bool) -> np.ndarray:
    if 0 in shape:
        return np.zeros(shape, kind)
    if resumed:
        return np.load(file, mmap_mode="r+")
    return np.lib.format.open_memmap(file, "w+", kind, shape)


def compute_rows(
    source: ComputesRows, data: Dataset, part: Path, plan: str, earlier: Earlier | None
) -> Arrays:
    """Computes all rows of the source's arrays, in a part folder that a kill leaves usable.

    `plan` is what an interrupted call must share with this one for it to go on.
    """
    n, size = len(data), source.batch_size(data)
    reused, before = earlier.rows(data.samples) if earlier else (np.zeros((0, 2), dtype=np.int64), {})
    if earlier:
        what = (len(reused), n, data.samples_are)
        LOG.info("%d of %d %s are as they were, only the rest is encoded", *what)
    todo = np.setdiff1d(np.arange(n), reused[:, 0])
    shapes = {name: ((n, *shape), kind) for name, (shape, kind) in source.shapes(data).items()}
    shards = Shards.open(part, plan, shapes, todo, size * BATCHES_PER_SHARD)
    if shards.resumed:
        LOG.info("going on: %d of %d shards are done", int(shards.done.sum()), len(shards.done))
    for pairs in chunks(reused, shards.size):
        for name, array in before.items():
            shards.arrays[name][pairs[:, 0]] = array[pairs[:, 1]]

    def gather(rows: np.ndarray) -> Tensor:
        return data.gather(np.pad(rows, (0, size - len(rows)), mode="edge"), source.device)

    missing = shards.missing(todo)
    batches = (rows for _, shard_rows in missing for rows in chunks(shard_rows, size))
    with closing(ahead(gather, batches, N_AHEAD)) as gathered, Behind(N_BEHIND) as behind:
        for shard, shard_rows in progress(missing, "extracting", len(missing), " shards"):
            for rows in chunks(shard_rows, size):
                behind.do(shards.write, rows, source.rows(data, next(gathered), len(rows)))
            behind.do(shards.mark, shard)
    return shards.arrays
