"""Draws folds that keep groups whole, and small numbers of labels from them."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from saec.faults import Fault, listing

Split = tuple[np.ndarray, np.ndarray]  # indices of training rows and of test rows
N_DRAWINGS, SEED_STEP = 10, 7919  # folds are drawn again where a test fold has classes without training rows
TRAIN, TEST = "train", "test"


def grouped_splits(labels: np.ndarray, groups: np.ndarray, n_splits: int, seed: int) -> list[Split]:
    """Returns stratified folds that keep groups whole; fewer where some class has fewer groups.

    Of some drawings the one is taken with the fewest test rows of classes without training rows; no fold is
    empty. Raises a `Fault` where all rows are of one group or of one class.
    """
    n_groups, classes = len(np.unique(groups)), np.unique(labels)
    if n_groups < 2 or len(classes) < 2:
        raise Fault(
            f"a probe needs two groups and two classes at least, got {n_groups} and {len(classes)}: name "
            "groups (recordings) and labels in a labels.csv"
        )
    fewest = min(len(np.unique(groups[labels == label])) for label in classes)
    n_splits = max(2, min(n_splits, fewest))
    best: tuple[int, list[Split]] = (len(labels) + 1, [])
    for drawing in range(N_DRAWINGS):
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed + drawing * SEED_STEP)
        splits = [split for split in folds.split(labels, labels, groups) if min(map(len, split))]
        n_unseen = sum(int((~np.isin(labels[test], labels[train])).sum()) for train, test in splits)
        n_unseen += len(labels) * (n_splits - len(splits))
        if n_unseen < best[0]:
            best = (n_unseen, splits)
        if not n_unseen:
            break
    return best[1]


def repeated_splits(
    labels: np.ndarray, groups: np.ndarray, n_splits: int, n_repeats: int, seed: int
) -> list[list[Split]]:
    """Returns `n_repeats` different sets of folds, fewer where groups allow fewer."""
    seeds = np.random.SeedSequence(seed).generate_state(n_repeats) // 2  # room for further drawings
    repeats: dict[frozenset[bytes], list[Split]] = {}
    for one in seeds:
        splits = grouped_splits(labels, groups, n_splits, int(one))
        repeats.setdefault(frozenset(test.tobytes() for _, test in splits), splits)
    return list(repeats.values())


def given_split(split: np.ndarray) -> Split:
    """Returns the rows that a table names `train`, and those it names `test`, of which there must be some."""
    train, test = (np.flatnonzero(np.char.lower(split) == side) for side in (TRAIN, TEST))
    if not len(train) or not len(test):
        words = ", ".join(repr(str(word)) for word in np.unique(split))
        raise Fault(f"a split names rows {TRAIN!r} and rows {TEST!r}, got {words}")
    return train, test


def classes_of_few_groups(labels: np.ndarray, groups: np.ndarray, least: int = 2) -> dict[str, int]:
    """Returns the classes that fewer than `least` groups have, with the number of their groups."""
    n_groups = {str(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    return {label: n for label, n in n_groups.items() if n < least}


def require_two_groups(labels: np.ndarray, groups: np.ndarray) -> None:
    """Raises a `Fault` where some class cannot be in training rows and in test rows."""
    few = classes_of_few_groups(labels, groups)
    if few:
        lines = [f"{label}: {int((labels == label).sum())} rows of one group" for label in few]
        raise Fault(
            "probes learn a class from one group (recording) and are tested on another, but of these "
            f"classes there is only one:\n{listing(lines)}\n"
            "leave them out by `labels: {least: 2}`, or take no probes into `evaluations`"
        )


def draw_few(
    labels: np.ndarray, rows: np.ndarray, n_each: int, n_draws: int, seed: int
) -> Iterator[np.ndarray]:
    """Yields draws of `n_each` of the rows of each class, or all of a class that has fewer."""
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        classes = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
        yield np.concatenate([rng.permutation(of_class)[:n_each] for of_class in classes])
