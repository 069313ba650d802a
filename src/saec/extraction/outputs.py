"""Manages the files of an extraction: their names, what exists already, and how they are replaced."""

import fnmatch
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from saec.config import Config
from saec.data.bucket import Bucket
from saec.data.kind import is_remote
from saec.extraction.parts import Shard
from saec.faults import Fault, MissingFault, differences, listing
from saec.features import Features
from saec.files import DAMAGE, fingerprint, link_or_copy, map_npz, move, remove

State = Literal["new", "same", "files changed"]
PREFIX = "saec_"  # of every id
MOST_LETTERS = 40  # of the data's name in an id


@dataclass(frozen=True)
class Elsewhere:
    """Names the addresses of features in a bucket, the JSON last; none as long as shards are missing."""

    paths: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """Names the files of one id in one folder as the dashboard parses them: `dimred_2_neigh_10_<id>.npz`.

    Those of a bucket are made in a folder of the cache; what was copied of it lies there, too.
    """

    folder: Path
    id: str = ""  # saec_<timestamp>...
    bucket: Bucket | None = field(default=None, compare=False)

    @classmethod
    def at(cls, folder: str, config: Config, id: str = "") -> "Outputs":
        """Returns the outputs of an id in a folder, which is named by its path or address."""
        bucket = Bucket(folder, config) if is_remote(folder) else None
        return cls(bucket.folder if bucket else config.data_path(folder), id, bucket)

    def of(self, id: str, settings: dict[str, Any], key: str) -> "Outputs":
        """Returns the outputs of `<id>` there, or of `<id>_<name of the data>` where `<id>` is of other data.

        `key` is the setting that says where the data lie.
        """
        location = settings[key]
        first = Path(location if isinstance(location, str) else location[0])
        name = re.sub(r"[^A-Za-z0-9]+", "-", first.stem if first.is_file() else first.name)[:MOST_LETTERS]
        for ending in ("", f"_{name}"):
            outputs = replace(self, id=id + ending)
            with suppress(Fault):
                about = outputs.newest
                if about and about["settings"].get(key) != location:
                    continue
            return outputs
        return replace(self, id=f"{id}_{name}-{fingerprint(location)[:8]}")

    @property
    def where(self) -> str:
        """Returns the path of the folder, or its address."""
        return self.bucket.url if self.bucket else str(self.folder)

    @property
    def address(self) -> str:
        """Returns the path of the JSON file, or its address."""
        return f"{self.where}/{self.about.name}" if self.bucket else str(self.about)

    def has(self, file: Path) -> bool:
        return file.name in self.bucket.objects if self.bucket else file.is_file()

    def local(self, file: Path) -> Path:
        """Returns the path of a file, which is fetched first if it lies in a bucket."""
        if self.bucket:
            self.bucket.fetch([file.name])
        return file

    def npz(self, words: str) -> Path:
        return self.folder / f"{words}_{self.id}.npz"

    def predictions(self, words: str, suffix: str = ".csv") -> Path:
        return self.folder / f"{words}_{self.id.removeprefix(PREFIX)}{suffix}"

    @property
    def figure(self) -> Path:
        """Returns the path of the figure of reconstructions."""
        return self.npz("reconstructions").with_suffix(".png")

    @property
    def about(self) -> Path:
        """Returns the path of the JSON file that describes the others."""
        return self.folder / f"{self.id}.json"

    @property
    def part(self) -> Path:
        """Returns the folder of what is computed so far."""
        return self.folder / f".{self.id}.part"

    @property
    def made(self) -> "Outputs":
        """Returns the same files in a folder where they wait until all are there, the JSON file last."""
        return Outputs(self.part / "made", self.id)

    @property
    def lock(self) -> Path:
        return self.folder / f".{self.id}.lock"

    def of_shard(self, shard: Shard, ending: str = ".part") -> Path:
        """Returns the folder of what is computed of a shard, or with another ending its lock file."""
        return self.folder / f".{self.id}.shard-{shard.index}-of-{shard.n}{ending}"

    @property
    def shards(self) -> dict[Shard, Path]:
        """Returns the folders of the shards that are there."""
        folders = self.folder.glob(f".{self.id}.shard-*-of-*.part")
        names = {folder: re.fullmatch(r".*\.shard-(\d+)-of-(\d+)\.part", folder.name) for folder in folders}
        return {Shard(int(name[1]), int(name[2])): folder for folder, name in sorted(names.items()) if name}

    @property
    def left_over(self) -> list[Path]:
        """Returns what only a killed process leaves, or one that is at work."""
        of_0_1_0 = self.folder / f".{self.id}.json"
        paths = (self.part, self.lock, of_0_1_0, *self.shards.values())
        return [path for path in paths if path.exists()] + [self.folder / name for name in self._left_there]

    @property
    def _left_there(self) -> list[str]:
        return self.bucket.left_of(self.id) if self.bucket else []

    def clean(self, shards: Iterable[Path] = ()) -> None:
        """Removes what a killed process has left and is of no more use, and the folders of these shards."""
        for path in ({*self.left_over} - {self.lock, *self.shards.values()}) | {*shards}:
            remove(path)
        if self.bucket:
            self.bucket.remove(self._left_there)

    def publish(self) -> None:
        """Replaces all files of this id by those that are made, if they are; after a kill it goes on."""
        about = self.read_about(self.made.about)
        if self.bucket and about:
            files = [self.made.folder / name for name in (*about["files"], self.about.name)]
            self.bucket.replace(self.id, files, {file.name for file in (*self.present(), self.figure)})
        elif about:
            self.about.unlink(missing_ok=True)  # which never stands beside files of another state
            for file in {*self.present(), self.figure} - {self.folder / name for name in about["files"]}:
                file.unlink(missing_ok=True)
            for name in about["files"]:
                made = self.made.folder / name
                if made.exists() and made.stat().st_nlink > 1:  # whose other name may be of a file in use
                    link_or_copy(made, self.folder / name)
                elif made.exists():
                    move(made, self.folder / name)
            move(self.made.about, self.about)

    @property
    def newest(self) -> dict[str, Any] | None:
        """Returns what the last complete extraction wrote, though it was killed before it was published."""
        return self.read_about(self.made.about) or self.read_about()

    def read_about(self, file: Path | None = None) -> dict[str, Any] | None:
        """Returns what an earlier extraction wrote of itself, if it was completed.

        Raises:
            Fault: it cannot be read.
        """
        file = file or self.about
        if not file.is_file():
            return None
        try:
            stat = file.stat()
            return _read_about(file, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except DAMAGE as error:
            raise self._damaged(error) from error

    def features(self) -> Features | Elsewhere:
        """Opens the first of the files that were made, with the paths of all; names those of a bucket."""
        if (about := self.read_about()) is None:
            raise MissingFault(f"{self.address} has been removed meanwhile: call again")
        if self.bucket:
            there = {role: f"{self.where}/{name}" for role, name in about["roles"].items()}
            return Elsewhere((*there.values(), self.address), there)
        roles = {role: self.folder / name for role, name in about["roles"].items()}
        first = Features.load(next(iter(roles.values())))
        return Features(first.X, first.N, [*roles.values(), self.about], roles)

    def present(self) -> set[Path]:
        """Returns this id's feature files in the folder, whoever made them, but those of an id that ends as
        this does: `<timestamp>_<id>`.
        """
        name = self.id.removeprefix(PREFIX)
        tables = list(map(self.predictions, ("predictions", "predictions_files", "detections")))
        for form in ("raven", "audacity"):
            longer = self._glob(f"*{PREFIX}*_{name}.[jln]*")  # JSON, lock, NPZ
            endings = tuple({f"_{file.stem.rpartition(PREFIX)[2]}" for file in longer})
            those = self._glob(f"{form}_[0-9]*_{name}.txt")
            tables += [file for file in those if not file.stem.endswith(endings)]
        return set(filter(self.has, [*tables, *self._glob(f"[!.]*_{self.id}.npz")]))

    def _glob(self, pattern: str) -> list[Path]:
        if self.bucket:
            return [self.folder / name for name in fnmatch.filter(self.bucket.objects, pattern)]
        return [*self.folder.glob(pattern)]

    def state(self, settings: dict[str, Any], listed: dict[str, Any], overwrite: bool) -> State:
        """Compares what is there with what a session wants; version 0.1.0 has not written all of `listed`.

        Raises:
            Fault: the id's files were made otherwise: other settings, another folder, another program.
        """
        about = None if overwrite else self.newest
        if about:
            different = differences(about["settings"], settings)
        else:
            others = [] if overwrite or self._left_there else sorted(file.name for file in self.present())
            different = [f"{name}, of which no {self.about.name} speaks" for name in others]
        if different:
            raise Fault(
                f"{self.where} holds features {self.id} made otherwise:\n{listing(different)}\n"
                "choose a `variant:` word for these, another folder by `out:`, or `overwrite: true`"
            )
        if not about:
            return "new"
        same = all(about.get(key, value) == value for key, value in listed.items())
        is_whole = not self.made.about.exists() and self._complete(about)
        return "same" if same and is_whole else "files changed"

    def _complete(self, about: dict[str, Any]) -> bool:
        """Returns whether all files are there, with a row for each sample; in a bucket, of the right size."""
        if self.bucket:
            there = {name: one.n_bytes for name, one in self.bucket.objects.items()}
            sizes = about.get("bytes", there)
            return all(name in there and sizes.get(name) == there[name] for name in about["files"])
        files, n = [self.folder / name for name in about["files"]], about["n_pictures"]
        try:
            return all(map(Path.is_file, files)) and all(
                len(map_npz(file, "N")) == n for file in files if file.suffix == ".npz"
            )
        except DAMAGE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> Fault:
        return Fault(f"{self.address} or a file it lists is damaged ({error}): remove it, extract anew")


@lru_cache(maxsize=2)
def _read_about(file: Path, state: tuple[int, ...]) -> dict[str, Any]:
    """Reads the file once as long as it is in that state: of a million pictures it takes seconds."""
    about = json.loads(file.read_text(encoding="utf-8"))
    about["settings"].get, about["session"]["data"].get, about["n_pictures"]  # which it must have, as well as
    about["pictures"] = list(map(tuple, about["pictures"]))
    about["roles"] = about.get("roles") or {role_by_name(name): name for name in about["files"]}
    names = {about["model"], *about["files"], *about["roles"].values()}
    all(map(Path, names | {file[0] for file in {*about["pictures"]}}))
    return about


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
    if about is None or not role:
        raise Fault(
            f"{file} was not made by `saec extract`, so other samples cannot be compared with it: "
            "extract features of both by one run"
        )
    if "pooled" not in about["roles"]:
        raise Fault(f"{file} holds scores of a combiner: name features of a run or an extractor")
    return about
