"""One id owns one set of files in one folder: their names, and what those already there are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

from saec.faults import Fault, listing
from saec.features import Features
from saec.files import map_npz

State = Literal["new", "same", "files changed"]
PREFIX = "saec_"  # of every id


@dataclass(frozen=True)
class Outputs:
    """Names as the dashboard parses them: `dimred_<d>_neigh_<n>_<id>.npz`, id `saec_<timestamp>...`."""

    folder: Path
    id: str

    @classmethod
    def of(cls, folder: Path, name: str, variant: str | None) -> "Outputs":
        return cls(folder, PREFIX + "_".join([name, *([variant] if variant else [])]))

    def npz(self, words: str) -> Path:
        return self.folder / f"{words}_{self.id}.npz"

    def predictions(self, words: str = "predictions") -> Path:
        """Returns the table of a classifier's predictions: of segments, or of files."""
        return self.folder / f"{words}_{self.id.removeprefix(PREFIX)}.csv"

    @property
    def about(self) -> Path:
        """The JSON file that says what the others are."""
        return self.folder / f"{self.id}.json"

    @property
    def part(self) -> Path:
        """The folder of what is computed so far."""
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

    def present(self) -> set[str]:
        """Returns the names of this id's feature files in the folder, whoever made them."""
        tables = [self.predictions(words) for words in ("predictions", "predictions_files")]
        arrays = self.folder.glob(f"[!.]*_{self.id}.npz")
        return {path.name for path in [*tables, *arrays] if path.is_file()}

    def remove(self, names: set[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def state(self, settings: dict[str, Any], files: Sequence[tuple], overwrite: bool) -> State:
        """Compares what is there with what a session wants.

        Raises:
            Fault: the id's files were made otherwise: other settings, another folder, another program.
        """
        if overwrite:
            return "new"
        about = self.read_about()
        if about is None:
            present = sorted(self.present())
            if present and not self.part.exists():
                raise self._made_otherwise(
                    [f"{name}, of which no {self.about.name} speaks" for name in present]
                )
            return "new"
        before = about["settings"]
        different = [
            f"{key}: there {before.get(key)!r}, here {value!r}"
            for key, value in settings.items()
            if before.get(key) != value
        ]
        if different:
            raise self._made_otherwise(different)
        if not self._complete(about):
            return "new"
        return "same" if about["pictures"] == list(files) else "files changed"

    def _complete(self, about: dict[str, Any]) -> bool:
        """Whether all files are there, with a row for each sample."""
        files = [self.folder / name for name in about["files"]]
        try:
            return all(
                f.is_file() and (f.suffix != ".npz" or len(map_npz(f, "N")) == about["n_pictures"])
                for f in files
            )
        except (ValueError, KeyError, OSError, BadZipFile) as error:
            raise self._damaged(error) from error

    def _made_otherwise(self, lines: list[str]) -> Fault:
        return Fault(
            f"{self.folder} holds features {self.id} made otherwise:\n{listing(lines)}\n"
            "choose a `variant:` word for these, another folder by `out:`, or `overwrite: true`"
        )

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
    return about
