"""Folds that keep groups whole, and few labels drawn from them."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from saec.faults import Fault, listing

Split = tuple[np.ndarray, np.ndarray]  # the rows to learn from, the rows to be asked
TRAIN, TEST = "train", "test"


def grouped_splits(labels: np.ndarray, groups: np.ndarray, n_splits: int, seed: int) -> list[Split]:
    """Stratified folds that keep groups whole; fewer where there are fewer groups or rows of a class.

    Raises:
        Fault: all rows are of one group or of one class.
    """
    n_groups, (classes, counts) = len(np.unique(groups)), np.unique(labels, return_counts=True)
    if n_groups < 2 or len(classes) < 2:
        raise Fault(
            f"a probe needs two groups and two classes at least, got {n_groups} and {len(classes)}: name "
            "groups (recordings) and labels in a labels.csv"
        )
    n_splits = max(2, min(n_splits, n_groups, int(counts.min())))
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    return list(folds.split(labels, labels, groups))


def repeated_splits(
    labels: np.ndarray, groups: np.ndarray, n_splits: int, n_repeats: int, seed: int
) -> list[list[Split]]:
    """So many times other folds of the same rows."""
    seeds = np.random.SeedSequence(seed).generate_state(n_repeats)
    return [grouped_splits(labels, groups, n_splits, int(one)) for one in seeds]


def given_split(split: np.ndarray) -> Split:
    """The rows that a table names `train`, and those it names `test`; others stay out.

    Raises:
        Fault: one of the two has no rows.
    """
    known, asked = np.flatnonzero(split == TRAIN), np.flatnonzero(split == TEST)
    if not len(known) or not len(asked):
        there = ", ".join(repr(str(word)) for word in np.unique(split))
        raise Fault(f"a split names rows {TRAIN!r} and rows {TEST!r}, got {there}")
    return known, asked


def alone_in_a_group(labels: np.ndarray, groups: np.ndarray, least: int = 2) -> dict[str, int]:
    """Classes that fewer groups have than `least`, with the number of their groups."""
    n_groups = {str(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    return {label: n for label, n in n_groups.items() if n < least}


def refuse_alone(labels: np.ndarray, groups: np.ndarray) -> None:
    """Raises a `Fault` where a class cannot be learnt in one fold and asked in another."""
    alone = alone_in_a_group(labels, groups)
    if alone:
        lines = [f"{label}: {int((labels == label).sum())} rows of one group" for label in alone]
        raise Fault(
            "probes learn a class from one group (recording) and ask for it in another, but of these "
            f"classes there is only one:\n{listing(lines)}\n"
            "leave them out by `labels: {least: 2}`, or take no probes into `evaluations`"
        )


def few(labels: np.ndarray, known: np.ndarray, n_each: int, n_draws: int, seed: int) -> Iterator[np.ndarray]:
    """So many of each class, or all of a class that has fewer."""
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        classes = [known[labels[known] == label] for label in np.unique(labels[known])]
        yield np.concatenate([rng.permutation(rows)[:n_each] for rows in classes])
