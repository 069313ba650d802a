"""Rows of samples become rows of recordings: the mean over the samples of each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from saec.data.labels import recording_of
from saec.tables import Table, n_constant


def per_recording(table: Table) -> Table:
    """Means over the samples of each recording; a label where all of them have the same."""
    names, rows = means_per_recording(table.names, table.rows)
    labels = None if table.labels is None else _agreed(table.names, table.labels)
    known = {"rows": rows, "names": names, "labels": labels, "layout": None, "facts": {}}
    return replace(table, **known, n_constant=n_constant(replace(table, rows=rows)))


def means_per_recording(names: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recordings, sorted, and (recordings, features) float32: means over the rows of each."""
    recordings, means = means_by(_recordings(names), rows)
    return recordings, means.astype(np.float32)


def means_by(keys: Sequence[str] | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys, sorted and each once, and (keys, columns): means over the rows (n, columns) of each."""
    names, of = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, of, rows)
    return names, sums / np.bincount(of)[:, None]


def _agreed(names: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label that all samples of a recording have, "" where they differ; recordings are sorted."""
    _, first, of = np.unique(_recordings(names), return_index=True, return_inverse=True)
    firsts = labels[first]
    odd = np.unique(of[labels != firsts[of]])
    firsts[odd] = ""
    return firsts


def _recordings(names: np.ndarray) -> list[str]:
    return [recording_of(name) for name in names.tolist()]
