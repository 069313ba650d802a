"""What a table says of files is joined to samples; what does not match is counted and named."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from posixpath import basename, splitext
from typing import TYPE_CHECKING

import numpy as np

from saec.faults import Fault, listing
from saec.samples.reader import read_annotations
from saec.samples.table import COLUMNS, SEGMENT, Samples, recording_of

if TYPE_CHECKING:
    import pandas as pd

LABELS = "labels.csv"
FILLED = ("label", "group", "split")
TOLERANCE_S = 0.001  # names tell milliseconds
N_COMPARED = 2_000  # names among which near ones are looked for
Index = dict[str, np.ndarray]  # row numbers of samples by name, by file or by recording
Matches = dict[str, tuple[int, str]]  # by a file of a table: which index it is in, and the key there


def join(
    samples: Samples, table: pd.DataFrame, source: str, *, named: bool = True, what: str = "samples"
) -> tuple[Samples, list[str]]:
    """Fills label, group, split and further columns of samples from a table that `read_annotations` has read.

    A row is of the sample that has its name, else of the samples of its file (of those that begin in its
    stretch, where it has start and end), else of the segments of its recording. What it leaves empty stays as
    it is. A sample without a group shares that of others of its recording. `source` and `what` are what
    messages call the table and the samples; a table that the user has `named` must match something.

    Returns:
        The samples (the very same object where nothing matches), and remarks on what matches though it is
        written otherwise, and on what does not match.

    Raises:
        Fault: two rows say different things of one sample, or a named table matches none.
    """
    indices = _indices(samples)
    matches, remarks = _match(indices, table["file"].tolist(), source, what)
    rows_of = _rows_by_sample(samples, indices, table, matches)
    if not rows_of:
        file, name = next(iter(table["file"]), None), next(iter(samples.table.index), None)
        names = "it has no row" if file is None else f"{file!r} there, {name!r} here"
        near = _near(table["file"].tolist(), samples.table.index.tolist())
        message = f"{source} labels none of the {len(samples):,} {what}: {names}{near}"
        if named:
            raise Fault(message)
        return samples, [message]
    _refuse_contradictions(table, matches, rows_of, source)
    columns = {
        column: _filled(samples, table[column].tolist(), column, rows_of)
        for column in table.columns
        if column in FILLED or column not in COLUMNS
    }
    columns["group"] = _whole_groups(samples, table["group"].tolist(), columns["group"], rows_of)
    rows = [file for file in table["file"] if file not in matches]
    without = [name for row, name in enumerate(samples.table.index) if row not in rows_of]
    if rows:
        remark = f"{len(rows):,} labels of {source} are of none of the {what}{_near(rows, without)}"
        remarks.append(f"{remark}:\n{listing(sorted(rows))}" if named else remark)
    if without:
        remarks.append(f"{len(without):,} of {len(samples):,} {what} are in no row of {source}")
    return samples.but(**columns), remarks


def nearest_labels(samples: Samples, folder: Path, *, what: str = "samples") -> tuple[Samples, list[str]]:
    """Joins the nearest `labels.csv` that names a sample: in the folder, beside it, or one folder further up.

    Raises:
        Fault: a table in the folder or beside it cannot be used; one further up is only remarked on, as it
            may well belong to something else.
    """
    remarks: list[str] = []
    for parent in (folder, folder.parent, folder.parent.parent):
        path = parent / LABELS
        if not path.is_file():
            continue
        try:
            joined, more = join(samples, read_annotations(path), str(path), named=False, what=what)
        except Fault as fault:
            if parent in (folder, folder.parent):
                raise
            remarks.append(f"not used: {fault}")
            continue
        remarks += more
        if joined is not samples:
            return joined, remarks
    return samples, remarks


def match_names(
    names: Sequence[str], files: Sequence[str], source: str, *, what: str = "samples"
) -> tuple[dict[str, str], list[str]]:
    """Returns which of the names each file of a table means, and remarks on what is written otherwise."""
    matches, remarks = _match(_indices(Samples.of(names))[:1], files, source, what)
    return {file: name for file, (_, name) in matches.items()}, remarks


def _plain(name: str) -> str:
    """Returns a path without what systems write differently: Unicode form, separators, case of the suffix."""
    path = unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))
    stem, suffix = splitext(path)
    return stem + suffix.lower()


def _stem(name: str) -> str:
    return splitext(_plain(name))[0]


Form = tuple[
    str, Callable[[str], str], bool
]  # what differs, what is compared, whether folders may be missing
FORMS: tuple[Form, ...] = (
    ("", str, False),
    ("case of the suffix, Unicode form or separators", _plain, False),
    ("suffix", _stem, False),
    ("folders", _plain, True),
    ("folders and suffix", _stem, True),
)


def _match(
    indices: Sequence[Index], files: Sequence[str], source: str, what: str
) -> tuple[Matches, list[str]]:
    """Finds the samples of each file of a table: exactly, else where only the way of writing differs.

    What is written otherwise must be one thing, and no other file may mean it, too.
    """
    matches: Matches = {}
    remarks: list[str] = []
    for words, compared, by_folder in FORMS:
        left = [file for file in dict.fromkeys(files) if file and file not in matches]
        more = _match_by(compared, by_folder, indices, left, set(matches.values())) if left else {}
        counts = Counter(more.values())
        more = {file: thing for file, thing in more.items() if not words or counts[thing] == 1}
        matches |= more
        if more and words:
            file, (_, key) = next(iter(more.items()))
            remarks.append(
                f"{source}: {len(more):,} files differ from the {what} in {words} and are matched all the "
                f"same, such as {file!r} with {key!r}"
            )
    return matches, remarks


def _indices(samples: Samples) -> list[Index]:
    """Returns row numbers of samples by name, by file, of segments by recording, of means by recording."""
    by_name, by_file, of_segments, of_means = (defaultdict(list) for _ in range(4))
    for row, (name, file) in enumerate(samples.table["file"].items()):
        by_name[name].append(row)
        if file != name:
            by_file[file].append(row)
        if SEGMENT in name:
            of_segments[recording_of(name)].append(row)
        elif recording_of(name) == name:
            of_means[name].append(row)
    return [
        {key: np.array(rows) for key, rows in index.items()}
        for index in (by_name, by_file, of_segments, of_means)
    ]


def _match_by(
    compared: Callable[[str], str],
    by_folder: bool,
    indices: Sequence[Index],
    files: list[str],
    taken: set[tuple[int, str]],
) -> Matches:
    """Returns index and key of the one thing that each file means if paths are compared so."""
    matches: Matches = {}
    for level, index in enumerate(indices):
        buckets: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for key in index:
            if (level, key) not in taken:
                path = compared(key)
                buckets[basename(path) if by_folder else path].append((path, key))
        for file in files:
            if file in matches or (level == 2 and SEGMENT in file):  # a segment says nothing of the others
                continue
            path = compared(recording_of(file) if level > 1 else file)
            bucket = buckets.get(basename(path) if by_folder else path, ())
            keys = [key for other, key in bucket if _ends_alike(path, other)]
            if len(keys) == 1:
                matches[file] = level, keys[0]
    return matches


def _ends_alike(one: str, other: str) -> bool:
    """Whether the folders of two paths agree as far as both name them."""
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")


def _rows_by_sample(
    samples: Samples, indices: Sequence[Index], table: pd.DataFrame, matches: Matches
) -> dict[int, list[int]]:
    """Returns the numbers of the table's rows that are of each sample: those that match it best."""
    begins = _begins(samples)
    firsts = table["start_s"].fillna(0.0).to_numpy() - TOLERANCE_S
    ends = table["end_s"].fillna(math.inf).to_numpy()
    best: dict[int, tuple[int, list[int]]] = {}
    for number, file in enumerate(table["file"]):
        if file not in matches:
            continue
        level, key = matches[file]
        rows = indices[level][key]
        if level:
            within = (firsts[number] <= begins[rows]) & (begins[rows] < ends[number])
            rows = rows[within | np.isnan(begins[rows])]
        for row in rows.tolist():
            if row not in best or level < best[row][0]:
                best[row] = level, [number]
            elif level == best[row][0]:
                best[row][1].append(number)
    return {row: best[row][1] for row in sorted(best)}


