"""Labels and groups of samples are found: where the session says, beside the samples, or in the features."""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from saec.config import Config
from saec.data.folder import list_pictures
from saec.data.labels import nearest_table, recording
from saec.faults import Fault, listing
from saec.frames import column_of
from saec.report.facts import (
    COLUMNS,
    Facts,
    from_folders,
    from_pattern,
    from_sounds,
    from_table,
    of_pieces,
    per_recording,
)
from saec.report.known import UNKNOWN, Known, with_remarks, without_rare
from saec.session import Labels
from saec.sound.listed import Place
from saec.tables import Table


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
