"""Lists the files that a location names: those of a folder, of class folders or of a table."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, NamedTuple, TypeVar

import numpy as np
from pydantic import AfterValidator

from saec.data.ahead import ahead
from saec.data.packed import bytes_of, file_of, labels_beside, names_below, state_of
from saec.faults import (
    DISK_IS_GONE,
    Fault,
    MissingFault,
    Unusable,
    did_you_mean,
    first_lines,
    listing,
    number_of,
)
from saec.progress import progress
from saec.samples import (
    SEGMENT,
    TABLES,
    Samples,
    Several,
    clock_columns,
    match_names,
    numbered,
    read_annotations,
    without_split,
)

LOG = logging.getLogger(__name__)
T = TypeVar("T")
N_LISTED, N_THREADS = 100, 32  # files that a thread asks for one after the other; threads
LEARNT = ("", "train", "valid")  # splits of a table that a training takes
Location = Path | tuple[Path, ...]  # a folder, a table, one file, or several class folders


def _with_one_group(pattern: str) -> str:
    try:
        n_groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error}), got {pattern!r}") from error
    if n_groups != 1:
        raise ValueError(f"must have one group in parentheses, such as `_(\\w+?)_`, got {pattern!r}")
    return pattern


Pattern = Annotated[str, AfterValidator(_with_one_group)]


class File(NamedTuple):
    """Holds what is listed of a file."""

    name: str
    n_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, name: str, path: Path) -> "File":
        return cls(name, *state_of(path))

    def require_unchanged(self, path: Path) -> None:
        """Raises `Unusable` where what lies at the path now is something else, or nothing."""
        with suppress(OSError):
            if File.of(self.name, path) == self:
                return
        raise Unusable("was changed after the folder was listed: call again")


def _files_of(some: list[tuple[str, Path]]) -> list[File]:
    return [File.of(name, path) for name, path in some]


class Listed:
    """Lists the files of a folder, of class folders or of a table, which may name stretches of recordings.

    `listed` are the files or stretches, by paths from `folder`; the first folder on the way to a file is its
    class. `paths` are those of the files, each once and sorted by the same names.

    Raises:
        MissingFault: the location is not there, or holds no such file.
        Fault: a table that cannot be used, two class folders of one name, file names that are no text.
    """

    items_are: ClassVar[str]  # what messages call the files
    suffixes: Container[str]
    has_stretches: ClassVar[bool]  # whether rows of a table may be parts of a file

    def __init__(
        self,
        location: Location,
        limit: int | None = None,
        group: str | None = None,
        several: Several = "none",
    ):
        first = location[0] if isinstance(location, tuple) else location
        if first.suffix.lower() in TABLES and not first.exists():
            there = [file.name for file in first.parent.glob("*") if file.suffix.lower() in TABLES]
            hint = did_you_mean(first.name, there) if there else "there is no other one, either"
            raise MissingFault(f"no table {first}: {hint}")
        self.folder = first.parent if isinstance(location, tuple) or first.is_file() else first
        self.is_folder, self.several = self.folder == location, several
        if first.is_file() and first.suffix.lower() in TABLES:
            listed = self._of_table(first)
            paths = {file: self.folder / file for file in listed.files.tolist()}
        else:
            paths = self._paths_below(location)
            listed = by_folders(Samples.of(self._names(paths).values(), file=list(paths)), self.group_of)
        self._all = self._grouped(listed, group) if group else listed
        learnt = np.flatnonzero(np.isin(self._all.splits, LEARNT))  # `limit` is of trainings alone
        learnt = learnt if len(learnt) else np.arange(len(listed))
        self.listed = self._all.subset(evenly(learnt, limit)) if limit else self._all
        self.paths = {file: paths[file] for file in sorted(set(self.listed.files.tolist()))}

    def find(self, folder: Path) -> list[str]:
        """Returns the files of a folder as relative POSIX paths; raises a `MissingFault` where none is."""
        raise NotImplementedError

    @staticmethod
    def name_of(file: str) -> str:
        """Returns the name of the sample that a whole file is."""
        return file

    @staticmethod
    def group_of(file: str) -> str:
        """Returns the group of a file where nothing says more: the recording that it is of."""
        return file.split(SEGMENT)[0]

    @cached_property
    def labelled(self) -> Samples:
        """Returns what is listed, for a folder with labels and groups of the nearest `labels.csv`.

        A label of what `limit` leaves out is no loss.
        """
        if not self.is_folder:
            return self.listed
        samples, remarks = labels_beside(self._all, self.folder, what=self.items_are, several=self.several)
        for remark in remarks:
            LOG.warning("%s", first_lines(remark))
        samples = samples.subset(np.isin(samples.files, self.listed.files))
        return without_split(samples)

    @cached_property
    def sources(self) -> list[File]:
        """Returns the files, each once, sorted by name; several are asked for at once, as a shared disk takes
        its time for each.
        """
        every = list(self.paths.items())
        pieces = [every[first : first + N_LISTED] for first in range(0, len(every), N_LISTED)]
        files = ahead(_files_of, pieces, 2 * N_THREADS, N_THREADS)
        unit = f" times {N_LISTED} {self.items_are}"
        return [file for piece in progress(files, "listing", len(pieces), unit) for file in piece]

    def _each(self, doing: str) -> Iterator[tuple[str, Path]]:
        return progress(self.paths.items(), doing, len(self.paths), f" {self.items_are}")

    def _paths_below(self, location: Location) -> dict[str, Path]:
        """Returns the paths of one file, of those in a folder, or in class folders, by their names."""
        if isinstance(location, tuple):
            twice = [name for name, n in Counter(folder.name for folder in location).items() if n > 1]
            if twice:
                names = ", ".join(twice)
                raise Fault(f"a class is called by the name of its folder, two are called {names}: rename")
            return {f"{one.name}/{name}": one / name for one in location for name in self.find(one)}
        if not location.is_file():
            return {name: location / name for name in self.find(location)}
        if location.suffix.lower() not in self.suffixes:
            raise Fault(
                f"{location} is no {self.items_are.removesuffix('s')} and no table of them: expected a "
                f"folder, a table, or one of them, got {location.suffix or 'no suffix'!r}"
            )
        return {location.name: location}

    def _names(self, files: Iterable[str]) -> dict[str, str]:
        """Returns the names of the samples that whole files are; raises a `Fault` where two share one."""
        names = {file: self.name_of(file) for file in files}
        counts = Counter(names.values())
        shared = [file for file, name in names.items() if counts[name] > 1]
        if shared:
            words = f"{len(shared)} {self.items_are} share a name, as suffixes do not count: remove or rename"
            raise Fault(f"{words}\n{listing(shared)}")
        return names

    def _grouped(self, samples: Samples, pattern: str) -> Samples:
        """Returns samples with what the pattern's group finds in their files' paths as group, where no table
        says another; those without are named.
        """
        matches = [re.search(pattern, file) for file in samples.files.tolist()]
        without = [name for name, match in zip(samples.names.tolist(), matches, strict=True) if not match]
        if without:
            words = "%d %s have no group by the pattern %r, each is one of its own:\n%s"
            LOG.warning(words, len(without), self.items_are, pattern, listing(without))
        rows = zip(samples.groups.tolist(), samples.files.tolist(), matches, strict=True)
        own = [(match and group == self.group_of(file) and match[1]) or group for group, file, match in rows]
        return samples.but(group=own)

    def _of_table(self, table: Path) -> Samples:
        """Returns the rows of a table; stretches are named by their starts, what is whole by its file.

        Of rows of one sound, which may have several labels, the first is taken, or each label is a sample, in
        the group and split of the first, or all are refused.
        """
        rows, one = read_annotations(table, ("file",), strict=True), self.items_are.removesuffix("s")
        if rows.empty:
            raise MissingFault(f"{table} names no {one}: a row for each is expected, with its `file`")
        rows["file"] = [_relative(table.parent, file) for file in rows["file"]]
        rows["file"] = self._there(table, rows["file"].tolist())
        starts = rows["start_s"].fillna(0.0).round(3) * self.has_stretches
        twice = []
        for (name, start), labels in rows["label"].groupby([rows["file"], starts]).agg(list).items():
            if len(labels) > 1:
                different = " and ".join(dict.fromkeys(labels))
                more = f", more labels than one: {different}" if len({*labels}) > 1 else ""
                twice.append(f"{name} at {start:g} s: {len(labels)} rows{more}")
        words = f"{table} names the same {'sound' if self.has_stretches else one} more than once"
        if twice and self.several == "none":
            remedy = "delete rows, or let a training take the first of them by `data.several: first`"
            raise Fault(f"{words}:\n{listing(twice)}\n{remedy}, or each label by `data.several: all`")
        if twice:
            same, sides = [rows["file"], starts], ["group", "split"]
            counts, label = ("each label", ["label"]) if self.several == "all" else ("the first row", [])
            LOG.warning("%s, %s counts:\n%s", words, counts, listing(twice))
            rows[sides] = rows[sides].groupby(same).transform("first")
            first = ~rows.assign(start_s=starts).duplicated(["file", "start_s", *label])
            rows, starts = rows[first], starts[first]
        whole = rows[["start_s", "end_s"]].isna().all(axis=1) | (not self.has_stretches)
        name_of = self._names(rows["file"])
        names = [
            name_of[file] if is_whole else piece_name(file, start)
            for file, start, is_whole in zip(rows["file"], starts, whole, strict=True)
        ]
        rows, unread = clock_columns(rows, str(table))
        for remark in unread:
            LOG.warning("%s", remark)
        pairs = zip(rows["group"], rows["file"], strict=True)
        groups = [group or self.group_of(file) for group, file in pairs]
        return Samples.of(numbered(names), **rows.assign(group=groups).to_dict("list"))

    def _there(self, table: Path, files: list[str]) -> list[str]:
        """Returns the files of a table as they lie in its folder, also those that it writes otherwise."""
        missing = sorted({file for file in files if not os.path.isfile(table.parent / file)})  # of any length
        there = names_below(table.parent, self.suffixes) if missing else []
        means, remarks = match_names(there, missing, str(table), what=self.items_are)
        for remark in remarks:
            LOG.warning("%s", remark)
        gone = [str(table.parent / file) for file in missing if file not in means]
        if gone:
            words = f"{table} names {number_of(len(gone), 'files that are not there')}"
            raise MissingFault(f"{words}: add what is missing, or mend the table\n{listing(gone)}")
        return [means.get(file, file) for file in files]


def evenly(items: Sequence[T] | np.ndarray, n: int) -> list[T]:
    """Returns at most n of the items, evenly spread, in their order."""
    n = min(n, len(items))
    return [items[index] for index in np.linspace(0, len(items) - 1, n).round().astype(int)]


def content_of(path: Path, n: int = -1) -> bytes:
    """Returns the first n bytes of a file, or all.

    Raises:
        Unusable: it is gone, locked or empty.
        MissingFault: so is its folder, or the disk: the file may be good.
    """
    try:
        content = bytes_of(path, n)
    except OSError as error:
        folder = file_of(path).parent
        if error.errno in DISK_IS_GONE or not folder.is_dir():
            words = f"{folder} cannot be reached any more ({error.strerror})"
            raise MissingFault(f"{words}: call again once it can, what was complete is kept") from error
        raise Unusable(f"cannot be opened ({error.strerror}): look whether it is there") from error
    if not content:
        raise Unusable("is empty (0 bytes): copy it again")
    return content


def by_folders(samples: Samples, group_of: Callable[[str], str]) -> Samples:
    """Returns samples with the first folder in their files' names as label, and groups by these names."""
    files = samples.files.tolist()
    labels = [file.partition("/")[0] if "/" in file else "" for file in files]
    return samples.but(label=labels, group=map(group_of, files))


def piece_name(recording: str, start_s: float) -> str:
    """Returns for `song.wav` at 1.5 s `song_segm_0001.500.wav`, as pictures of it are called."""
    path = PurePosixPath(recording)
    return str(path.with_name(f"{path.stem}{SEGMENT}{start_s:08.3f}{path.suffix}"))


def _relative(folder: Path, file: str) -> str:
    """Returns a path from the folder without detours, so it has one name; absolute ones of elsewhere stay."""
    path = Path(os.path.normpath(folder / file.replace("\\", "/")))
    stays = Path(file).anchor and not path.is_relative_to(folder)
    return (path if stays else Path(os.path.relpath(path, folder))).as_posix()