def _begins(samples: Samples) -> np.ndarray:
    """Returns where each sample begins in its file in seconds, (n,); NaN for a whole file."""
    begins = np.where(samples.table.index == samples.table["file"], np.nan, samples.times[:, 0])
    for row, name in enumerate(samples.table.index):
        _, mark, rest = name.partition(SEGMENT)
        if mark and math.isnan(begins[row]):
            with suppress(ValueError):
                begins[row] = float(splitext(rest)[0])
    return begins


def _refuse_contradictions(
    table: pd.DataFrame, matches: Matches, rows_of: dict[int, list[int]], source: str
) -> None:
    """Raises a `Fault` where rows say different things of one sample.

    Stretches may, and segments of which a sample is the mean: they overlap, or differ.
    """
    files, texts = table["file"].tolist(), list(zip(*(table[key].tolist() for key in FILLED), strict=True))
    parts = [SEGMENT in file and matches.get(file, (0, ""))[0] > 0 for file in files]
    whole = (table[["start_s", "end_s"]].isna().all(axis=1) & ~np.array(parts, dtype=bool)).tolist()
    pairs = {
        (first, other)
        for rows in rows_of.values()
        for first in [row for row in rows if whole[row]][:1]
        for other in rows
        if whole[other] and texts[first] != texts[other]
    }
    if pairs:
        lines = [
            f"{table.index[other]}: {files[other]}: {_words(*texts[first])} and {_words(*texts[other])}"
            for first, other in sorted(pairs, key=lambda pair: pair[1])
        ]
        raise Fault(f"{source} says two things of one sample:\n{listing(lines)}")


def _words(label: str, group: str, split: str) -> str:
    return repr(label) + (f" of {group!r}" if group else "") + (f" in {split}" if split else "")


def _filled(samples: Samples, values: list[str], column: str, rows_of: dict[int, list[int]]) -> list[str]:
    """Returns a column of the samples with what all rows of a sample say alike."""
    filled = samples.table[column].tolist() if column in samples.table else [""] * len(samples)
    for row, (first, *others) in rows_of.items():
        if values[first] and all(values[other] == values[first] for other in others):
            filled[row] = values[first]
    return filled


def _whole_groups(
    samples: Samples, given: list[str], groups: list[str], rows_of: dict[int, list[int]]
) -> list[str]:
    """Gives samples that the table gives no group the group of others of their recording."""
    recordings = [file.split(SEGMENT)[0] for file in samples.table["file"]]
    pairs = sorted((number, row) for row, numbers in rows_of.items() for number in numbers if given[number])
    own = {row for _, row in pairs}
    of = {recordings[row]: given[number] for number, row in pairs}  # of several the last in the table
    return [group if row in own else of.get(recordings[row], group) for row, group in enumerate(groups)]


def _near(files: list[str], names: list[str]) -> str:
    """Returns words on a file and a name that are nearly the same; "" where there are none."""
    for file in files[:3]:
        for name in get_close_matches(file, names[:N_COMPARED], n=1, cutoff=0.8):
            return f" ({file!r} is nearly {name!r})"
    return ""
