"""One id owns one set of files in one folder: their names, and what is known of those already there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

from saec.faults import Fault
from saec.files import map_npz

State = Literal["new", "same", "pictures changed"]


@dataclass(frozen=True)
class Outputs:
    """Names as the dashboard parses them: `dimred_<d>_neigh_<n>_<id>.npz`, id `saec_<timestamp>...`."""

    folder: Path
    id: str

    @classmethod
    def of(cls, folder: Path, timestamp: str, variant: str | None) -> "Outputs":
        return cls(folder, "_".join(["saec", timestamp, *([variant] if variant else [])]))

    @property
    def latents(self) -> Path:
        return self.folder / f"full_features_{self.id}.npz"

    def pooled(self, pooling: str) -> Path:
        return self.folder / f"pooled_{pooling}_{self.id}.npz"

    def reduced(self, n_dims: int, n_neighbors: int) -> Path:
        return self.folder / f"dimred_{n_dims}_neigh_{n_neighbors}_{self.id}.npz"

    @property
    def figure(self) -> Path:
        return self.folder / f"reconstructions_{self.id}.png"

    @property
    def about(self) -> Path:
        return self.folder / f"{self.id}.json"

    @property
    def part(self) -> Path:
        return self.folder / f".{self.id}.part"

    def read_about(self) -> dict[str, Any] | None:
        """What the last complete extraction wrote, if all its files are there."""
        if not self.about.is_file():
            return None
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
            files = [self.folder / name for name in about["files"]]
            complete = all(f.is_file() and len(map_npz(f, "N")) == about["n_pictures"] for f in files)
        except (ValueError, KeyError, TypeError, OSError, BadZipFile) as error:
            raise Fault(
                f"{self.about} or a file it lists is damaged ({error}): remove it, extract anew"
            ) from error
        return about if complete else None

    def listed(self) -> set[str]:
        """The files that an earlier extraction says it wrote, complete or not."""
        try:
            return set(json.loads(self.about.read_text(encoding="utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def remove(self, names: set[str]) -> None:
        """Those of the names that can be files of this id."""
        for name in names:
            if name.endswith(f"_{self.id}.npz") and Path(name).name == name:
                (self.folder / name).unlink(missing_ok=True)

    def state(self, settings: dict[str, Any], pictures: list[list[Any]], overwrite: bool) -> State:
        """How what is there compares with what is asked.

        Raises:
            Fault: the id's files were made with other settings or from another folder.
        """
        about = None if overwrite else self.read_about()
        if about is None:
            return "new"
        different = [
            f"{key}: there {about['settings'].get(key)!r}, here {value!r}"
            for key, value in settings.items()
            if about["settings"].get(key) != value
        ]
        if different:
            lines = "\n".join(f"  {line}" for line in different)
            raise Fault(
                f"{self.folder} holds features {self.id} made otherwise:\n{lines}\n"
                "choose a `variant:` word for these, another folder by `out:`, or `overwrite: true`"
            )
        return "same" if about["pictures"] == pictures else "pictures changed"
