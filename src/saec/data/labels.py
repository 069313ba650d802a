"""What is known of samples beside their contents: a label, and the recording (group) each comes from."""

import logging
from pathlib import Path, PurePosixPath

import numpy as np

from saec.documents import read_rows
from saec.faults import Fault, listing
from saec.sound.pieces import SEGMENT

LOG = logging.getLogger(__name__)
LABELS = "labels.csv"


def known_of(names: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels ("" where unknown) and groups of the samples in a folder.

    They come from the nearest `labels.csv` (file, label[, group]) that names one of them: in the folder,
    beside it, or one folder further up. Without one the group is the recording in the name, before `_segm_`;
    samples of a recording that the table gives a group share it, whether they are listed or not.
    """
    rows = _nearest_rows(names, folder)
    if not rows:
        return np.full(len(names), "", dtype=str), np.array([recording(name) for name in names.tolist()])
    group_of = {recording(name): group for name, (_, group) in rows.items() if group}
    labels = [rows[name][0] if name in rows else "" for name in names.tolist()]
    groups = [
        (rows[name][1] if name in rows else "") or group_of.get(recording(name), recording(name))
        for name in names.tolist()
    ]
    return np.array(labels, dtype=str), np.array(groups, dtype=str)


def recording(name: str) -> str:
    return name.split(SEGMENT)[0]


def recording_of(name: str) -> str:
    """The recording that a sample is of, without a suffix: pictures and segments of it have the same."""
    return str(PurePosixPath(name).with_suffix("")) if SEGMENT not in name else recording(name)


def nearest_table(names: np.ndarray, folder: Path) -> Path | None:
    """The `labels.csv` that labels of these pictures come from, if there is one."""
    there = set(names.tolist())
    for file in _tables(folder):
        if any(row.get("file") in there for _, row in read_rows(file, ("file",))):
            return file
    return None


def _nearest_rows(names: np.ndarray, folder: Path) -> dict[str, tuple[str, str]]:
    there = set(names.tolist())
    for file in _tables(folder):
        try:
            rows = {name: row for name, row in _read(file).items() if name in there}
        except Fault as fault:
            if file.parent in (folder, folder.parent):
                raise
            LOG.warning("not used: %s", fault)  # so far away it may well be another matter's
            continue
        if rows:
            return rows
    return {}


def _tables(folder: Path) -> list[Path]:
    """The tables of labels in the folder, beside it and one folder further up, the nearest first."""
    places = (folder, folder.parent, folder.parent.parent)
    return [place / LABELS for place in places if (place / LABELS).is_file()]


def _read(file: Path) -> dict[str, tuple[str, str]]:
    """(label, group) by file name; a name with two different labels is a fault."""
    found: dict[str, tuple[str, str]] = {}
    twice = []
    for place, row in read_rows(file, ("file", "label"), "[,group]"):
        name, known = row["file"], (row["label"] or "", row.get("group") or "")
        if found.setdefault(name, known) != known:
            twice.append(f"{place}: {name}: {_said(found[name])} and {_said(known)}")
    if twice:
        raise Fault(f"{file} labels pictures twice:\n{listing(twice)}")
    return found


def _said(known: tuple[str, str]) -> str:
    label, group = known
    return f"{label!r}" + (f" of {group!r}" if group else "")
