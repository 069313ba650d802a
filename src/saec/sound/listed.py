"""What sound there is: recordings of folders, of class folders or of a table, with what is known of each."""

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from saec.documents import parsed, read_rows
from saec.faults import Fault, MissingFault, listing
from saec.sound.recordings import SUFFIXES, find_recordings

TABLES = (".csv", ".json")
SIDES = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid"}
SIDES |= {"dev": "valid", "test": "test", "": ""}
Place = Path | tuple[Path, ...]


@dataclass(frozen=True)
class Listed:
    """A recording, or a stretch of it in seconds, by a name that is relative to `folder`."""

    folder: Path
    name: str
    label: str = ""
    group: str = ""
    split: str = ""  # train, valid, test, or nothing
    start_s: float | None = None
    end_s: float | None = None

    @property
    def path(self) -> Path:
        return self.folder / self.name


def home_of(place: Place) -> Path:
    """The folder that a place is, or lies in."""
    first = place[0] if isinstance(place, tuple) else place
    return first.parent if isinstance(place, tuple) or first.is_file() else first


def list_sound(place: Place) -> list[Listed]:
    """Sorted by name. Below a folder, the first folder on the way to a recording is its class.

    `place` is a folder, several class folders, a table (CSV or JSON: file, and perhaps label, group, split,
    start, end in seconds), or one recording.

    Raises:
        MissingFault: it is not there, or holds no recording.
        Fault: a table that cannot be used, two class folders of one name, file names that are no text.
    """
    if isinstance(place, tuple):
        return _of_classes(place)
    if place.is_file():
        return _of_table(place) if place.suffix.lower() in TABLES else [_one(place)]
    names = _found(place)
    return [Listed(place, name, label=name.partition("/")[0] if "/" in name else "") for name in names]


def _found(folder: Path) -> list[str]:
    names = find_recordings(folder)
    odd = [ascii(name) for name in names if name != name.encode(errors="replace").decode()]
    if odd:
        raise Fault(f"{folder} holds names that are no UTF-8 text, rename them:\n{listing(odd)}")
    return names


def _one(file: Path) -> Listed:
    if file.suffix.lower() not in SUFFIXES:
        raise Fault(
            f"{file} is no recording and no table of them: expected a folder, a .csv or .json, or sound, got "
            f"{file.suffix or 'no suffix'!r}"
        )
    return Listed(file.parent, file.name)


def _of_classes(folders: tuple[Path, ...]) -> list[Listed]:
    twice = [name for name, n in Counter(folder.name for folder in folders).items() if n > 1]
    if twice:
        raise Fault(f"a class is called by the name of its folder, two are called {', '.join(twice)}: rename")
    listed = [
        Listed(folder.parent, f"{folder.name}/{name}", label=folder.name)
        for folder in folders
        for name in _found(folder)
    ]
    return sorted(listed, key=lambda one: one.name)


def _of_table(table: Path) -> list[Listed]:
    """All that is wrong with the table is said at once."""
    found, wrong = parsed(_rows(table), partial(_row, table.parent))
    if wrong:
        raise Fault(f"{table} cannot be used:\n{listing(wrong)}")
    if not found:
        raise MissingFault(f"{table} names no recording: a row for each is expected, with its `file`")
    missing = sorted({str(one.path) for one in found if not one.path.is_file()})
    if missing:
        raise MissingFault(f"{table} names {len(missing):,} files that are not there:\n{listing(missing)}")
    _refuse_twice(table, found)
    return sorted(found, key=lambda one: (one.name, one.start_s or 0.0))


def _rows(table: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each row with its place in words."""
    if table.suffix.lower() == ".csv":
        return list(read_rows(table, ("file",), "[,label,group,split,start,end]"))
    try:
        rows = json.loads(table.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise Fault(f"{table} is not JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "file" in row for row in rows):
        raise Fault(f"{table} must be a list of mappings with `file` (label, group, split, start, end)")
    return [(f"entry {place + 1}", row) for place, row in enumerate(rows)]


def _row(folder: Path, row: dict[str, Any]) -> Listed:
    """Raises `ValueError` where the row is not right."""
    name = _name(folder, str(row["file"] or "").strip().replace("\\", "/"))
    said = str(row.get("split") or "").strip().lower()
    if said not in SIDES:
        raise ValueError(f"split must be train, valid, test or nothing, got {said!r}")
    start, end = (_seconds(row.get(key), key) for key in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"must end after it starts, got start {start or 0:g} and end {end:g} s")
    label, group = (
        str(row.get(key) if row.get(key) is not None else "").strip() for key in ("label", "group")
    )
    return Listed(folder, name, label, group, SIDES[said], start, end)


def _name(folder: Path, said: str) -> str:
    """Relative to the folder where it lies below it, without detours: a recording has one name."""
    if not said:
        raise ValueError("names no file")
    path = Path(os.path.normpath(said))
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _seconds(raw: Any, key: str) -> float | None:
    if raw is None or str(raw).strip() == "":
        return None
    try:
        seconds = float(raw)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{key} must be seconds from 0, got {raw!r}")
    return seconds


def _refuse_twice(table: Path, found: list[Listed]) -> None:
    counts = Counter((one.name, round(one.start_s or 0.0, 3)) for one in found)
    twice = [f"{name} at {start:g} s: {n} rows" for (name, start), n in counts.items() if n > 1]
    if twice:
        raise Fault(f"{table} names the same sound more than once:\n{listing(twice)}")
