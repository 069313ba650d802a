"""Joins the rows of a table to samples, and counts and names what does not match."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from os import R_OK, access, listdir
from pathlib import Path
from posixpath import basename, splitext
from typing import TYPE_CHECKING, Literal

import numpy as np

from saec.faults import Fault, counted, listing
from saec.samples.clock import clock_columns
from saec.samples.reader import read_annotations
from saec.samples.table import COLUMNS, SEGMENT, Samples, numbered, recording_of

if TYPE_CHECKING:
    import pandas as pd

LABELS, PREPARED = "labels.csv", "prepared.csv"  # the second is written beside pictures that are prepared
_SUFFIXES = "png jpg jpeg tif tiff bmp npy npz wav wave flac ogg oga opus mp3 m4a aac aif aiff au snd"
SUFFIXES = {f".{suffix}" for suffix in _SUFFIXES.split()}
FILLED = ("label", "group", "split")
TOLERANCE_S = 0.001  # names tell milliseconds
N_COMPARED = 2_000  # names among which near ones are looked for
NAME, FILE, SEGMENTS, MEAN = range(4)  # what a file of a table may be to a sample; the first that fits counts
Several = Literal["none", "first", "all"]  # what a sample with several labels gets; all: each is a sample
REMEDIES = {"none": "\n`several: first` takes the first", "all": "\ngive all rows of it one group and split"}
GETS = {"first": "get the first", "all": "are a sample for each"}
Key = tuple[int, str]  # one of these four, and the name, file or recording
Lines = dict[int, list[int]]  # by the row of a sample the numbers of the rows of a table that are of it


def join(
    samples: Samples,
    table: pd.DataFrame,
    source: str,
    *,
    named: bool = True,
    what: str = "samples",
    several: Several | None = None,
    elsewhere: Collection[str] = (),
    clock: bool = True,
) -> tuple[Samples, list[str]]:
    """Fills label, group, split and further columns of samples from a table that `read_annotations` has read.

    A row is of the sample that has its name, else of the samples of its file (of those that begin in its
    stretch, where it has start and end), else of the segments of its recording. What it leaves empty stays as
    it is. A sample without a group shares that of others of its recording. `source` and `what` are what
    messages call the table and the samples; a table that the user has `named` must match something. `several`
    says what a sample with several labels gets, where the session has that option: with `all` it becomes as
    many samples, named by `numbered`, of one group and split. Files that lie `elsewhere` need not match.
    `clock` is False for a table that `clock_columns` has read already.

    Returns:
        The samples (the very same object where nothing matches), and remarks on what matches though it is
        written otherwise, and on what does not match.

    Raises:
        Fault: two rows say different things of one sample, or a named table matches none.
    """
    files, names = table["file"].tolist(), samples.table.index.tolist()
    rows_of_key = _rows_of_keys(samples)
    matches, remarks = _match(rows_of_key, files, source, what)
    table, unread = clock_columns(table, source) if clock else (table, [])
    lines_of = _lines_of_samples(samples, rows_of_key, table, matches)
    if not lines_of:
        example = f"{files[0]!r} there, {next(iter(names), None)!r} here" if files else "it has no row"
        message = f"{source} labels none of the {len(samples):,} {what}: {example}{_near(files, names)}"
        if named:
            raise Fault("\n".join([message, *remarks]))
        return samples, [*remarks, message]
    if several != "first":
        _refuse_contradictions(table, matches, lines_of, source, several)
    remarks += unread
    unmatched = sorted(file for file in files if file not in matches and file not in elsewhere)
    without = [name for row, name in enumerate(names) if row not in lines_of]
    if unmatched:
        remark = f"{len(unmatched):,} labels of {source} are of none of the {what}{_near(unmatched, without)}"
        remarks.append(f"{remark}:\n{listing(unmatched, len(unmatched))}")
    remarks += counted(without, f"of {len(samples):,} {what} are in no row of {source}", 5)
    labels = table["label"].tolist()
    none, many = _remarks_on_labels(samples, labels, lines_of, f"of {len(samples):,} {what}", source, several)
    if several == "all":
        samples, lines_of = _one_a_label(samples, labels, lines_of)
    joined = samples.but(**_filled(samples, table, lines_of, several))
    return joined, [*remarks, *(none if joined.classes else []), *many]


def _remarks_on_labels(
    samples: Samples, labels: list[str], lines_of: Lines, of: str, source: str, several: Several | None
) -> tuple[list[str], list[str]]:
    """Returns remarks on samples whose rows have no label, nor have they, and on those of several labels."""
    names, own = samples.table.index, samples.table["label"].tolist()
    given = {row: {labels[number] for number in numbers} - {""} for row, numbers in lines_of.items()}
    none = [names[row] for row, texts in given.items() if not own[row] and not texts]
    many = [names[row] for row, texts in given.items() if len(texts) > 1]
    gets = f"have more labels than one in {source} and {GETS.get(several or '', 'get none')}"
    remedy = REMEDIES["none"] if several == "none" else ""
    more = [remark + remedy for remark in counted(many, f"{of} {gets}", 5)]
    return counted(none, f"{of} have no label in their row of {source}", 5), more


def _one_a_label(samples: Samples, labels: list[str], lines_of: Lines) -> tuple[Samples, Lines]:
    """Returns a sample for each label that rows give one, and by its row the numbers of these rows."""
    copies: list[tuple[str, int, list[int]]] = []
    for row, name in enumerate(samples.table.index):
        numbers = lines_of.get(row, [])
        given = list(dict.fromkeys(filter(None, (labels[number] for number in numbers))))
        split = [[n for n in numbers if labels[n] == one] for one in given] or [numbers]
        copies += [(name, row, part) for part in split]
    called, rows, parts = zip(*copies, strict=True)
    names = numbered(called)
    repeated = Samples.of(names, **samples.table.iloc[list(rows)].to_dict("list"))
    part_of = dict(zip(names, parts, strict=True))
    return repeated, {row: of for row, name in enumerate(repeated.table.index) if (of := part_of[name])}


def nearest_labels(
    samples: Samples, folder: Path, *, what: str = "samples", several: Several | None = None
) -> tuple[Samples, list[str]]:
    """Joins the nearest `labels.csv` that names a sample: in the folder, beside it, or one folder further up.

    Without one, pictures have the labels that their recordings or annotations had when they were prepared.

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
            table, elsewhere = read_annotations(path), _in_like_folders(folder, parent)
            joined, more = join(
                samples, table, str(path), named=False, what=what, several=several, elsewhere=elsewhere
            )
        except Fault as fault:
            if parent in (folder, folder.parent):
                raise
            joined, more = samples, [f"not used: {fault}"]
        remarks += more
        if joined is not samples:
            return joined, remarks
    if (folder / PREPARED).is_file():
        table = read_annotations(folder / PREPARED, ("file",)).drop(columns="recording", errors="ignore")
        if table["label"].any():
            samples, more = join(samples, table, str(folder / PREPARED), named=False, what=what)
            remarks += more
    return samples, remarks


