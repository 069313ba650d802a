"""Rows that come shard by shard: arrays on the disk and a mark for each shard that is done."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saec.files import fingerprint, flush, write_text

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
