"""Defines the contract of a data kind, and what kinds share: listed files, and faults of unusable ones."""

import logging
import os
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field, PlainValidator

from saec.config import URL, Config
from saec.data.batch import Dataset, FrontEnd
from saec.data.listed import Listed
from saec.data.listed import evenly as evenly  # by which others know it
from saec.data.remote import is_only_check, local_copy
from saec.data.store import Cache, check, open_items
from saec.data.stored import Mapped, Reader, Streamed
from saec.faults import Fault, listing, number_of
from saec.files import GB, write_text
from saec.registry import Component, Registry
from saec.samples import Samples

LOG = logging.getLogger(__name__)
L = TypeVar("L", bound=Listed)  # of which kinds have their own
Location = str | Annotated[tuple[str, ...], Field(min_length=1)]  # one folder or file, or several folders


def _location(raw: Any) -> Location:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, list | tuple) and raw and all(isinstance(one, str) for one in raw):
        return tuple(raw)
    raise ValueError(f"must be a folder, or a list of folders, got {raw!r}")


def _location_or_part(raw: Any) -> Location | float | int:
    is_count = type(raw) is int and raw > 1  # 1 may be meant as a share
    if is_count or (isinstance(raw, float) and 0 < raw < 1):
        return raw
    try:
        return _location(raw)
    except ValueError as error:
        words = "must be a folder, a share between 0 and 1, or a whole number of samples"
        raise ValueError(f"{words}, got {raw!r}") from error


class DataOptions(Component):
    """Holds the keys that every data section of a training session has beside the options of its kind."""

    train: Annotated[Location, BeforeValidator(_location)]
    valid: Annotated[Any, PlainValidator(_location_or_part)] = 0.1  # a Location, or a part of `train`
    split_seed: Annotated[int, Field(ge=0)] | None = None  # of that part; None: that of the training

    @property
    def has_part(self) -> bool:
        """Returns whether validation is a share of the samples, or a number of them."""
        return isinstance(self.valid, float | int)

    def for_all(self) -> Self:
        """Returns the options for whole folders, without those that are for a training alone."""
        return self.model_copy(update=dict.fromkeys(self.target.only_in_training))

    def at(self, location: Location, config: Config) -> "Kind":
        """Returns what lies there, read with these options; of a remote folder its copy."""
        return self(paths_of(location, config, self.target.suffixes), Cache.of(config))


DATA = Registry("data kind", key="kind", base=DataOptions, given="location cache")


def is_remote(location: Location) -> bool:
    """Returns whether a location, or one of several, is an address such as `s3://bucket/folder`."""
    return any(map(URL.match, location if isinstance(location, tuple) else (location,)))


def paths_of(location: Location, config: Config, suffixes: Container[str]) -> Path | tuple[Path, ...]:
    """Returns what the session says as a path, or as several; remote files with these suffixes are copied."""

    def path_of(one: str) -> Path:
        return local_copy(one, config, suffixes) if is_remote(one) else Path(one)

    return tuple(map(path_of, location)) if isinstance(location, tuple) else path_of(location)


def absolute(location: Location, config: Config) -> Location:
    """Returns the same with absolute paths; raises a `Fault` where a path is of another system."""

    def absolute_one(one: str) -> str:
        return one if is_remote(one) else str(config.data_path(one))

    return tuple(map(absolute_one, location)) if isinstance(location, tuple) else absolute_one(location)


@dataclass(frozen=True)
class Sizes:
    """Holds the number of samples and their bytes, from listing and headers alone."""

    n_samples: int
    n_bytes: int  # decoded
    front: FrontEnd
    no_room: str = ""  # why they are not kept decoded
    samples_are: str = "pictures"
    from_training_set: dict[str, Any] = field(default_factory=dict)  # options that a training set settles
    mean_frames: float | None = None  # of samples that keep lengths of their own

    @property
    def is_ragged(self) -> bool:
        """Returns whether samples keep lengths of their own."""
        return self.front.is_ragged

    def words(self, shape: tuple[int, ...]) -> str:
        """Returns in words the shape of samples as a model takes them."""
        if self.mean_frames is None:
            return f"{'x'.join(map(str, shape))} (channels x height x width)"
        size = "x".join(map(str, shape[:-1]))
        return f"{size} (channels x columns), {self.mean_frames:,.0f} frames on average"

    @property
    def room(self) -> str:
        """Returns in words how much room the samples take."""
        if self.no_room:
            return f"{self.n_bytes / GB:.2f} GB, decoded whenever they are used: {self.no_room}"
        return f"{self.n_bytes / GB:.2f} GB of cache"


