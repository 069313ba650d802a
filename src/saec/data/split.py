"""Training and validation never share a recording."""

import logging

import numpy as np

from saec.data.batch import Dataset
from saec.faults import Fault, listing

LOG = logging.getLogger(__name__)


def split(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Sets whole recordings aside, drawn by the seed, until they hold that share of the samples.

    Raises:
        Fault: all samples come from one recording.
    """
    groups, sizes = np.unique(data.groups, return_counts=True)
    if len(groups) < 2:
        raise Fault(
            f"data.valid: {share} needs at least two recordings, all {len(data)} pictures come from "
            f"{str(groups[0])!r}: name a folder instead"
        )
    if len(groups) == len(data):
        LOG.warning("every picture counts as a recording of its own: name groups in a labels.csv")
    drawn = np.random.default_rng([seed]).permutation(len(groups))
    before = np.cumsum(sizes[drawn]) - sizes[drawn]
    aside = groups[drawn[: max(1, min(int((before < share * len(data)).sum()), len(groups) - 1))]]
    valid = np.isin(data.groups, aside)
    return data.subset(np.flatnonzero(~valid)), data.subset(np.flatnonzero(valid))


def warn_of_shared(train: Dataset, valid: Dataset) -> None:
    """Says so when two folders are not as separate as they should be."""
    for what in ("names", "groups"):
        shared = np.intersect1d(getattr(train, what), getattr(valid, what))
        if len(shared):
            word = "file names" if what == "names" else "recordings"
            LOG.warning(
                "train and valid share %d %s, validation will look too good:\n%s",
                len(shared),
                word,
                listing(shared.tolist(), 5),
            )
