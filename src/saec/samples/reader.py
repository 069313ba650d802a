"""Reads every table of files that people bring, into columns of the same names."""

from __future__ import annotations

import csv
import json
import math
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from saec.faults import Fault, MissingFault, listing
from saec.samples.table import COLUMNS

if TYPE_CHECKING:  # pandas takes a third of a second to import, which a training need not wait for
    import pandas as pd

NAMES = {  # what tables call them, in small letters; the first that a table has is taken
    "file": ("file", "recording", "begin file", "begin path", "filename", "file name"),
    "label": ("label",),
    "group": ("group",),
    "split": ("split",),
    "start": ("start", "start_s", "begin time (s)", "start (s)"),
    "end": ("end", "end_s", "end time (s)", "end (s)"),
}
TABLES = (".csv", ".tsv", ".txt", ".json", ".parquet")
RAVEN = "begin time (s)"  # the selection tables of Raven have this column
OFFSET = "file offset (s)"  # where in its file a selection begins; Raven counts times through all files
OWN = re.compile(
    r"((\.birdnet)?(\.table\.\d+)?(\.selections?)?(\.table)?"
    r"|(\.(wave?|flac|og[ga]|opus|mp3|m4a|aac|aiff?|au|snd))?\.(audacity|raven))$",  # as the page saves them
    re.IGNORECASE,
)  # song.Table.1.selections
RAVEN_LABELS = ("label", "annotation", "species", "common name", "species code", "call type")
AUDACITY = ["start", "end", "label"]  # the columns of a label track, which has no head
FREQUENCIES = ["Low Freq (Hz)", "High Freq (Hz)"]  # as Raven calls them
EMPTY = ' \t,;"'  # what rows without a word are made of
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how files of Excel begin
SPLITS = {"training": "train", "validation": "valid", "val": "valid", "dev": "valid"}
SPLITS |= {"train_data": "train", "test_data": "test"}
MANIFEST = {"file": "file_name", "label": "class", "split": "data_type"}  # columns of a `dataset.json`
MORE = ()  # the key of cells that stand below no head
Row = tuple[str, dict[Any, Any]]  # where it stands ("line 7"), and its cells by the heads of their columns
QUOTED = re.compile(  # what keeps spreadsheets from running a text; within a cell it is of the text
    r"""(?<![^,;\t\n])(?:(")(?:'(?=[=+@-]))?([^"]*(?:""[^"]*)*")|'(?=[=+@-]))"""
)


def read_annotations(
    path: Path,
    required: Sequence[str] = ("file", "label"),
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    faults: list[str] | None = None,
) -> pd.DataFrame:
    """Reads a table of files, or of stretches of them: CSV, TSV, `;`, JSON, Parquet, Raven or Audacity.

    The result has the columns file, start_s, end_s, label, group and split ("" and NaN where nothing is
    written), then all others as they are written. Its index says where each row stands ("line 7"). Where the
    table has no column of files, `file` is "" throughout; where it is required, a table of Raven or
    Audacity is of the recording that it is called like.

    Args:
        required: columns (of NAMES) that must be there; no row may lack its file, start or end then.
        columns: what the table calls its columns.
        strict: whether a row must end after it starts, and `split` be train, valid, test or nothing.
        faults: a list that takes what is wrong with rows, which are then left out; without one it is raised.

    Raises:
        MissingFault: there is no such file.
        Fault: it is no such table, lacks a column, or some rows are not right: all of them are listed.
    """
    if not path.is_file():
        raise MissingFault(f"no such file: {path}")
    return of_cells(path, _read(path), required, columns=columns, strict=strict, faults=faults)


def of_cells(
    path: Path,
    cells_of: tuple[list[str], list[Row], str],
    required: Sequence[str] = ("file", "label"),
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    faults: list[str] | None = None,
) -> pd.DataFrame:
    """Returns as `read_annotations` the rows that have these heads, cells and decimal sign."""
    heads, rows, decimal = cells_of
    named = _required_columns(path, heads, required, columns or {})
    others = [head for head in heads if head and head not in {*named.values(), *NAMES, *COLUMNS}]
    offset = next((head for head in heads if head.casefold() == OFFSET), None)
    right, lines, wrong = [], [], [] if faults is None else faults
    for line, cells in _without_repeated_views(rows, named):
        row = {key: _text(cells.get(named.get(key))) for key in NAMES}
        problems = _complete(row, required, decimal, strict, _text(cells.get(offset)))
        if "file" not in named and "file" in required:
            row["file"] = _called_like(path)
        elif "file" in named and not row["file"]:
            problems.append("names no file")
        if cells.get(MORE):
            more = ", ".join(map(repr, cells[MORE]))
            problems.append(f"has more cells than the table has columns: {more}")
        wrong += [f"{line}: {problem}" for problem in problems]
        if not problems:
            right.append({key: row[key] for key in COLUMNS} | {key: _text(cells.get(key)) for key in others})
            lines.append(line)
    if wrong and faults is None:
        raise_rows(path, wrong)
    return annotation_table(right, lines)