def _in_like_folders(folder: Path, parent: Path) -> set[str]:
    """Returns the files in folders that a table in the parent may serve, too, such as `valid/images`."""
    rest = folder.relative_to(parent).parts[1:]
    others = parent.glob("/".join(["*", *rest])) if folder != parent else ()
    readable = [other for other in others if other != folder and other.is_dir() and access(other, R_OK)]
    return {file for other in readable for file in listdir(other)}


def match_names(
    names: Sequence[str], files: Sequence[str], source: str, *, what: str = "samples"
) -> tuple[dict[str, str], list[str]]:
    """Returns which of the names each file of a table means, and remarks on what is written otherwise."""
    matches, remarks = _match({(NAME, name): [] for name in names}, files, source, what)
    return {file: name for file, (_, name) in matches.items()}, remarks


def _rows_of_keys(samples: Samples) -> Mapping[Key, list[int]]:
    """Returns the row numbers of samples by all that a file of a table may be to them."""
    rows: Mapping[Key, list[int]] = defaultdict(list)
    for row, (name, file) in enumerate(samples.table["file"].items()):
        recording = recording_of(name)
        rows[NAME, name].append(row)
        if file != name:
            rows[FILE, file].append(row)
        if SEGMENT in name:
            rows[SEGMENTS, recording].append(row)
        elif splitext(name)[1].lower() not in SUFFIXES:
            rows[MEAN, name].append(row)
    return dict(rows)


