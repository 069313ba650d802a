"""Folds that keep groups whole, and few labels drawn from them."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from saec.faults import Fault, listing

Split = tuple[np.ndarray, np.ndarray]  # the rows to learn from, the rows to be asked
N_DRAWINGS, SEED_STEP = 10, 7919  # folds are drawn again where they ask for what they have not learnt
TRAIN, TEST = "train", "test"


def grouped_splits(labels: np.ndarray, groups: np.ndarray, n_splits: int, seed: int) -> list[Split]:
    """Stratified folds that keep groups whole; fewer where a class has fewer groups.

    Of some drawings the one is taken that asks least for classes it has not learnt; no fold is empty.

    Raises:
        Fault: all rows are of one group or of one class.
    """
    n_groups, n_classes = len(np.unique(groups)), len(np.unique(labels))
    if n_groups < 2 or n_classes < 2:
        raise Fault(
            f"a probe needs two groups and two classes at least, got {n_groups} and {n_classes}: name "
            "groups (recordings) and labels in a labels.csv"
        )
    n_splits = n_folds(labels, groups, n_splits)
    best: tuple[int, list[Split]] = (len(labels) + 1, [])
    for again in range(N_DRAWINGS):
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed + again * SEED_STEP)
        splits = [split for split in folds.split(labels, labels, groups) if min(map(len, split))]
        n_unlearnt = sum(int((~np.isin(labels[asked], labels[learnt])).sum()) for learnt, asked in splits)
        n_unlearnt += len(labels) * (n_splits - len(splits))
        if n_unlearnt < best[0]:
            best = (n_unlearnt, splits)
        if not n_unlearnt:
            break
    return best[1]


def n_folds(labels: np.ndarray, groups: np.ndarray, most: int) -> int:
    """As many as the class with the fewest groups (and rows) has of them, at least two."""
    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    return max(2, min(most, fewest))


def repeated_splits(
    labels: np.ndarray, groups: np.ndarray, n_splits: int, n_repeats: int, seed: int
) -> list[list[Split]]:
    """So many times other folds of the same rows; fewer where groups can be parted in fewer ways."""
    seeds = np.random.SeedSequence(seed).generate_state(n_repeats) // 2  # room for further drawings
    repeats: dict[frozenset[bytes], list[Split]] = {}
    for one in seeds:
        splits = grouped_splits(labels, groups, n_splits, int(one))
        repeats.setdefault(frozenset(asked.tobytes() for _, asked in splits), splits)
    return list(repeats.values())


def given_split(split: np.ndarray) -> Split:
    """The rows that a table names `train`, and those it names `test`; others stay out.

    Raises:
        Fault: one of the two has no rows.
    """
    known, asked = (np.flatnonzero(np.char.lower(split) == side) for side in (TRAIN, TEST))
    if not len(known) or not len(asked):
        there = ", ".join(repr(str(word)) for word in np.unique(split))
        raise Fault(f"a split names rows {TRAIN!r} and rows {TEST!r}, got {there}")
    return known, asked


def classes_of_few_groups(labels: np.ndarray, groups: np.ndarray, least: int = 2) -> dict[str, int]:
    """Classes that fewer groups have than `least`, with the number of their groups."""
    n_groups = {str(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    return {label: n for label, n in n_groups.items() if n < least}


def require_two_groups(labels: np.ndarray, groups: np.ndarray) -> None:
    """Raises a `Fault` where a class cannot be learnt in one fold and asked in another."""
    alone = classes_of_few_groups(labels, groups)
    if alone:
        lines = [f"{label}: {int((labels == label).sum())} rows of one group" for label in alone]
        raise Fault(
            "probes learn a class from one group (recording) and ask for it in another, but of these "
            f"classes there is only one:\n{listing(lines)}\n"
            "leave them out by `labels: {least: 2}`, or take no probes into `evaluations`"
        )


def draw_few(
    labels: np.ndarray, known: np.ndarray, n_each: int, n_draws: int, seed: int
) -> Iterator[np.ndarray]:
    """So many of each class, or all of a class that has fewer."""
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        classes = [known[labels[known] == label] for label in np.unique(labels[known])]
        yield np.concatenate([rng.permutation(rows)[:n_each] for rows in classes])