class Kind(Reader, Generic[L]):
    """Is a data kind with its options, on one folder (or table, or several folders) of files.

    `samples_are` is the word for its samples, `items_are` that for its files, `session_key` the key that an
    extraction session names them by. `from_training_set` says which options may be left to the training set,
    and the words for that; `only_in_training` those that are null where all samples of a folder are wanted.
    `ids`, where it has them, are names that stand for one thing in whatever folder.
    """

    samples_are: str
    items_are: str
    session_key: str
    suffixes: ClassVar[Container[str]]  # of its files, in small letters
    from_training_set: ClassVar[dict[str, tuple[str, ...]]] = {}
    only_in_training: ClassVar[tuple[str, ...]] = ("limit",)
    lists_in: Path | None = None  # where to list what cannot be used; None: beside the folder
    fingerprint: str  # of the files and all else that what is stored of them depends on

    def __init__(self, listed: L, cache: Cache, skip_bad: bool):
        self.listed = listed
        self.folder = listed.folder
        self.files = listed.sources
        self.paths = list(listed.paths.values())
        self.cache = cache
        self.skip_bad = skip_bad

    @property
    def state(self) -> Sequence[tuple[Any, ...]]:
        """Returns name, bytes, time of change, ... of each file; features are up to date while equal."""
        return self.files

    @property
    def n_listed(self) -> int:
        """Returns the number of files, or of parts of them."""
        return len(self.files)

    @property
    def samples(self) -> Samples:
        """Returns the listed samples, also of files that cannot be read; nothing is decoded for them."""
        return self.listed.labelled

    def sized(self, n_samples: int, n_bytes: int, front: FrontEnd, **more: Any) -> Sizes:
        """Returns sizes of so many samples, and why the cache does not keep them, if it does not."""
        no_room = "" if self.cache.holds(self.fingerprint) else self.cache.no_room(n_bytes)
        return Sizes(n_samples, n_bytes, front, no_room, self.samples_are, **more)

    def opened(self) -> tuple[Mapped | Streamed, dict[str, Any], dict[str, str]]:
        """Returns what is stored, the facts kept with it, and by names of files why they cannot be used."""
        stored, facts = open_items(self.cache, self.fingerprint, self, self.folder)
        return stored, facts, {self.files[item].name: reason for item, reason in facts["unusable"]}

    def of_whole_files(
        self, stored: Mapped | Streamed, bad: dict[str, str], front: FrontEnd, **about: Any
    ) -> Dataset:
        """Returns the samples that can be used, each of which is a file, and warns of the others."""
        about |= {"left_out": self.leave_out(bad)}
        item_of = {file.name: item for item, file in enumerate(self.files)}
        samples = self.samples.subset(~np.isin(self.samples.files, list(bad)))
        items = np.array([item_of[file] for file in samples.files.tolist()], dtype=np.int64)
        return Dataset(samples, stored, items, front, self.fingerprint, about, self.samples_are)

    def sizes(self) -> Sizes:
        """Counts samples and their bytes from listing and headers alone; raises a `Fault` for bad ones."""
        raise NotImplementedError

    def open(self) -> Dataset:
        """Decodes the samples, or finds them decoded."""
        raise NotImplementedError

    def refuse_bad(self, bad: dict[str, str]) -> None:
        """Raises a `Fault` where some files, or with `skip_bad` all, cannot be used, with the reasons.

        Ten are in the message, and all of them in a file beside the folder, or where the kind lists them; a
        check alone writes none.
        """
        n_all = self.n_listed
        if not bad or (self.skip_bad and len(bad) < n_all):
            return
        lines = [f"{name} {reason}" for name, reason in bad.items()]
        where, path = "the first of them", self._list_of_bad
        if n_all > 1 and not is_only_check():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, "\n".join(lines) + "\n")
                where = f"all are listed in {path}"
            except OSError:
                where = f"{path} for all of them could not be written"
        remedy = "" if self.skip_bad else ", or leave them out with `data.skip_bad: true`"
        words = f"{len(bad)} of {n_all} {self.items_are} in {self.folder} cannot be used, mend or remove them"
        raise Fault(f"{words}{remedy}; {where}:\n{listing(lines)}")

    def refuse_early(self, bad: dict[str, str]) -> None:
        """Does as `refuse_bad` where headers say what cannot be used; all files are read for the rest."""
        if bad and (not self.skip_bad or len(bad) >= self.n_listed):
            results = zip(self.files, check(self, self.cache.n_workers), strict=True)
            checked = {file.name: reason for file, (_, reason) in results if reason}
            bad = checked | bad | checked
        self.refuse_bad(bad)

    def leave_out(self, bad: dict[str, str]) -> list[str]:
        """Warns of what is left out, and returns its names; the list of an earlier call is removed."""
        with suppress(OSError):
            self._list_of_bad.unlink(missing_ok=True)
        if bad:
            lines = [f"{name} {reason}" for name, reason in bad.items()]
            LOG.warning("%s: left out, unusable:\n%s", self.folder, listing(lines))
        return list(bad)

    @property
    def _list_of_bad(self) -> Path:
        return (self.lists_in or self.folder.parent) / f"unusable_{self.folder.name}.txt"


def shared_with(kind: Kind, other: Kind) -> tuple[list[str], bool]:
    """Returns what both have, sorted, and whether it is files, by their real paths: else it is names that
    stand for one thing in whatever folder, or names of samples.
    """
    files = set.intersection(*({os.path.realpath(path) for path in one.paths} for one in (kind, other)))
    both = (kind, other)
    names = set.intersection(*({*getattr(one, "ids", one.samples.names.tolist())} for one in both))
    return sorted(files or names), bool(files)


def faults_of_shared(train: Kind, valid: Kind) -> list[str]:
    """Returns a fault where both share files, or names that stand for one thing anywhere."""
    shared, are_files = shared_with(train, valid) if hasattr(valid, "ids") else ([], False)
    if not shared:
        return []
    how = "too: name folders of which none lies in the other"
    how = how if are_files else "by their names: remove them from one or rename them"
    words = number_of(len(shared), f"{valid.items_are} are in data.train")
    return [f"data.valid: {words}, {how}\n{listing(shared)}"]


def faults_of_ragged(what: str, refused: dict[str, tuple[bool, str]]) -> list[str]:
    """Returns a fault for each key of a session that is refused, since samples have lengths of their own."""
    words = "takes samples of one shape, and {} have lengths of their own: choose `{}`"
    return [f"{key}: {words.format(what, remedy)}" for key, (is_so, remedy) in refused.items() if is_so]
