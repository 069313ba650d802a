"""What is known of the samples that features are of: labels, groups, a split; and what is odd about them."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from saec.evaluation.folds import TEST, TRAIN, alone_in_a_group
from saec.faults import listing

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
    rare = alone_in_a_group(found.labels[told], found.groups[told], least)
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
