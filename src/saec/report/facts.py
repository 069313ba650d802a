"""What tables, folders and names say of pictures: labels, groups, splits, and whatever else a table has."""

import math
import re
from collections import defaultdict
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np

from saec.data.labels import recording_of
from saec.data.sounding import Recordings
from saec.documents import read_rows
from saec.faults import Fault, MissingFault, listing
from saec.sound.listed import Place
from saec.sound.pieces import SEGMENT

COLUMNS = {"file": "file", "label": "label", "group": "group", "split": "split"}
SPLITS = {"valid": "train"}  # what chose among trainings is no test
TOLERANCE_S = 0.001  # names tell milliseconds
Facts = dict[str, dict[str, str]]  # what is said of a file, by the names of columns


def from_table(file: Path, columns: dict[str, str]) -> tuple[Facts, str]:
    facts: Facts = {}
    twice = []
    wanted = (columns["file"], columns["label"])
    for place, row in read_rows(file, wanted, f"[,{columns['group']}][,{columns['split']}]"):
        said = {
            key or "": (value or "").strip() for key, value in row.items() if isinstance(value, str | None)
        }
        name = said.pop(columns["file"])
        for key in ("label", "group", "split"):
            said[key] = said.pop(columns[key], "")
        if facts.setdefault(name, said) != said:
            twice.append(f"{place}: {name}: {_words(facts[name])} and {_words(said)}")
    if twice:
        raise Fault(f"{file} says two things of a picture:\n{listing(twice)}")
    return facts, str(file)


def _words(said: dict[str, str]) -> str:
    return ", ".join(value for value in said.values() if value) or "nothing"


def from_folders(parent: Path) -> tuple[Facts, str]:
    """The name of the folder that a picture lies in is its label."""
    if not parent.is_dir():
        raise MissingFault(f"no such folder: {parent} (a folder of folders, one a label, is expected)")
    facts: Facts = {}
    twice = []
    for file in sorted(path for path in parent.glob("*/*") if path.suffix.lower() == ".png"):
        said = {"label": file.parent.name}
        if facts.setdefault(file.name, said) != said:
            twice.append(f"{file.name}: {facts[file.name]['label']} and {said['label']}")
    if twice:
        raise Fault(f"{parent} has pictures in two folders:\n{listing(twice)}")
    return facts, str(parent)


def from_sounds(place: Place, names: np.ndarray) -> tuple[Facts, str]:
    """Labels, groups and splits of samples, as the folders or the table that recordings are listed by say.

    A sample is of the stretch of its recording in which it begins; names without a start are of recordings.
    """
    recordings = Recordings(place)
    stretches: dict[str, list[tuple[float, float, dict[str, str]]]] = defaultdict(list)
    for one, label, group, split in zip(recordings.listed, *recordings.known, recordings.splits, strict=True):
        said = {"label": str(label), "group": str(group), "split": SPLITS.get(str(split), str(split))}
        end_s = math.inf if one.end_s is None else one.end_s
        stretches[recording_of(one.name)].append((one.start_s or 0.0, end_s, said))
    facts: Facts = {}
    for name in names.tolist():
        own = stretches.get(recording_of(name), [])
        start_s = _start_of(name)
        if start_s is not None:
            own = [one for one in own if one[0] - TOLERANCE_S <= start_s < one[1]]
        if own:
            facts[name] = _alike([said for *_, said in own])
    return _with_both_sides(facts), str(recordings.folder)


def _start_of(name: str) -> float | None:
    """Where a segment begins in its recording; nothing of a name that does not say it."""
    _, mark, rest = name.partition(SEGMENT)
    with suppress(ValueError):
        return float(PurePosixPath(rest).stem) if mark else None
    return None


def _with_both_sides(facts: Facts) -> Facts:
    """A split without a test, or without training, parts nothing."""
    sides = {said["split"] for said in facts.values()}
    if {"train", "test"} <= sides:
        return facts
    return {name: said | {"split": ""} for name, said in facts.items()}


def of_pieces(names: np.ndarray, facts: Facts) -> Facts:
    """With what is said of a recording said of its segments among the names, too."""
    stems = {recording_of(name): said for name, said in facts.items() if SEGMENT not in name}
    pieces = {
        name: stems[recording_of(name)]
        for name in names.tolist()
        if SEGMENT in name and name not in facts and recording_of(name) in stems
    }
    cut = {recording_of(name) for name in pieces}
    return {name: said for name, said in facts.items() if recording_of(name) not in cut} | pieces


def per_recording(facts: Facts) -> Facts:
    """What is said of all samples of a recording alike; nothing where they differ."""
    of: dict[str, list[dict[str, str]]] = defaultdict(list)
    for name, said in facts.items():
        of[recording_of(name)].append(said)
    return {name: _alike(all_) for name, all_ in of.items()}


def _alike(all_: list[dict[str, str]]) -> dict[str, str]:
    """What all say; nothing where they differ."""
    return {
        key: value if all(one.get(key) == value for one in all_) else "" for key, value in all_[0].items()
    }


def from_pattern(names: np.ndarray, pattern: re.Pattern) -> Facts:
    facts: Facts = {}
    for name in names.tolist():
        match = pattern.search(name)
        if match:
            facts[name] = match.groupdict(default="")
    return facts
