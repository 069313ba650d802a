"""What is known of samples beside their contents: a label, and the recording (group) each comes from."""

import csv
import io
from pathlib import Path

import numpy as np

from saec.faults import Fault, listing

LABELS = "labels.csv"
SEGMENT = "_segm_"  # stands between the recording's name and the start of the segment


def known_of(names: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels ("" where unknown) and groups of the samples in a folder.

    They come from the nearest `labels.csv` (file, label[, group]) that names one of them: in the folder,
    beside it, or one folder further up. Without one the group is the recording in the name, before `_segm_`.
    """
    rows = _nearest_rows(set(names.tolist()), folder)
    recordings = [name.split(SEGMENT)[0] for name in names]
    labels = [rows[name][0] if name in rows else "" for name in names]
    groups = [
        rows[name][1] or recording if name in rows else recording
        for name, recording in zip(names, recordings, strict=True)
    ]
    return np.array(labels, dtype=str), np.array(groups, dtype=str)


def _nearest_rows(names: set[str], folder: Path) -> dict[str, tuple[str, str]]:
    for place in (folder, folder.parent, folder.parent.parent):
        file = place / LABELS
        if file.is_file():
            rows = {name: row for name, row in _read(file).items() if name in names}
            if rows:
                return rows
    return {}


def _said(known: tuple[str, str]) -> str:
    label, group = known
    return f"{label!r}" + (f" of {group!r}" if group else "")


def _read(file: Path) -> dict[str, tuple[str, str]]:
    """(label, group) by file name; a name with two different labels is a fault."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault(f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    table = csv.DictReader(io.StringIO(text))
    missing = {"file", "label"} - set(table.fieldnames or ())
    if missing:
        raise Fault(f"{file} needs the columns file,label[,group], it lacks {', '.join(sorted(missing))}")
    found: dict[str, tuple[str, str]] = {}
    twice = []
    for row in table:
        name, known = row["file"], (row["label"] or "", row.get("group") or "")
        if found.setdefault(name, known) != known:
            twice.append(f"{name}: {_said(found[name])} and {_said(known)}")
    if twice:
        raise Fault(f"{file} labels pictures twice:\n{listing(twice)}")
    return found
