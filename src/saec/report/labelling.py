"""Labels and groups of samples are found: where the session says, beside the samples, or in the features."""

import logging
import math
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from saec.config import Config
from saec.data.decoding import list_pictures
from saec.data.labels import nearest_table, recording, recording_of
from saec.data.sounding import Recordings
from saec.documents import read_rows
from saec.evaluation.folds import TEST, TRAIN, classes_of_few_groups
from saec.faults import Fault, MissingFault, listing
from saec.session import Labels
from saec.sound.listed import Place
from saec.sound.pieces import SEGMENT
from saec.tables import Table, column_of

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


LOG = logging.getLogger(__name__)
UNKNOWN = ""


@dataclass(frozen=True)
class Known:
    """Labels ("" where unknown), groups, perhaps a split, and further columns; `remarks` say what is odd."""

    labels: np.ndarray
    groups: np.ndarray
    split: np.ndarray | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def classes(self) -> np.ndarray:
        return np.unique(self.labels[self.labels != UNKNOWN])

    @property
    def grouped(self) -> bool:
        """Whether any group has more than one sample, so that groups say something."""
        return len(np.unique(self.groups)) < len(self.groups)


def without_rare(found: Known, least: int | None) -> Known:
    """Without the labels of classes that fewer groups have, where a least number is given."""
    if least is None:
        return found
    told = found.labels != UNKNOWN
    rare = classes_of_few_groups(found.labels[told], found.groups[told], least)
    if not rare:
        return found
    lines = [f"{label}: {n}" for label, n in rare.items()]
    remark = f"{len(rare)} classes have fewer than {least} groups and are left out:\n{listing(lines)}"
    labels = np.where(np.isin(found.labels, list(rare)), UNKNOWN, found.labels)
    return replace(found, labels=labels, remarks=[*found.remarks, remark])


def with_remarks(names: np.ndarray, found: Known) -> Known:
    """With remarks on samples without labels, and on groups that are not known."""
    remarks = list(found.remarks)
    without = names[found.labels == UNKNOWN].tolist()
    if 0 < len(without) < len(names):
        remarks.append(f"{len(without):,} of {len(names):,} pictures have no label:\n{listing(without)}")
    if not found.grouped and len(found.classes) > 1:
        remarks.append(
            "no group (recording) is known, each picture counts as one: if pictures come from the same "
            "recordings, probes are too good; name groups in the table of labels"
        )
    remarks += _odd_split(found)
    for remark in remarks:
        LOG.warning("%s", remark)
    return replace(found, remarks=remarks)


def _odd_split(found: Known) -> list[str]:
    """What is to be said of a split that the table gives."""
    if found.split is None:
        return []
    told = found.labels != UNKNOWN
    sides = {side: told & (found.split == side) for side in (TRAIN, TEST)}
    remarks = []
    out = int(told.sum() - sum(side.sum() for side in sides.values()))
    if out:
        remarks.append(f"{out:,} pictures with a label are neither {TRAIN!r} nor {TEST!r} and are left out")
    shared = np.intersect1d(found.groups[sides[TRAIN]], found.groups[sides[TEST]])
    if len(shared):
        remarks.append(
            f"the split has {len(shared):,} groups (recordings) on both sides, so probes are too good:\n"
            f"{listing(shared.tolist(), 5)}"
        )
    unseen = np.setdiff1d(found.labels[sides[TEST]], found.labels[sides[TRAIN]])
    if len(unseen):
        remarks.append(f"classes that are asked for and never learnt:\n{listing(unseen.tolist())}")
    return remarks


