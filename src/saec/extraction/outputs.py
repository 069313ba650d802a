"""One id owns one set of files in one folder: their names, and what is known of those already there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

from saec.faults import Fault, listing
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
    def probabilities(self) -> Path:
        return self.folder / f"probabilities_{self.id}.npz"

    def predictions(self, of: str = "") -> Path:
        """Tables of what a classifier said: of segments, or of `files`."""
        words = ["predictions", *([of] if of else []), self.id.removeprefix("saec_")]
        return self.folder / f"{'_'.join(words)}.csv"

    @property
    def figure(self) -> Path:
        return self.folder / f"reconstructions_{self.id}.png"

    @property
    def about(self) -> Path:
        return self.folder / f"{self.id}.json"

    @property
    def lock(self) -> Path:
        """Held by the process that extracts."""
        return self.folder / f".{self.id}.lock"

    @property
    def part(self) -> Path:
        return self.folder / f".{self.id}.part"

    def read_about(self) -> dict[str, Any] | None:
        """What an earlier extraction wrote of itself, if it was completed.

        Raises:
            Fault: it cannot be read.
        """
        if not self.about.is_file():
            return None
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
            about["files"], about["settings"], about["n_pictures"]  # all it must say, and
            about["pictures"] = list(map(tuple, about["pictures"]))
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error
        return about

    def present(self) -> set[str]:
        """The feature files of this id that lie in the folder, whoever made them."""
        tables = [table.name for table in (self.predictions(), self.predictions("files")) if table.is_file()]
        arrays = [path.name for path in self.folder.glob(f"[!.]*_{self.id}.npz") if path.is_file()]
        return {*arrays, *tables}

    def remove(self, names: set[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def state(self, settings: dict[str, Any], pictures: Sequence[tuple], overwrite: bool) -> State:
        """How what is there compares with what is asked.

        Raises:
            Fault: the id's files were made otherwise: other settings, another folder, another hand.
        """
        if overwrite:
            return "new"
        about = self.read_about()
        if about is None:
            self._refuse_foreign()
            return "new"
        different = [
            f"{key}: there {about['settings'].get(key)!r}, here {value!r}"
            for key, value in settings.items()
            if about["settings"].get(key) != value
        ]
        if different:
            raise self._made_otherwise(different)
        if not self._complete(about):
            return "new"
        return "same" if about["pictures"] == list(pictures) else "pictures changed"

    def _complete(self, about: dict[str, Any]) -> bool:
        """Whether all files are there, with a row for each picture."""
        files = [self.folder / name for name in about["files"]]
        try:
            return all(
                f.is_file() and (f.suffix != ".npz" or len(map_npz(f, "N")) == about["n_pictures"])
                for f in files
            )
        except (ValueError, KeyError, OSError, BadZipFile) as error:
            raise self._damaged(error) from error

    def _refuse_foreign(self) -> None:
        """Files of this id that nothing here speaks of, such as the reference's own."""
        found = sorted(self.present())
        if found and not self.part.exists():
            raise self._made_otherwise([f"{name}, of which no {self.about.name} speaks" for name in found])

    def _made_otherwise(self, lines: list[str]) -> Fault:
        return Fault(
            f"{self.folder} holds features {self.id} made otherwise:\n{listing(lines)}\n"
            "choose a `variant:` word for these, another folder by `out:`, or `overwrite: true`"
        )

    def _damaged(self, error: Exception) -> Fault:
        return Fault(f"{self.about} or a file it lists is damaged ({error}): remove it, extract anew")


KEPT = ("weights", "pooling", "latents", "tap", "layers_dropped", "extractor", "backend")


def made_by(file: Path) -> dict[str, Any]:
    """What the extraction that made this file says of itself.

    Raises:
        Fault: nothing of ours made it, or it holds reductions, in which other samples have no place.
    """
    if file.name.startswith("dimred_"):
        raise Fault(f"{file} holds reductions, other samples have no place in them: name pooled features")
    for place in sorted(file.parent.glob("saec_*.json")):
        about = json.loads(place.read_text(encoding="utf-8"))
        if file.name in about.get("files", ()):
            return about
    raise Fault(
        f"{file} was not made by main_02_extract.py, so other samples cannot be compared with it: "
        "extract features of both by one run"
    )


def recipe_of(about: dict[str, Any]) -> dict[str, Any]:
    """A session that makes such features of other samples, without a reduction; it lacks only where these
    are (`samples`) and where to write.
    """
    said = about["session"]
    recipe = {key: said[key] for key in KEPT if said.get(key) is not None}
    if "extractor" not in recipe:
        recipe["run"] = about["model"]
    recipe |= {"precision": about["settings"]["precision"], "reduction": None, "reconstructions": 0}
    return recipe | {"data": said["data"]}


def for_samples(recipe: dict[str, Any], place: Any, out: Path) -> dict[str, Any]:
    """The recipe for a place of the same kind of data."""
    key = "images" if recipe["data"].get("images") is not None else "sounds"
    if "run" in recipe and not Path(recipe["run"]).exists():  # of another machine, or moved since
        recipe = recipe | {"run": Path(recipe["run"]).name}
    return recipe | {"data": recipe["data"] | {key: place}, "out": str(out)}
