"""Splits samples into training and validation, which never share a recording."""

import logging
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from saec.faults import Fault, listing
from saec.samples.table import Samples

LOG = logging.getLogger(__name__)
FEWEST = 2  # groups of a class that is trained on and validated
Rows = tuple[np.ndarray, np.ndarray]  # row numbers for training and for validation


def split(
    samples: Samples, part: float | int, seed: int, by_label: bool = False, *, what: str = "samples"
) -> Rows:
    """Draws whole groups by the seed until validation holds that share of the samples, or so many of them.

    With `by_label` every class has about that share on both sides; a class of too few groups for both is in
    training. `what` is what messages call the samples.

    Raises:
        Fault: all samples are of one group, or, by label, no class has two; there are not so many.
    """
    if part >= (len(samples) if isinstance(part, int) else 1):
        raise Fault(f"data.valid: {part} of {len(samples):,} {what} leave none to train on: choose fewer")
    valid = _drawn_by_label(samples, part, seed) if by_label else _drawn(samples, part, seed, what)
    if isinstance(part, int) and abs((n := int(valid.sum())) - part) > part / 10:
        words = "data.valid: %d %s are set aside in place of %d, since recordings stay whole"
        LOG.warning(words + (" and classes are on both sides" if by_label else ""), n, what, part)
    lacking = np.setdiff1d(samples.labels[~valid], samples.labels[valid]).tolist() if by_label else []
    if lacking:
        words = "%d classes have too few recordings for both sides and are not in validation:\n%s"
        LOG.warning(words, len(lacking), listing(lacking))
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def _drawn(samples: Samples, part: float | int, seed: int, what: str) -> np.ndarray:
    groups, sizes = np.unique(samples.groups, return_counts=True)
    if len(groups) < 2:
        raise Fault(
            f"data.valid: {part} needs at least two recordings, all {len(samples)} {what} come from "
            f"{str(groups[0])!r}: name a folder instead"
        )
    if len(groups) == len(samples) and np.isnan(samples.times).all():  # no pieces of recordings
        one = what.removesuffix("s")
        LOG.warning("every %s counts as a group of its own: name series or recordings in a labels.csv", one)
    drawn = np.random.default_rng([seed]).permutation(len(groups))
    before = np.cumsum(sizes[drawn]) - sizes[drawn]
    wanted = part if isinstance(part, int) else part * len(samples)
    n_groups = np.clip((before < wanted).sum(), 1, len(groups) - 1)
    return np.isin(samples.groups, groups[drawn[:n_groups]])


def _drawn_by_label(samples: Samples, part: float | int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = samples.labels, samples.groups
    n_groups, most = len(np.unique(groups)), np.unique(labels, return_counts=True)[1].max()
    if min(n_groups, most) < 2:
        raise Fault(
            f"data.valid: {part} needs two recordings and two samples of a class at least, got {n_groups} "
            f"and {most}: name a folder instead"
        )
    share = part / len(labels) if isinstance(part, int) else part
    n_folds = min(max(2, round(1 / min(share, 1 - share))), n_groups, most)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes that are too few, which split warns of
        drawn = [pair[share <= 0.5] for pair in folds.split(labels, labels, groups)]
    sides = []
    for rows in drawn:
        aside = np.isin(np.arange(len(labels)), rows)
        unlearnt = ~np.isin(labels, labels[~aside])  # their groups go back, so that training has all classes
        sides.append(aside & ~np.isin(groups, groups[unlearnt]))
    valid = max(sides, key=lambda side: len(np.unique(labels[side])))  # of equals the first
    if not valid.any():
        raise Fault(f"data.valid: {part} needs two recordings of a class at least: name a folder instead")
    return valid


def written_alike(classes: Iterable[str]) -> list[str]:
    """Returns a remark on classes that differ in capitals, spaces, `_` or Unicode form alone, or none."""
    written = defaultdict(list)
    for name in classes:
        plain = unicodedata.normalize("NFKC", name).casefold().replace("_", " ")
        written["".join(plain.split())].append(repr(name))
    alike = [" and ".join(names) for names in written.values() if len(names) > 1]
    return [f"classes that may be one, as they are written alike:\n{listing(alike)}"] if alike else []


def without_split(samples: Samples) -> Samples:
    """Returns samples without the split that a `labels.csv` gives them: it is for evaluations."""
    n = int((samples.splits != "").sum())
    if n:
        LOG.info("the split of %d samples in labels.csv is for evaluations, a training has `data.valid`", n)
    return samples.but(split="")


def warn_of_classes(samples: Samples, share: bool) -> None:
    """Warns of classes that differ in the way of writing alone, and if a share is to be set aside for
    validation, of those of one recording and of groups that nothing names.
    """
    for remark in written_alike(samples.classes):
        LOG.warning("%s", remark)
    if not share:
        return
    groups = {name: set(samples.groups[samples.labels == name].tolist()) for name in samples.classes}
    few = [name for name, of in groups.items() if len(of) < FEWEST]
    if few:
        words = "%d classes have one recording alone, and cannot be trained on and validated:\n%s"
        LOG.warning(words, len(few), listing(few))
    if (samples.groups == samples.files).all():
        words = (
            "groups are unknown, every recording is one of its own: if several are of one individual or site,"
        )
        words += " validation looks too good; name groups in a labels.csv (or for sounds by `data.group`)"
        LOG.warning(words)


def split_by_table(samples: Samples) -> Rows:
    """Splits samples by their column `split`: those for validation, and those for training or without a word.

    Raises:
        Fault: no sample is left to train on.
    """
    splits = samples.splits
    train, valid = (np.flatnonzero(np.isin(splits, words)) for words in (("train", ""), ("valid",)))
    if not len(train):
        raise Fault("the table's split names no sample to train on: call some `train`")
    return train, valid


def warn_of_shared(train: Samples, valid: Samples) -> None:
    """Warns where two folders are not as separate as they should be."""
    names = np.intersect1d(train.names, valid.names).tolist()
    groups = np.intersect1d(train.groups, valid.groups).tolist()
    for shared, what in ((names, "file names"), (groups if groups != names else [], "recordings")):
        if shared:  # a recording that is one sample would be in both
            words = "train and valid share %d %s, validation will look too good:\n%s"
            LOG.warning(words, len(shared), what, listing(shared, 5))