def known(
    tables: dict[str, Table],
    asked: Labels,
    images: Path | None,
    config: Config,
    sounds: Place | None = None,
    per: str = "sample",
) -> Known:
    """Of the samples that these tables are of.

    Raises:
        Fault: the labels cannot be read, contradict each other, or are of none of these samples.
    """
    names = next(iter(tables.values())).names
    beside = nearest_table(_listed(images), images) if images and asked == Labels(least=asked.least) else None
    if asked.file is not None or beside is not None:
        file = beside or config.data_path(asked.file)
        facts, source = from_table(file, COLUMNS | asked.columns)
        found = _of_facts(names, _fitting(names, facts, per), source, listed=beside is None)
    elif asked.folders is not None:
        facts, source = from_folders(config.data_path(asked.folders))
        found = _of_facts(names, _fitting(names, facts, per), source)
    elif sounds is not None and asked.pattern is None:
        found = _of_facts(names, *from_sounds(sounds, names), listed=False)
    elif asked.pattern is not None:
        found = _of_facts(names, from_pattern(names, re.compile(asked.pattern)), f"pattern {asked.pattern}")
    else:
        found = Known(_own_labels(tables), np.array([recording(name) for name in names.tolist()], dtype=str))
    further = {column: values for table in tables.values() for column, values in table.facts.items()}
    return with_remarks(names, without_rare(replace(found, columns=further | found.columns), asked.least))


def _listed(images: Path) -> np.ndarray:
    return np.array([file.name for file in list_pictures(images)], dtype=str)


def _fitting(names: np.ndarray, facts: Facts, per: str) -> Facts:
    """What is said of recordings holds for their segments; of means over recordings, what all agree on."""
    return per_recording(facts) if per == "recording" else of_pieces(names, facts)


def _own_labels(tables: dict[str, Table]) -> np.ndarray:
    """Those that the feature files themselves have, if any.

    Raises:
        Fault: two files say different things.
    """
    having = {method: table for method, table in tables.items() if table.labels is not None}
    if not having:
        return np.full(len(next(iter(tables.values())).names), UNKNOWN)
    (first, one), *others = having.items()
    for method, other in others:
        odd = one.names[one.labels != other.labels]
        if len(odd):
            raise Fault(
                f"{first} and {method} label {len(odd)} pictures differently:\n{listing(odd.tolist())}"
            )
    return one.labels


def _of_facts(names: np.ndarray, facts: Facts, source: str, listed: bool = True) -> Known:
    """`listed`: labels of other samples are listed, not only counted."""
    there = set(names.tolist())
    missing = sorted(facts.keys() - there)
    if not facts.keys() & there:
        raise Fault(f"{source} labels none of the {len(names)} pictures: {_mismatch(names, facts)}")
    keys = dict.fromkeys(["label", "group", "split", *(key for said in facts.values() for key in said)])
    columns = {
        key: np.array([facts.get(name, {}).get(key, "") for name in names.tolist()], dtype=str)
        for key in keys
    }
    labels, groups, splits = (columns.pop(key) for key in ("label", "group", "split"))
    groups = _whole_groups(names, groups)
    further = {key: column_of(pd.Series(values)) for key, values in columns.items() if key}
    remarks = []
    if missing:
        remark = f"{len(missing):,} labels of {source} are of pictures without features"
        remarks.append(f"{remark}:\n{listing(missing)}" if listed else remark)
    split = np.char.lower(splits) if (splits != "").any() else None
    return Known(labels, groups, split, further, remarks)


def _mismatch(names: np.ndarray, facts: Facts) -> str:
    """How the names differ, in words."""
    if not facts:
        return f"none of their names fits, such as {str(names[0])!r}"
    stems = {PurePosixPath(name).stem for name in names.tolist()}
    alike = [
        name for name in facts if PureWindowsPath(name).stem in stems or PureWindowsPath(name).name in stems
    ]
    hint = "; without folders and suffixes they agree: write names as in the features" if alike else ""
    return f"{next(iter(facts))!r} there, {str(names[0])!r} among the features{hint}"


def _whole_groups(names: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A sample without a group shares that of others of its recording, else its recording is the group."""
    recordings = [recording(name) for name in names.tolist()]
    of = {one: group for one, group in zip(recordings, groups.tolist(), strict=True) if group}
    said = [group or of.get(one, one) for one, group in zip(recordings, groups.tolist(), strict=True)]
    return np.array(said, dtype=str)