def _required_columns(
    path: Path, heads: Sequence[str], required: Sequence[str], columns: Mapping[str, str]
) -> dict[str, str]:
    """Returns the heads of the fixed columns; raises a `Fault` where one that is required is not there."""
    if {"file_name", "data_type"} <= {*heads}:
        own = {key: head for key, head in MANIFEST.items() if head in heads and key not in heads}
        columns = own | {**columns}
    named = _find_columns(heads, columns)
    optional = [key for key in NAMES if key not in required]
    is_track = heads == [*AUDACITY, *FREQUENCIES] or RAVEN in map(str.casefold, heads)
    missing = [key for key in required if key not in named and not (key == "file" and is_track)]
    twice = [head for head in named.values() if heads.count(head) > 1]
    if twice:
        raise Fault(f"{path} has several columns called {', '.join(twice)}: rename those that are not meant")
    if missing:
        words = ([columns.get(key, key) for key in keys] for keys in (required, optional, missing))
        needed, others, lacked = map(",".join, words)
        there = ", ".join(repr(head) for head in heads[:12]) or "none"
        raise Fault(
            f"{path} needs the columns {needed}[,{others}], it lacks {lacked.replace(',', ', ')}; it has "
            f"{there}: rename them, or, in an evaluation, say by `labels.columns` what they are called"
        )
    return named


def with_recording(table: pd.DataFrame, path: Path, recordings: list[str], what: str) -> pd.DataFrame:
    """Returns a table that names no file as that of the recording that it is called like, or of the only one.

    Raises:
        Fault: it may be of several.
    """
    if table["file"].any():
        return table
    own = [name for name in recordings if PurePosixPath(name).stem == _called_like(path)] or recordings
    if len(own) > 1:
        raise Fault(
            f"{path} has no column `file`, and there are {len(own):,} {what}: say which one each row is of, "
            "or call the table like its recording"
        )
    return table.assign(file=own[0])


def _called_like(path: Path) -> str:
    """Returns the recording that a table is called like, such as `song` of `song.Table.1.selections.txt`."""
    return OWN.sub("", path.stem)


def _complete(
    row: dict[str, Any], required: Sequence[str], decimal: str, strict: bool, offset: str
) -> list[str]:
    """Adds start_s and end_s to the texts of a row and returns what is wrong with it."""
    problems = []
    row["split"] = SPLITS.get(row["split"].lower(), row["split"].lower())
    if strict and row["split"] not in ("train", "valid", "test", ""):
        problems.append(f"split must be train, valid, test or nothing, got {row['split']!r}")
    for key in ("start", "end"):
        row[f"{key}_s"] = _seconds(row[key], decimal) if row[key] or key in required else math.nan
        if row[f"{key}_s"] is None:
            problems.append(f"{key} must be seconds from 0, got {row[key]!r}")
    if not problems:
        start, end = 0.0 if math.isnan(row["start_s"]) else row["start_s"], row["end_s"]
        if end < start or (end == start and strict):
            problems.append(f"must end after it starts, got start {start:g} and end {end:g} s")
    if offset and not problems:
        first = _seconds(offset, decimal)
        if first is None:
            return [f"{OFFSET} must be seconds from 0, got {offset!r}"]
        row["start_s"], row["end_s"] = first, round(first + row["end_s"] - row["start_s"], 6)
    return problems


def annotation_table(rows: Iterable[Mapping[str, Any]], lines: Sequence[str] | None = None) -> pd.DataFrame:
    """Makes rows (file, label, ...) a table as `read_annotations` returns it."""
    import pandas as pd

    table = pd.DataFrame(list(rows), index=lines, dtype=object)
    table = table.reindex(columns=list(dict.fromkeys([*COLUMNS, *table.columns])))
    seconds = table[["start_s", "end_s"]].astype(float)
    return table.where(table.notna(), "").assign(**seconds).rename_axis("line")


def raise_rows(path: Path, faults: list[str]) -> NoReturn:
    """Raises a `Fault` with what is wrong with rows of a table."""
    raise Fault(f"{path}: {len(faults)} rows are not right, correct or delete them:\n{listing(faults)}")


def _read(path: Path) -> tuple[list[str], list[Row], str]:
    """Returns the heads of the columns, the rows that are not empty, and the decimal sign."""
    if path.suffix.lower() == ".parquet":
        return _of_parquet(path)
    text = _decoded(path)
    try:
        return _of_json(path, text) if path.suffix.lower() == ".json" else _of_text(text)
    except csv.Error as error:
        raise Fault(f"{path} is no CSV table ({error}): look for a stray quotation mark") from error


