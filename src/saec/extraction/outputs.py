"""Manages files of an extraction: their names, what exists already, and the rows that are computed so far."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from saec.disk import new_map
from saec.faults import Fault, listing
from saec.features import Features
from saec.files import DAMAGE, TEMPORARY, fingerprint, flush, link_or_copy, map_npz, write_json, write_text
from saec.samples import Samples

State = Literal["new", "same", "files changed"]
Shapes = dict[str, tuple[tuple[int, ...], type]]  # of one row of each array, with its type
PREFIX = "saec_"  # of every id
PLAN, ROOM = "plan.txt", "room.npy"
NO_ROWS = ("reduction", "predictions")  # settings that no row depends on
MOST_LETTERS = 40  # of the data's name in an id


@dataclass(frozen=True)
class Outputs:
    """Names the files of one id in one folder as the dashboard parses them: `dimred_2_neigh_10_<id>.npz`."""

    folder: Path
    id: str  # saec_<timestamp>...

    @classmethod
    def of(cls, folder: Path, id: str, settings: dict[str, Any], key: str) -> "Outputs":
        """Returns the outputs of `<id>`, or of `<id>_<name of the data>` where `<id>` is of other data.

        `key` is the setting that says where the data lie.
        """
        location = settings[key]
        first = Path(location if isinstance(location, str) else location[0])
        name = re.sub(r"[^A-Za-z0-9]+", "-", first.stem if first.is_file() else first.name)[:MOST_LETTERS]
        for ending in ("", f"_{name}"):
            outputs = cls(folder, id + ending)
            with suppress(Fault):
                about = outputs.read_about() or outputs.read_about(outputs.before)
                if about and about["settings"].get(key) != location:
                    continue
            return outputs
        return cls(folder, f"{id}_{name}-{fingerprint(location)[:8]}")

    def npz(self, words: str) -> Path:
        return self.folder / f"{words}_{self.id}.npz"

    def predictions(self, words: str, suffix: str = ".csv") -> Path:
        return self.folder / f"{words}_{self.id.removeprefix(PREFIX)}{suffix}"

    @property
    def about(self) -> Path:
        """Returns the path of the JSON file that describes the others."""
        return self.folder / f"{self.id}.json"

    @property
    def part(self) -> Path:
        """Returns the folder of what is computed so far."""
        return self.folder / f".{self.id}.part"

    @property
    def before(self) -> Path:
        """Returns the path of the JSON file that the files had before they began to be replaced."""
        return self.folder / f".{self.id}.json"

    @property
    def lock(self) -> Path:
        return self.folder / f".{self.id}.lock"

    @property
    def left_over(self) -> list[Path]:
        """Returns what only a killed process leaves, or one that is at work."""
        torn = self._own(f"{TEMPORARY}*_{self.id.removeprefix(PREFIX)}.*")
        hidden = [self.part, self.before, self.lock, *torn]
        return [path for path in hidden if path.exists()]

    def clean(self) -> None:
        """Removes what a killed process has left and is of no more use."""
        shutil.rmtree(self.part, ignore_errors=True)
        for path in {*self.left_over} - {self.lock, self.part}:
            path.unlink(missing_ok=True)

    def read_about(self, file: Path | None = None) -> dict[str, Any] | None:
        """Returns what an earlier extraction wrote of itself, if it was completed.

        Raises:
            Fault: it cannot be read.
        """
        file = file or self.about
        if not file.is_file():
            return None
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            about["settings"].get, about["session"].get, about["n_pictures"]  # which it must have, as well as
            about["pictures"] = list(map(tuple, about["pictures"]))
            about["roles"] = about.get("roles") or {role_by_name(name): name for name in about["files"]}
            names = {*about["files"], *about["roles"].values(), *(file[0] for file in {*about["pictures"]})}
            all(map(Path, names))
        except DAMAGE as error:
            raise self._damaged(error) from error
        return about

    def features(self) -> Features:
        """Opens the first of the files that were made, with the paths of all."""
        roles = {role: self.folder / name for role, name in self.read_about()["roles"].items()}
        first = Features.load(next(iter(roles.values())))
        return Features(first.X, first.N, [*roles.values(), self.about], roles)

    def present(self) -> set[Path]:
        """Returns this id's feature files in the folder, whoever made them."""
        tables = list(map(self.predictions, ("predictions", "predictions_files", "detections")))
        for form in ("raven", "audacity"):
            tables += self._own(self.predictions(f"{form}_[0-9]*", ".txt").name)
        return set(filter(Path.is_file, [*tables, *self.folder.glob(f"[!.]*_{self.id}.npz")]))

    def _own(self, pattern: str) -> list[Path]:
        """Returns the files of a pattern, but those of an id that ends as this does: `<timestamp>_<id>`."""
        longer = self.folder.glob(f"*{PREFIX}*_{self.id.removeprefix(PREFIX)}.[jln]*")  # JSON, lock, NPZ
        endings = tuple({f"_{file.stem.rpartition(PREFIX)[2]}" for file in longer})
        return [file for file in self.folder.glob(pattern) if not file.stem.endswith(endings)]

    def state(self, settings: dict[str, Any], listed: dict[str, Any], overwrite: bool) -> State:
        """Compares what is there with what a session wants; version 0.1.0 has not written all of `listed`.

        Raises:
            Fault: the id's files were made otherwise: other settings, another folder, another program.
        """
        about = None if overwrite else self.read_about() or self.read_about(self.before)
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
        same = all(about.get(key, value) == value for key, value in listed.items())
        return "same" if same and self.about.is_file() else "files changed"

    def replacing(self, now: Sequence[tuple]) -> None:
        """Hides the JSON file before the others are replaced; after a kill their rows are found by it."""
        about, now = self.read_about() or self.read_about(self.before), set(now)
        if about:
            write_json(self.before, about | {"pictures": [one for one in about["pictures"] if one in now]})
            self.about.unlink(missing_ok=True)

    def _complete(self, about: dict[str, Any]) -> bool:
        """Returns whether all files are there, with a row for each sample unless they were being replaced."""
        files, n = [self.folder / name for name in about["files"]], about["n_pictures"]
        try:
            return all(map(Path.is_file, files)) and all(
                len(map_npz(file, "N")) == n or not self.about.is_file()
                for file in files
                if file.suffix == ".npz"
            )
        except DAMAGE as error:
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
    figure: Path | None = None  # of reconstructions
    n_drawn: int | None = None  # samples in it; None where it is not there

    @classmethod
    def find(
        cls,
        outputs: Outputs,
        settings: dict[str, Any],
        now: Iterable[tuple],
        arrays: Iterable[str],
        derived: Mapping[str, str],
        overwrite: bool,
    ) -> "Earlier | None":
        """Returns the files of the same model and data that have most of the arrays of the samples of now.

        `derived` names arrays that can be computed from `X`, each with the setting that it depends on.
        `overwrite` the files of these settings means that nothing is taken.
        """
        others = sorted(outputs.folder.glob(f"{PREFIX}*.json"))
        candidates, now = [], set(now)
        for file in dict.fromkeys([outputs.about, outputs.before, *others]):
            about = None
            with suppress(Fault):  # of another maker, or damaged
                about = outputs.read_about(file)
            if not about:
                continue
            different = {key for key, value in settings.items() if about["settings"].get(key) != value}
            if overwrite and file == outputs.about and not different:
                return None
            roles = {role: outputs.folder / name for role, name in about["roles"].items()}
            npz = {array: roles[array] for array in arrays if array in roles and roles[array].is_file()}
            npz = {array: path for array, path in npz.items() if derived.get(array) not in different}
            if different <= {*NO_ROWS, *derived.values()} and {*arrays} - {*derived} <= npz.keys():
                changed = {file[0] for file in now.symmetric_difference(about["pictures"])}
                figure = roles.get("reconstructions")
                n_drawn = about["session"].get("reconstructions") if figure and figure.is_file() else None
                candidates.append(cls(npz, changed, figure, n_drawn))
        return min(candidates, key=lambda one: (len(one.changed), -len(one.npz)), default=None)

    @classmethod
    def held(cls, outputs: Outputs, *what: Any) -> "Earlier | None":
        """Returns what `find` does, with names of this id for files of another, which may be replaced now."""
        end = f"_{outputs.id.removeprefix(PREFIX)}"
        while (earlier := cls.find(outputs, *what)) and outputs.present().isdisjoint(earlier.npz.values()):
            files = earlier.npz | ({"figure": earlier.figure} if earlier.n_drawn else {})
            held = {r: outputs.folder / f"{TEMPORARY}{r}{end}{file.suffix}" for r, file in files.items()}
            with suppress(FileNotFoundError):  # they are being replaced
                for role, file in files.items():
                    link_or_copy(file, held[role])
                if cls.find(outputs, *what) == earlier:
                    return replace(earlier, figure=held.pop("figure", None), npz=held)
        return earlier

    def all_rows(self, samples: Samples) -> bool:
        """Returns whether the files have these samples, none of them changed, and no others."""
        names = samples.names.tolist()
        return not self.changed and all(map_npz(file, "N").tolist() == names for file in self.npz.values())

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
    """Keeps memory-mapped arrays in a part folder; a kill leaves the rows of a marked batch complete."""

    arrays: dict[str, np.ndarray]
    done: np.ndarray  # (n_batches,) bool
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
                arrays[name] = new_map(file, kind, shape)
        if any(array.size for array in arrays.values()):  # kept for the files, until they are assembled
            new_map(folder / ROOM, np.uint8, (sum(array.nbytes for array in arrays.values()),))
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
            if name in self.arrays:
                self.arrays[name][rows] = values

    def mark(self, batches: list[int]) -> None:
        """Marks batches as done, once their rows are on the disk."""
        for array in self.arrays.values():
            flush(array)
        self.done[batches] = True
        flush(self.done)
