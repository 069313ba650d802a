"""Keeps the rows that are computed so far, of all samples, or of one shard of several."""

import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from torch import Tensor

from saec.disk import new_map
from saec.faults import Fault, KeptFault
from saec.features import CODES
from saec.files import DAMAGE, fingerprint, flush, write_json

S = TypeVar("S", list, np.ndarray)
Shapes = dict[str, tuple[tuple[int, ...], type]]  # of one row of each array, with its type
BATCHES_AT_ONCE = 8  # that are marked as done together, unless they take longer than
SECONDS_AT_ONCE = 5
PLAN, ROOM = "plan.json", "room.npy"


class OtherShard(KeptFault):
    """Is raised where a shard is of other samples, settings or versions than what it is put together with."""


@dataclass(frozen=True)
class Shard:
    """Names one of n processes that compute an extraction together; each computes every n-th batch."""

    index: int
    n: int

    @classmethod
    def parse(cls, words: str) -> "Shard":
        """Returns the shard that `2/8` names; raises a `Fault` where there is no such shard."""
        numbers = re.fullmatch(r"(\d+)/(\d+)", words)
        if not numbers or int(numbers[1]) >= int(numbers[2]):
            raise Fault(f"its number and how many there are, such as 0/4 to 3/4, got {words!r}")
        return cls(int(numbers[1]), int(numbers[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.n}"

    def all(self) -> list["Shard"]:
        return [Shard(index, self.n) for index in range(self.n)]

    def of(self, batches: S) -> S:
        """Returns every n-th one, from the shard's number on."""
        return batches[self.index :: self.n]


@dataclass
class Part:
    """Keeps memory-mapped arrays in a part folder; a kill leaves the rows of a marked batch complete."""

    arrays: dict[str, np.ndarray]
    done: np.ndarray  # (n_batches,) bool
    batches: list[np.ndarray]  # numbers of their samples
    index: np.ndarray  # of each sample's row in the arrays
    offsets: np.ndarray  # where rows begin in the array of codes, (rows + 1,)
    unmarked: list[int] = field(default_factory=list)
    marked: float = field(default_factory=time.monotonic)

    def write(self, samples: np.ndarray, computed: dict[str, Tensor]) -> None:
        """Raises a `Fault` where numbers are not finite."""
        for name, tensor in computed.items():
            values = tensor.float().cpu().numpy()
            if not np.isfinite(values).all():
                raise Fault(
                    "the encoder gives numbers that are not finite: its training went wrong, take another run"
                )
            if name == CODES and name in self.arrays:
                for sample, code in zip(samples, values, strict=True):
                    own = self.codes_of(sample)
                    own[:] = code[:, : len(own)].T
            elif name in self.arrays:
                self.arrays[name][self.index[samples]] = values

    def add(self, done: tuple[int, dict[str, Tensor]]) -> None:
        """Writes the rows of a batch, and marks it; raises a `Fault` where numbers are not finite."""
        batch, rows = done
        self.write(self.batches[batch], rows)
        self.mark(batch)

    def codes_of(self, sample: int) -> np.ndarray:
        """Returns the codes of a sample, (steps, channels), a view."""
        row = self.index[sample]
        return self.arrays[CODES][self.offsets[row] : self.offsets[row + 1]]

    def mark(self, batch: int) -> None:
        """Marks a batch as done, with several others, once their rows are on the disk."""
        self.unmarked.append(batch)
        waited = time.monotonic() > self.marked + SECONDS_AT_ONCE
        if waited or len(self.unmarked) == BATCHES_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Marks what is not yet marked of batches that are done."""
        self._mark(self.unmarked)
        self.unmarked, self.marked = [], time.monotonic()

    def take(self, shard: Shard, theirs: Self) -> None:
        """Copies the rows of all batches that a shard has done and this has not."""
        numbers = shard.of(np.arange(len(self.batches)))
        fresh = theirs.done & ~self.done[numbers]
        for batch in numbers[fresh]:
            samples = self.batches[batch]
            for name, array in theirs.arrays.items():
                if name == CODES:
                    for sample in samples:
                        self.codes_of(sample)[:] = theirs.codes_of(sample)
                else:
                    self.arrays[name][self.index[samples]] = array[theirs.index[samples]]
        self._mark(numbers[fresh])

    def _mark(self, batches: list[int] | np.ndarray) -> None:
        for array in self.arrays.values():
            if array.size:
                flush(array)
        if len(batches):
            self.done[batches] = True
            flush(self.done)


@dataclass
class Work:
    """Says which rows of which samples an extraction computes, for the parts of all processes alike."""

    batches: list[np.ndarray]  # numbers of their samples
    n_samples: int
    shapes: Shapes
    offsets: np.ndarray  # where samples begin in the array of codes, (samples + 1,)
    facts: dict[str, str]  # fingerprints of all else that must be equal for rows to be the same

    def begin(self, folder: Path, shard: Shard | None = None) -> Part:
        """Opens the part in that folder, which goes on where it was if it is of the same plan."""
        with suppress(OtherShard):
            if not self._differences(folder, shard):
                return self._open(folder, shard, resumed=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in (folder / PLAN, *folder.glob("*.npy")):
            file.unlink(missing_ok=True)
        part = self._open(folder, shard, resumed=False)
        write_json(folder / PLAN, self._plan(shard))
        return part

    def find(self, folder: Path, shard: Shard) -> Part:
        """Opens what another process has computed.

        Raises:
            OtherShard: it is not of this work, or damaged.
        """
        different = self._differences(folder, shard)
        if different:
            words = f"shard {shard} in {folder} is of other {', '.join(different)}"
            raise OtherShard(f"{words}: call again with --shard {shard}, or remove its folder")
        return self._open(folder, shard, resumed=True)

    def _plan(self, shard: Shard | None) -> dict[str, str]:
        batches = shard.of(self.batches) if shard else self.batches
        arrays = {name: [list(shape), np.dtype(kind).name] for name, (shape, kind) in self.shapes.items()}
        facts = self.facts | {"versions": version("saec"), "arrays": fingerprint(arrays)}
        return facts | {"samples to compute": fingerprint([rows.tolist() for rows in batches])}

    def _differences(self, folder: Path, shard: Shard | None) -> list[str]:
        """Returns in words what is not as the plan in the folder says."""
        try:
            there: Any = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        except DAMAGE:
            there = {}
        return [fact for fact, value in self._plan(shard).items() if there.get(fact) != value]

    def _open(self, folder: Path, shard: Shard | None, resumed: bool) -> Part:
        batches = shard.of(self.batches) if shard else self.batches
        samples = np.concatenate([np.zeros(0, np.int64), *batches]) if shard else np.arange(self.n_samples)
        index = np.zeros(self.n_samples, np.int64)
        index[samples] = np.arange(len(samples))
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[samples])])
        rows = {name: int(offsets[-1]) if name == CODES else len(samples) for name in self.shapes}
        files = {name: ((rows[name], *shape), kind) for name, (shape, kind) in self.shapes.items()}
        files["done"] = ((len(batches),), np.bool_)
        arrays: dict[str, Any] = {}
        for name, (shape, kind) in files.items():
            file = folder / f"{name}.npy"
            if 0 in shape:  # which cannot be mapped
                arrays[name] = np.zeros(shape, kind)
            else:
                arrays[name] = _mapped(file) if resumed else new_map(file, kind, shape)
        n_bytes = sum(array.nbytes for array in arrays.values())
        if n_bytes and not shard:  # kept for the files, until they are assembled
            new_map(folder / ROOM, np.uint8, (n_bytes,))
        return Part(arrays, arrays.pop("done"), batches, index, offsets)


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r+")
    except DAMAGE as error:
        raise OtherShard(f"{file} is damaged ({error}): remove its folder, and compute it again") from error
