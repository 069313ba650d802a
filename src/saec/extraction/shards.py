"""Rows of arrays, computed shard by shard in bounded memory; a killed process goes on where it was."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from saec.faults import Fault
from saec.files import fingerprint, flush, map_npz, write_text
from saec.samples import Samples

PLAN = "plan.txt"
Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[tuple[int, ...], type]]  # of one row of each array, with its type


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