def _keys(file: str) -> list[Key]:
    """Returns what a file of a table may be; a segment says nothing of the others of its recording."""
    recording = recording_of(file)
    segments = [] if SEGMENT in file else [(SEGMENTS, file), (SEGMENTS, recording)]
    return [(NAME, file), (FILE, file), *segments, (MEAN, recording)]


def _plain(name: str) -> str:
    """Returns a path without what systems write differently: Unicode form, separators, case of the suffix."""
    path = unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))
    stem, suffix = splitext(path)
    return stem + suffix.lower()


def _stem(name: str) -> str:
    """Returns a path without the suffix of a picture or sound; names of recordings may have dots, too."""
    path = _plain(name)
    stem, suffix = splitext(path)
    return stem if suffix in SUFFIXES else path


def _match(
    keys: Mapping[Key, list[int]], files: Sequence[str], source: str, what: str
) -> tuple[dict[str, Key], list[str]]:
    """Finds the key of each file of a table: exactly, else where only the way of writing differs.

    What is written otherwise must be one key, and no other file may mean it, too.
    """
    files = [file for file in dict.fromkeys(files) if file]
    matches = {file: key for file in files for key in reversed(_keys(file)) if key in keys}
    n_exact, several, remarks = len(matches), {}, []
    for written in (_plain, _stem):
        taken, buckets = set(matches.values()), defaultdict(list)
        for kind, name in keys if len(matches) < len(files) else ():
            if (kind, name) not in taken:
                buckets[kind, basename(written(name))].append((written(name), (kind, name)))
        more: dict[str, Key] = {}
        for file in files:
            for kind, name in _keys(file) if file not in matches else ():
                path = written(name)
                bucket = buckets.get((kind, basename(path)), ())
                alike = [key for other, key in bucket if other == path]
                alike = alike or [key for other, key in bucket if _ends_alike(path, other)]
                if len(alike) == 1 and file not in more:
                    more[file] = alike[0]
                elif alike:
                    several[file] = " or ".join(name for _, name in alike[:3])
        counts = Counter(more.values())
        matches |= {file: key for file, key in more.items() if counts[key] == 1}
    unclear = [f"{file} may be {names}" for file, names in several.items() if file not in matches]
    if unclear:
        words = f"files may be of several {what}, give their paths"
        remarks.append(f"{source}: {len(unclear):,} {words}:\n{listing(unclear)}")
    if len(matches) == n_exact:
        return matches, remarks
    file, (_, name) = list(matches.items())[n_exact]
    words = "files are written otherwise (suffix, folders, separators, Unicode form) and are matched"
    remarks.append(f"{source}: {len(matches) - n_exact:,} {words}, such as {file!r} with {name!r}")
    return matches, remarks


def _ends_alike(one: str, other: str) -> bool:
    """Returns whether the folders of two paths agree as far as both name them."""
    return one.endswith(f"/{other}") or other.endswith(f"/{one}")


