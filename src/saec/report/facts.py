"""What tables, folders and names say of pictures: labels, groups, splits, and whatever else a table has."""

import re
from pathlib import Path

import numpy as np

from saec.documents import read_rows
from saec.faults import Fault, MissingFault, listing

COLUMNS = {"file": "file", "label": "label", "group": "group", "split": "split"}
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


def from_pattern(names: np.ndarray, pattern: re.Pattern) -> Facts:
    facts: Facts = {}
    for name in names.tolist():
        match = pattern.search(name)
        if match:
            facts[name] = match.groupdict(default="")
    return facts
