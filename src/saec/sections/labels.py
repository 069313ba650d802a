"""Labels, groups and splits of samples: from what the session names, from beside them, or the features."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, field_validator, model_validator

from saec.config import Config
from saec.data.recordings import Recordings
from saec.evaluation.folds import TEST, TRAIN, classes_of_few_groups
from saec.faults import Fault, MissingFault, listing
from saec.registry import Strict
from saec.samples import Samples, annotations, join, nearest_labels, read_annotations
from saec.session import Count
from saec.sound.listed import Place
from saec.tables import Table, column_of

LOG = logging.getLogger(__name__)
WHAT = "pictures"  # what messages call samples of any kind


class Labels(Strict):
    """Where labels come from: a table, the folders that pictures lie in, or a pattern on file names.

    `pattern` is a regular expression with groups named `label` and perhaps `group`, `split`. `least` leaves
    out classes that fewer groups (recordings) have.
    """

    file: str | None = None
    columns: dict[Literal["file", "label", "group", "split"], str] = {}
    folders: str | None = None
    pattern: str | None = None
    least: Count | None = None

    @property
    def is_given(self) -> bool:
        """Whether they come from something that the session names."""
        return bool(self.file or self.folders or self.pattern)

    @field_validator("pattern")
    @classmethod
    def _names_groups(cls, pattern: str | None) -> str | None:
        try:
            groups = set(re.compile(pattern).groupindex) if pattern is not None else {"label"}
        except re.error as error:
            raise ValueError(f"is no regular expression ({error}), got {pattern!r}") from error
        if "label" not in groups or groups - {"label", "group", "split"}:
            raise ValueError(f"names groups `(?P<label>...)` and perhaps group and split, got {pattern!r}")
        return pattern

    @model_validator(mode="after")
    def _one_source(self) -> "Labels":
        given = [name for name in ("file", "folders", "pattern") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"labels come from one source, got {' and '.join(given)}")
        return self


def _as_labels(raw: Any) -> Any:
    return {} if raw is None else {"file": raw} if isinstance(raw, str) else raw


GivenLabels = Annotated[Labels, BeforeValidator(_as_labels)]  # null: the session gives none


def label_samples(
    tables: list[tuple[str, Table]],
    given: Labels,
    images: Path | None,
    config: Config,
    sounds: Place | None = None,
) -> tuple[Samples, list[str]]:
    """Returns the samples that these tables (by method) are of, and remarks on their labels.

    Labels are those that the session gives; without them those of the nearest `labels.csv`, then those of
    the recordings `sounds`, then those in the feature files themselves.

    Raises:
        Fault: the labels cannot be read, contradict each other, or are of none of these samples.
    """
    plain = Samples.of(tables[0][1].names)
    samples, remarks = plain, []
    if given.is_given:
        samples, remarks = join(plain, *given_annotations(given, plain.names, config), what=WHAT)
    elif images:
        samples, remarks = nearest_labels(plain, images, what=WHAT)
    if samples is plain and sounds:
        samples, remarks = _of_sounds(plain, sounds)
    elif samples is plain:
        samples = plain.but(label=_own_labels(tables))
    further = {column: one.samples.table[column] for _, one in tables for column in one.samples.others}
    further |= {column: column_of(samples.table[column]) for column in samples.others}
    samples, rare = _without_rare(samples.but(**further), given.least)
    remarks += [*rare, *_remarks(samples)]
    for remark in remarks:
        LOG.warning("%s", remark)
    return samples, remarks


def given_annotations(given: Labels, names: Iterable[str], config: Config) -> tuple[pd.DataFrame, str]:
    """Returns what the session gives (a table, folders, or a pattern on names), and what messages call it."""
    if given.file is not None:
        file = config.data_path(given.file)
        return read_annotations(file, columns=given.columns), str(file)
    if given.folders is not None:
        folder = config.data_path(given.folders)
        return _of_folders(folder), str(folder)
    matches = ((str(name), re.search(given.pattern, str(name))) for name in names)
    rows = [{"file": name, **match.groupdict(default="")} for name, match in matches if match]
    return annotations(rows), f"pattern {given.pattern}"


def _of_folders(parent: Path) -> pd.DataFrame:
    """The name of the folder that a picture lies in is its label."""
    if not parent.is_dir():
        raise MissingFault(f"no such folder: {parent} (a folder of folders, one a label, is expected)")
    files = sorted(path for path in parent.glob("*/*") if path.suffix.lower() == ".png")
    rows = [{"file": file.name, "label": file.parent.name} for file in files]
    return annotations(rows, [str(file) for file in files])


def _of_sounds(samples: Samples, place: Place) -> tuple[Samples, list[str]]:
    """Joins what the folders or the table that recordings are listed by say of them.

    What chose among trainings is no test, so `valid` counts as `train`; a split of one side parts nothing.
    """
    recordings = Recordings(place)
    keys = ("label", "group", "split")
    rows = [
        {
            "file": one.name,
            "start_s": one.start_s,
            "end_s": one.end_s,
            **dict(zip(keys, map(str, (*texts, one.split)), strict=True)),
        }
        for one, *texts in zip(recordings.listed, *recordings.labels_and_groups, strict=True)
    ]
    samples, remarks = join(samples, annotations(rows), str(recordings.folder), what=WHAT)
    splits = np.where(samples.splits == "valid", TRAIN, samples.splits)
    return samples.but(split=splits if {TRAIN, TEST} <= set(splits.tolist()) else ""), remarks


def _own_labels(tables: list[tuple[str, Table]]) -> np.ndarray:
    """Returns the labels that the feature files themselves have, if any.

    Raises:
        Fault: two files say different things.
    """
    labels = [(method, table.samples.labels) for method, table in tables]
    labels = [(method, one) for method, one in labels if (one != "").any()]
    for method, other in labels[1:]:
        first, one = labels[0]
        different = tables[0][1].names[one != other]
        if len(different):
            raise Fault(
                f"{first} and {method} label {len(different)} pictures differently:\n"
                f"{listing(different.tolist())}"
            )
    return labels[0][1] if labels else tables[0][1].samples.labels


def _without_rare(samples: Samples, least: int | None) -> tuple[Samples, list[str]]:
    """Leaves out the labels of classes that fewer groups have, where a least number is given."""
    labels = samples.labels
    has_label = labels != ""
    rare = classes_of_few_groups(labels[has_label], samples.groups[has_label], least) if least else {}
    if not rare:
        return samples, []
    lines = [f"{label}: {n}" for label, n in rare.items()]
    remark = f"{len(rare)} classes have fewer than {least} groups and are left out:\n{listing(lines)}"
    return samples.but(label=np.where(np.isin(labels, list(rare)), "", labels)), [remark]


def _remarks(samples: Samples) -> list[str]:
    """Remarks on samples without labels, on groups that nobody names, and on the split."""
    remarks = []
    without = samples.names[samples.labels == ""].tolist()
    if 0 < len(without) < len(samples):
        remarks.append(f"{len(without):,} of {len(samples):,} pictures have no label:\n{listing(without)}")
    if len(np.unique(samples.groups)) == len(samples) and len(samples.classes) > 1:
        remarks.append(
            "no group (recording) is known, each picture counts as one: if pictures come from the same "
            "recordings, probes are too good; name groups in the table of labels"
        )
    return remarks + (_split_remarks(samples) if (samples.splits != "").any() else [])


def _split_remarks(samples: Samples) -> list[str]:
    has_label = samples.labels != ""
    train, test = (samples.subset(has_label & (samples.splits == side)) for side in (TRAIN, TEST))
    remarks = []
    n_out = int(has_label.sum()) - len(train) - len(test)
    if n_out:
        remarks.append(f"{n_out:,} pictures with a label are neither {TRAIN!r} nor {TEST!r} and are left out")
    shared = np.intersect1d(train.groups, test.groups)
    if len(shared):
        remarks.append(
            f"the split has {len(shared):,} groups (recordings) on both sides, so probes are too good:\n"
            f"{listing(shared.tolist(), 5)}"
        )
    unseen = np.setdiff1d(test.labels, train.labels)
    if len(unseen):
        remarks.append(f"classes that are tested and never learnt:\n{listing(unseen.tolist())}")
    return remarks