def _of_parquet(path: Path) -> tuple[list[str], list[Row], str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Fault(f"{path}: Parquet needs a package: pip install pyarrow") from error
    try:
        table = parquet.read_table(path)
        rows = [(f"row {n}", row) for n, row in enumerate(table.to_pylist(), start=1)]
    except (pyarrow.ArrowException, ValueError, OverflowError, OSError) as error:
        raise Fault(f"{path} cannot be read as a table: {error}") from error
    return table.column_names, rows, "."


def _of_json(path: Path, text: str) -> tuple[list[str], list[Row], str]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault(f"{path} is not JSON: {error}") from error
    if isinstance(rows, dict) and rows and all(isinstance(part, list) for part in rows.values()):
        rows = [row for part in rows.values() for row in part]  # such as {"audio": [...]}
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Fault(f"{path} must be a list of mappings, each with its `file`, or {{name: such a list}}")
    heads = list(dict.fromkeys(head for row in rows for head in row)) or list(NAMES)
    return heads, [(f"entry {n}", row) for n, row in enumerate(rows, start=1)], "."


def _decoded(path: Path) -> str:
    """Returns a file's text: UTF-8, or UTF-16 as Excel writes "Unicode text", with line ends alike."""
    content = path.read_bytes()
    if content.startswith(WORKBOOKS):
        raise Fault(f"{path} is a workbook, whatever its name says: save it as CSV UTF-8")
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        words = f"is not {encoding.removesuffix('-sig').upper()} text (byte {error.start})"
        raise Fault(f"{path} {words}: save it as UTF-8 (in Excel: CSV UTF-8)") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_separated(path: Path) -> tuple[str, str, int]:
    """Returns the text of a table from its head on, its separator, and the number of lines before.

    Raises:
        Fault: it is no text.
    """
    return _from_head(_decoded(path))


def _from_head(text: str) -> tuple[str, str, int]:
    lines = QUOTED.sub(r"\1\2", text).split("\n")
    filled = [n for n, line in enumerate(lines) if line.strip(EMPTY)]
    mark = lines[filled[0]].strip().strip('"') if filled else ""
    marked = mark.lower().startswith("sep=")  # Excel's way of saying it
    at = next(iter(filled[marked:]), len(lines))
    head = lines[at] if at < len(lines) else ""
    return "\n".join(lines[at:]), (mark[4:5] or "\t") if marked else _separator(head), at


def _of_text(text: str) -> tuple[list[str], list[Row], str]:
    """Reads text with separators; a table with tabs whose first cell is a number has no head.

    In a label track a line that begins with a backslash has the frequencies of the label before it.
    """
    text, separator, n_before = _from_head(text)
    tabs, head = separator == "\t", text.partition("\n")[0]
    track = tabs and _seconds(head.partition("\t")[0].lstrip("-"), ",") is not None
    plain = track or (tabs and RAVEN in head.lower())
    reader = csv.reader(
        StringIO(text, newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL,
    )
    heads = AUDACITY if track else [head.strip() for head in next(reader, [])]
    rows: list[Row] = []
    for cells in reader:
        if track and rows and cells and cells[0].strip() == "\\":
            bounds = zip(FREQUENCIES, cells[1:], strict=False)
            rows[-1][1].update({key: cell for key, cell in bounds if not cell.startswith("-")})
        elif any(map(str.strip, cells)):
            named: dict[Any, Any] = dict(zip(heads, cells, strict=False))
            named[MORE] = [cell for cell in cells[len(heads) :] if cell.strip()]  # those without a head
            rows.append((f"line {reader.line_num + n_before}", named))
    return heads + FREQUENCIES * track, rows, "." if separator == "," else ","


def _separator(head: str) -> str:
    """Returns the separator that makes the most columns of usual names, then the most columns."""

    def columns(separator: str) -> tuple[int, int, bool]:
        heads = [name.strip().strip('"') for name in head.split(separator)]
        return len(_find_columns(heads, {})), len(heads), len(heads) > 1 and separator != ","

    return max((",", ";", "\t"), key=columns)


def _find_columns(heads: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the heads of the fixed columns: as the user calls them, else by their usual names."""
    small = {head.strip().casefold(): head for head in reversed(heads)}
    named = {}
    for key, usual in NAMES.items():
        usual = RAVEN_LABELS if key == "label" and RAVEN in small else usual
        for name in (columns[key],) if key in columns else usual:
            if name in heads or name.casefold() in small:
                named[key] = name if name in heads else small[name.casefold()]
                break
    return named


def _without_repeated_views(rows: list[Row], named: dict[str, str]) -> list[Row]:
    """Leaves each selection once: Raven writes it for the waveform and again for the spectrogram."""
    if not rows or not {"View", "Selection"} <= rows[0][1].keys():
        return rows
    keys = ("Selection", *(named[key] for key in ("file", "start", "end") if key in named))
    return list({tuple(cells.get(key) for key in keys): (line, cells) for line, cells in rows}.values())


def _text(cell: Any) -> str:
    """Returns a cell as it is written, "" where it is empty."""
    try:
        return "" if cell is None or cell != cell else str(cell).strip()
    except RecursionError:
        return "..."  # lists within lists


def _seconds(text: str, decimal: str) -> float | None:
    """Returns seconds from 0; None for what is no such number."""
    try:
        seconds = float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
