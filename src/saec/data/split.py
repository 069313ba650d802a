"""Training and validation never share a recording."""

import logging
import warnings

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
            f"data.valid: {share} needs at least two recordings, all {len(data)} {data.what} come from "
            f"{str(groups[0])!r}: name a folder instead"
        )
    if len(groups) == len(data) and data.files is None:
        LOG.warning("every picture counts as a recording of its own: name groups in a labels.csv")
    drawn = np.random.default_rng([seed]).permutation(len(groups))
    before = np.cumsum(sizes[drawn]) - sizes[drawn]
    aside = groups[drawn[: max(1, min(int((before < share * len(data)).sum()), len(groups) - 1))]]
    valid = np.isin(data.groups, aside)
    return data.subset(np.flatnonzero(~valid)), data.subset(np.flatnonzero(valid))


def split_evenly(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Sets about that share aside, so that every class has its part on both sides; recordings stay whole.

    A class of too few recordings for both is learnt.

    Raises:
        Fault: all samples come from one recording, or no class has two.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(data.groups))
    most = np.unique(data.labels, return_counts=True)[1].max()
    if min(n_groups, most) < 2:
        raise Fault(
            f"data.valid: {share} needs two recordings and two samples of a class at least, got {n_groups} "
            f"and {most}: name a folder instead"
        )
    n_folds = min(max(2, round(1 / min(share, 1 - share))), n_groups, most)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes that are too few: said below
        drawn = [pair[share <= 0.5] for pair in folds.split(data.labels, data.labels, data.groups)]
    sides = [_spared(data, np.isin(np.arange(len(data)), rows)) for rows in drawn]
    valid = max(sides, key=lambda side: len(np.unique(data.labels[side])))  # of equals the first
    if not valid.any():
        raise Fault(f"data.valid: {share} needs two recordings of a class at least: name a folder instead")
    parts = data.subset(np.flatnonzero(~valid)), data.subset(np.flatnonzero(valid))
    _say_one_sided(*parts)
    return parts


def _spared(data: Dataset, aside: np.ndarray) -> np.ndarray:
    """Which samples are aside when recordings of classes that would not be learnt go back."""
    lacking = ~np.isin(data.labels, data.labels[~aside])
    return aside & ~np.isin(data.groups, data.groups[lacking])


def split_by_table(data: Dataset) -> tuple[Dataset, Dataset]:
    """The samples that a table of recordings calls `valid`, and those that it calls `train`, or nothing."""
    sides = [np.isin(data.splits, words) for words in (("train", ""), ("valid",))]
    parts = tuple(data.subset(np.flatnonzero(side)) for side in sides)
    n_out = len(data) - sum(map(len, parts))
    LOG.info("the table sets %d samples aside for validation, %d for tests", len(parts[1]), n_out)
    if not len(parts[0]):
        raise Fault("the table's split names no sample to train on: call some `train`")
    return parts


def _say_one_sided(train: Dataset, valid: Dataset) -> None:
    lacking = np.setdiff1d(train.labels, valid.labels).tolist()
    if lacking:
        LOG.warning(
            "%d classes have too few recordings for both sides and are not in validation:\n%s",
            len(lacking),
            listing(lacking),
        )


def warn_of_shared(train: Dataset, valid: Dataset) -> None:
    """Says so when two folders are not as separate as they should be."""
    said: list[str] = []
    for what in ("names", "groups"):
        shared = np.intersect1d(getattr(train, what), getattr(valid, what))
        if len(shared) and shared.tolist() != said:  # a recording that is one sample is both
            said = shared.tolist()
            word = "file names" if what == "names" else "recordings"
            LOG.warning(
                "train and valid share %d %s, validation will look too good:\n%s",
                len(shared),
                word,
                listing(shared.tolist(), 5),
            )
