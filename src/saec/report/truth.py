"""What is true when in recordings: a table of segments, CSV or tab-separated."""

import csv
import math
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from saec.documents import parsed, read_rows
from saec.evaluation.tracks import grid, true_track
from saec.faults import Fault, listing
from saec.session import Predictions

TRUTH_COLUMNS = ("start", "end", "label")
RECORDING = ("file", "recording")  # what the column may be called; annotations of recordings have the second
MOST_POINTS = 5_000_000  # of the grid, of all files together


class Stretches(NamedTuple):
    """The segments of one file: seconds, and labels ("" where nothing is said)."""

    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray


def read_truth(file: Path) -> dict[str, Stretches]:
    """By file; the one of a table that names none is called "".

    Columns are start, end, label and perhaps file; a table separated by tabs may do without a header.

    Raises:
        MissingFault: there is no such file.
        Fault: columns are missing, there is no row, or some rows are not right: all of them are listed.
    """
    found: dict[str, list[tuple[float, float, str]]] = {}
    segments, wrong = parsed(_rows(file), lambda row: (_file_of(row), _segment(row)))
    for name, segment in segments:
        found.setdefault(name, []).append(segment)
    if wrong:
        raise Fault(f"{file}: {len(wrong)} rows are not right, correct or delete them:\n{listing(wrong)}")
    if not found:
        raise Fault(f"{file} has no row: expected one a segment, `[file,]start,end,label`")
    return {name: _stretches(rows) for name, rows in found.items()}


def truth_of(
    truth: dict[str, Stretches], frame: pd.DataFrame, asked: Predictions, remarks: list[str]
) -> dict[str, Stretches]:
    """By the files of the predictions; a truth that names no file is that of the only one.

    Raises:
        Fault: it is of none of them, or no point of the grid can be judged by it.
    """
    files = np.array(frame["file"], dtype=str)
    names = np.unique(files)
    if "" in truth:
        if len(names) > 1:
            raise Fault(
                f"{asked.truth} has no column `file`, and there are predictions of {len(names):,} files: "
                "say which one each row is of"
            )
        truth = {str(names[0]): truth[""]}
    found, others = matched(truth, files)
    if not found:
        raise Fault(f"{asked.truth} is of none of the {len(names):,} files{such_as(truth, files)}")
    if frame["start"].isna().any():
        raise Fault(f"a truth in time needs start and end of every row of {asked.file}: it has rows without")
    if others:
        remarks.append(f"{asked.truth} is also of files without predictions:\n{listing(others)}")
    _require_points(found, asked)
    return found


def points_of(truth: Stretches, grid_s: float) -> np.ndarray:
    """The points of the grid up to where the truth ends."""
    return grid(float(truth.ends.max()), grid_s)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    text = _tabbed(file)
    if text is None:
        return read_rows(file, TRUTH_COLUMNS, "[,file]")
    head = TRUTH_COLUMNS if _is_number(text.split("\t")[0]) else None
    reader = csv.DictReader(StringIO(text), head, delimiter="\t")
    missing = [column for column in TRUTH_COLUMNS if column not in reader.fieldnames]
    if missing:
        raise Fault(f"{file} needs the columns start, end, label[, file], it lacks {', '.join(missing)}")
    return ((f"line {reader.line_num}", row) for row in reader)


def _tabbed(file: Path) -> str | None:
    """The text of a table with tabs in its first line; what is no text is left to who reads CSV."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return text if "\t" in text.partition("\n")[0] else None


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _file_of(row: dict[str, str | None]) -> str:
    column = next((one for one in RECORDING if one in row), None)
    if column is None:
        return ""
    if not plain_path(row[column] or ""):
        raise ValueError("names no file")
    return plain_path(row[column])


def _segment(row: dict[str, str | None]) -> tuple[float, float, str]:
    words = [(row[key] or "").strip() for key in TRUTH_COLUMNS]
    start, end = (float(word) if _is_number(word) else math.nan for word in words[:2])
    if not 0 <= start <= end:
        raise ValueError(f"needs seconds with 0 <= start <= end, got {words[0]!r} and {words[1]!r}")
    return start, end, words[2]


def _stretches(rows: list[tuple[float, float, str]]) -> Stretches:
    starts, ends, labels = zip(*rows, strict=True)
    return Stretches(np.array(starts), np.array(ends), np.array(labels, dtype=str))


def _require_points(truth: dict[str, Stretches], asked: Predictions) -> None:
    n_points = sum(float(one.ends.max()) / asked.grid_s for one in truth.values())
    if n_points > MOST_POINTS:
        raise Fault(
            f"a grid of {asked.grid_s:g} s has {n_points:,.0f} points in the {len(truth):,} files of "
            f"{asked.truth}, {MOST_POINTS:,} are allowed: choose a larger grid_s"
        )
    tracks = (true_track(points_of(one, asked.grid_s), *one)[0] for one in truth.values())
    if not any((track != "").any() for track in tracks):
        raise Fault(
            f"no point of a grid of {asked.grid_s:g} s lies in a segment of {asked.truth} with one label: "
            "choose a smaller grid_s, or look at the labels"
        )


T = TypeVar("T")


def matched(said: dict[str, T], files: np.ndarray) -> tuple[dict[str, T], list[str]]:
    """What is said of files, which are called by path or by name alone; and what is said of no file."""
    plain = {plain_path(name): value for name, value in said.items()}
    names = np.unique(files).tolist()
    short = [PurePosixPath(name).name for name in names]
    alike = Counter(short)
    found, used = {}, set()
    for name, last in zip(names, short, strict=True):
        called = last if name not in plain and alike[last] == 1 else name
        if called in plain:
            found[name] = plain[called]
            used.add(called)
    return found, sorted(plain.keys() - used)


def such_as(said: dict[str, T], files: np.ndarray) -> str:
    """The end of a fault: one name of each side."""
    there = f"{next(iter(said))!r} there, " if said else ""
    return f" of the predictions: {there}{str(files[0])!r} among the predictions; write them alike"


def plain_path(name: str) -> str:
    """A relative path as predictions have it, whatever system it was written on."""
    return name.strip().replace("\\", "/").removeprefix("./")