def _lines_of_samples(
    samples: Samples, rows_of_key: Mapping[Key, list[int]], table: pd.DataFrame, matches: dict[str, Key]
) -> Lines:
    """Returns, by the row of a sample, the numbers of those rows of the table that match it best."""
    begins = samples.begins.tolist()
    firsts = (table["start_s"].fillna(0.0) - TOLERANCE_S).tolist()
    ends = table["end_s"].fillna(np.inf).tolist()
    sorted_rows: dict[Key, tuple[list[tuple[float, int]], list[int]]] = {}  # by begin, and those without one
    best: dict[int, tuple[int, list[int]]] = {}
    for number, file in enumerate(table["file"].tolist()):
        if file not in matches:
            continue
        key = kind, _ = matches[file]
        if key not in sorted_rows:
            rows = rows_of_key[key]
            with_times = [row for row in rows if kind != NAME and begins[row] == begins[row]]
            whole = sorted(set(rows) - set(with_times))
            sorted_rows[key] = sorted((begins[row], row) for row in with_times), whole
        timed, whole = sorted_rows[key]
        within = timed[bisect_left(timed, (firsts[number],)) : bisect_left(timed, (ends[number],))]
        for row in [*(row for _, row in within), *whole]:
            if row not in best or kind < best[row][0]:
                best[row] = kind, []
            if kind == best[row][0]:
                best[row][1].append(number)
    return {row: best[row][1] for row in sorted(best)}


def _filled(
    samples: Samples, table: pd.DataFrame, lines_of: Lines, several: Several | None
) -> dict[str, list]:
    """Returns the columns that a table fills: with what its rows of a sample say alike, or the first says."""
    columns = {}
    for column in [one for one in table.columns if one in FILLED or one not in COLUMNS]:
        values, own = table[column].tolist(), samples.table.get(column, [""] * len(samples))
        columns[column] = filled = list(own)
        for row, numbers in lines_of.items():
            given = [values[number] for number in numbers]
            if several == "first":
                filled[row] = next(filter(None, given), filled[row])
            elif given[0] and given.count(given[0]) == len(given):
                filled[row] = given[0]
    columns["group"] = _whole_groups(samples, table["group"].tolist(), columns["group"], lines_of)
    return columns


def _refuse_contradictions(
    table: pd.DataFrame, matches: dict[str, Key], lines_of: Lines, source: str, several: Several | None
) -> None:
    """Raises a `Fault` where rows say different things of one sample; with `all`, labels may differ.

    Stretches may, and segments of which a sample is the mean: they overlap, or differ.
    """
    files, texts = table["file"].tolist(), table[list(FILLED)].to_numpy().tolist()
    held = slice(several == "all", None)
    parts = [SEGMENT in file and file in matches and matches[file][0] != NAME for file in files]
    whole = (table["start_s"].isna() & table["end_s"].isna() & ~np.array(parts, dtype=bool)).tolist()
    first_of: dict[int, int] = {}
    for numbers in lines_of.values():
        of_all = [number for number in numbers if whole[number]]
        first_of |= {other: of_all[0] for other in of_all[1:] if texts[other][held] != texts[of_all[0]][held]}
    if first_of:
        lines = [
            f"{table.index[other]}: {files[other]}: {_words(*texts[first])} and {_words(*texts[other])}"
            for other, first in sorted(first_of.items())
        ]
        raise Fault(
            f"{source} says two things of one sample:\n{listing(lines)}{REMEDIES.get(several or '', '')}"
        )


def _words(label: str, group: str, split: str) -> str:
    return repr(label) + (f" of {group!r}" if group else "") + (f" in {split}" if split else "")


def _whole_groups(samples: Samples, given: list[str], groups: list[str], lines_of: Lines) -> list[str]:
    """Gives samples that the table gives no group the group of others of their recording."""
    recordings = [file.split(SEGMENT)[0] for file in samples.table["file"]]
    pairs = sorted((number, row) for row, numbers in lines_of.items() for number in numbers if given[number])
    own = {row for _, row in pairs}
    of = {recordings[row]: given[number] for number, row in pairs}  # of several the last in the table
    return [group if row in own else of.get(recordings[row], group) for row, group in enumerate(groups)]


def _near(files: list[str], names: list[str]) -> str:
    """Returns words on a file and a name that are nearly the same; "" where there are none."""
    for file in files[:3]:
        for name in get_close_matches(file, names[:N_COMPARED], n=1, cutoff=0.8):
            return f" ({file!r} is nearly {name!r})"
    return ""
