"""What is known of the pictures that features are of: labels, groups, a split; and what does not fit."""

import logging
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from saec.config import Config
from saec.data.labels import known_of, recording
from saec.documents import read_rows
from saec.evaluation.folds import alone_in_a_group
from saec.faults import Fault, MissingFault, listing
from saec.session import Labels

LOG = logging.getLogger(__name__)
COLUMNS = {"file": "file", "label": "label", "group": "group", "split": "split"}
UNKNOWN = ""

Facts = dict[str, tuple[str, str, str]]  # label, group and split by file name


@dataclass(frozen=True)
class Known:
    """Labels ("" where unknown), groups, and a split if one is given; `remarks` say what does not fit."""

    labels: np.ndarray
    groups: np.ndarray
    split: np.ndarray | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def classes(self) -> np.ndarray:
        return np.unique(self.labels[self.labels != UNKNOWN])

    @property
    def grouped(self) -> bool:
        """Whether any group has more than one picture, so that groups say something."""
        return len(np.unique(self.groups)) < len(self.groups)


def known(
    names: np.ndarray, asked: Labels, images: Path | None, own: np.ndarray | None, config: Config
) -> Known:
    """Of the pictures by these names; `own` are labels that the feature file itself has.

    Raises:
        Fault: the labels cannot be read, contradict each other, or are of none of these pictures.
    """
    if asked.file is not None:
        found = _of_facts(names, *_from_table(config.data_path(asked.file), COLUMNS | asked.columns))
    elif asked.folders is not None:
        found = _of_facts(names, *_from_folders(config.data_path(asked.folders)))
    elif asked.pattern is not None:
        found = _of_facts(names, _from_pattern(names, re.compile(asked.pattern)), f"pattern {asked.pattern}")
    else:
        found = _of_themselves(names, images, own)
    return _said(names, _without_rare(found, asked.least))


def _of_themselves(names: np.ndarray, images: Path | None, own: np.ndarray | None) -> Known:
    """From the `labels.csv` that is nearest to the pictures, else from the feature file and the names."""
    if images is not None:
        found = Known(*known_of(names, images))
        return found if own is None or len(found.classes) else replace(found, labels=own)
    labels = np.full(len(names), UNKNOWN) if own is None else own
    return Known(labels, np.array([recording(name) for name in names.tolist()], dtype=str))


def _from_table(file: Path, columns: dict[str, str]) -> tuple[Facts, str]:
    facts: Facts = {}
    twice = []
    wanted = (columns["file"], columns["label"])
    for place, row in read_rows(file, wanted, f"[,{columns['group']}][,{columns['split']}]"):
        name, *said = ((row.get(columns[key]) or "").strip() for key in COLUMNS)
        if facts.setdefault(name, tuple(said)) != tuple(said):
            twice.append(f"{place}: {name}: {facts[name]} and {tuple(said)}")
    if twice:
        raise Fault(f"{file} says two things of a picture:\n{listing(twice)}")
    return facts, str(file)


def _from_folders(parent: Path) -> tuple[Facts, str]:
    """The name of the folder that a picture lies in is its label."""
    if not parent.is_dir():
        raise MissingFault(f"no such folder: {parent} (a folder of folders, one a label, is expected)")
    facts: Facts = {}
    twice = []
    for file in sorted(path for path in parent.glob("*/*") if path.is_file()):
        said = (file.parent.name, "", "")
        if facts.setdefault(file.name, said) != said:
            twice.append(f"{file.name}: {facts[file.name][0]} and {said[0]}")
    if twice:
        raise Fault(f"{parent} has pictures in two folders:\n{listing(twice)}")
    return facts, str(parent)


def _from_pattern(names: np.ndarray, pattern: re.Pattern) -> Facts:
    facts: Facts = {}
    for name in names.tolist():
        match = pattern.search(name)
        if match:
            parts = match.groupdict(default="")
            facts[name] = (parts["label"], parts.get("group", ""), parts.get("split", ""))
    return facts


def _of_facts(names: np.ndarray, facts: Facts, source: str) -> Known:
    there = set(names.tolist())
    missing = sorted(facts.keys() - there)
    if not facts.keys() & there:
        examples = f"{next(iter(facts), 'nothing')!r} there, {str(names[0])!r} among the features"
        raise Fault(f"{source} labels none of the {len(names)} pictures ({examples})")
    rows = [facts.get(name, ("", "", "")) for name in names.tolist()]
    labels, groups, splits = (np.array(column, dtype=str) for column in zip(*rows, strict=True))
    groups = np.where(groups == "", [recording(name) for name in names.tolist()], groups)
    remarks = []
    if missing:
        remarks.append(
            f"{len(missing):,} labels of {source} are of pictures without features:\n{listing(missing)}"
        )
    return Known(labels, groups, splits if (splits != "").any() else None, remarks)


def _without_rare(found: Known, least: int | None) -> Known:
    if least is None:
        return found
    told = found.labels != UNKNOWN
    rare = alone_in_a_group(found.labels[told], found.groups[told], least)
    if not rare:
        return found
    lines = [f"{label}: {n}" for label, n in rare.items()]
    remark = f"{len(rare)} classes have fewer than {least} groups and are left out:\n{listing(lines)}"
    labels = np.where(np.isin(found.labels, list(rare)), UNKNOWN, found.labels)
    return replace(found, labels=labels, remarks=[*found.remarks, remark])


def _said(names: np.ndarray, found: Known) -> Known:
    """With remarks on pictures without labels, and on groups that are not known."""
    remarks = list(found.remarks)
    without = names[found.labels == UNKNOWN].tolist()
    if 0 < len(without) < len(names):
        remarks.append(f"{len(without):,} of {len(names):,} pictures have no label:\n{listing(without)}")
    if not found.grouped and len(found.classes) > 1:
        remarks.append(
            "no group (recording) is known, each picture counts as one: if pictures come from the same "
            "recordings, probes are too good; name groups in the table of labels"
        )
    for remark in remarks:
        LOG.warning("%s", remark)
    return replace(found, remarks=remarks)
