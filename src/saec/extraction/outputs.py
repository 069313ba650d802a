"""Manages files of an extraction: their names, what exists already, and the rows that are computed so far."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from torch import Tensor

from saec.faults import Fault, listing
from saec.features import Features
from saec.files import fingerprint, flush, map_npz, write_text
from saec.samples import Samples

State = Literal["new", "same", "files changed"]
Shapes = dict[str, tuple[tuple[int, ...], type]]  # of one row of each array, with its type
PREFIX = "saec_"  # of every id
PLAN = "plan.txt"


@dataclass(frozen=True)
class Outputs:
    """Names the files of one id in one folder as the dashboard parses them: `dimred_2_neigh_10_<id>.npz`."""

    folder: Path
    id: str  # saec_<timestamp>...

    def npz(self, words: str) -> Path:
        return self.folder / f"{words}_{self.id}.npz"

    def predictions(self, words: str) -> Path:
        return self.folder / f"{words}_{self.id.removeprefix(PREFIX)}.csv"

    @property
    def about(self) -> Path:
        """Returns the path of the JSON file that describes the others."""
        return self.folder / f"{self.id}.json"

    @property
    def part(self) -> Path:
        """Returns the folder of what is computed so far."""
        return self.folder / f".{self.id}.part"

    def read_about(self) -> dict[str, Any] | None:
        """Returns what an earlier extraction wrote of itself, if it was completed.

        Raises:
            Fault: it cannot be read.
        """
        if not self.about.is_file():
            return None
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
            about["settings"], about["n_pictures"]  # which it must have, as well as
            about["pictures"] = list(map(tuple, about["pictures"]))
            about["roles"] = about.get("roles") or {role_by_name(name): name for name in about["files"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(error) from error
        return about

    def features(self) -> Features:
        """Opens the first of the files that were made, with the paths of all."""
        roles = {role: self.folder / name for role, name in self.read_about()["roles"].items()}
        first = Features.load(next(iter(roles.values())))
        return Features(first.X, first.N, [*roles.values(), self.about], roles)

    def present(self) -> set[Path]:
        """Returns this id's feature files in the folder, whoever made them."""
        tables = map(self.predictions, ("predictions", "predictions_files"))
        return set(filter(Path.is_file, [*tables, *self.folder.glob(f"[!.]*_{self.id}.npz")]))

    def state(self, settings: dict[str, Any], files: Sequence[tuple], overwrite: bool) -> State:
        """Compares what is there with what a session wants.

        Raises:
            Fault: the id's files were made otherwise: other settings, another folder, another program.
        """
        about = None if overwrite else self.read_about()
        if about:
            before = about["settings"]
            different = [
                f"{key}: there {before.get(key)!r}, here {value!r}"
                for key, value in settings.items()
                if before.get(key) != value
            ]
        else:
            others = [] if overwrite or self.part.exists() else sorted(file.name for file in self.present())
            different = [f"{name}, of which no {self.about.name} speaks" for name in others]
        if different:
            raise Fault(
                f"{self.folder} holds features {self.id} made otherwise:\n{listing(different)}\n"
                "choose a `variant:` word for these, another folder by `out:`, or `overwrite: true`"
            )
        if not about or not self._complete(about):
            return "new"
        return "same" if about["pictures"] == list(files) else "files changed"

    def _complete(self, about: dict[str, Any]) -> bool:
        """Returns whether all files are there, with a row for each sample."""
        files = [self.folder / name for name in about["files"]]
        try:
            return all(
                f.is_file() and (f.suffix != ".npz" or len(map_npz(f, "N")) == about["n_pictures"])
                for f in files
            )
        except (ValueError, KeyError, OSError, BadZipFile) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> Fault:
        return Fault(f"{self.about} or a file it lists is damaged ({error}): remove it, extract anew")


def role_by_name(name: str) -> str:
    """Returns what a file is for, of features whose JSON does not say it yet (version 0.1.0)."""
    if name.startswith("dimred_"):
        return f"reduced_{name.split('_')[1]}"
    words = ("predictions_files", "predictions", "probabilities", "pooled")
    return next((word for word in words if name.startswith(f"{word}_")), "X")


def read_about_file(file: Path) -> dict[str, Any]:
    """Returns what the extraction that made this feature file says of itself.

    Raises:
        Fault: no extraction made it, or it holds reductions, to which other samples cannot be added.
    """
    _, prefix, name = file.stem.rpartition(PREFIX)
    about = Outputs(file.parent, prefix + name).read_about() if prefix else None
    role = next((role for role, name in about["roles"].items() if name == file.name), "") if about else ""
    if role.startswith("reduced"):
        raise Fault(f"{file} holds reductions, to which no samples can be added: name pooled features")
    if not role:
        raise Fault(
            f"{file} was not made by main_02_extract.py, so other samples cannot be compared with it: "
            "extract features of both by one run"
        )
    if "pooled" not in about["roles"]:
        raise Fault(f"{file} holds scores of a combiner: name features of a run or an extractor")
    return about


@dataclass(frozen=True)
class Earlier:
    """Holds feature files of an earlier extraction, from which rows of unchanged samples are taken."""

    npz: dict[str, Path]  # by array
    changed: set[str]  # names of sample files

    def rows(self, samples: Samples) -> dict[str, np.ndarray]:
        """Returns pairs (row now, row in the file), (n, 2), by array: of unchanged samples in all files,
        since a kill may have left files of two states.
        """
        names_of = {array: np.array(map_npz(file, "N")) for array, file in self.npz.items()}
        names = samples.names[~np.isin(samples.files, np.array(sorted(self.changed), dtype=str))]
        for others in names_of.values():
            names = np.intersect1d(names, others)
        now = np.intersect1d(samples.names, names, return_indices=True)[1]
        before = {a: np.intersect1d(n, names, return_indices=True)[1] for a, n in names_of.items()}
        return {array: np.stack([now, rows], axis=1) for array, rows in before.items()}


@dataclass(frozen=True)
class Shards:
    """Keeps memory-mapped arrays in a part folder; a kill leaves the rows of a marked shard complete."""

    arrays: dict[str, np.ndarray]
    done: np.ndarray  # (n_shards,) bool
    resumed: bool

    @classmethod
    def open(cls, folder: Path, plan: str, n_rows: int, shapes: Shapes, todo: list[np.ndarray]) -> "Shards":
        """Opens the part folder of the same plan, and of the same rows to do, else begins a fresh one."""
        files = {name: ((n_rows, *shape), kind) for name, (shape, kind) in shapes.items()}
        files["done"] = ((len(todo),), np.bool_)
        kinds = {name: [shape, np.dtype(kind).name] for name, (shape, kind) in files.items()}
        key = fingerprint(plan, kinds, [rows.tolist() for rows in todo])
        plan_file = folder / PLAN
        resumed = plan_file.is_file() and plan_file.read_text(encoding="utf-8") == key
        if not resumed:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        arrays = {}
        for name, (shape, kind) in files.items():
            file = folder / f"{name}.npy"
            if 0 in shape:  # which cannot be mapped
                arrays[name] = np.zeros(shape, kind)
            elif resumed:
                arrays[name] = np.load(file, mmap_mode="r+")
            else:
                arrays[name] = np.lib.format.open_memmap(file, "w+", kind, shape)
        if not resumed:
            write_text(plan_file, key)
        return cls(arrays, arrays.pop("done"), resumed)

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
