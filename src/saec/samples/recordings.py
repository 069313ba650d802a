"""Rows of samples become one a recording: means of numbers, and what all samples of it say alike."""

from collections.abc import Sequence

import numpy as np

from saec.samples.table import Samples, recording_of


def per_recording(samples: Samples) -> Samples:
    """Returns one sample a recording: label, group, split and the rest where all its samples agree."""
    recordings, first, of = np.unique(
        [recording_of(name) for name in samples.names.tolist()], return_index=True, return_inverse=True
    )
    columns = {}
    for column in ("label", "group", "split", *samples.others):
        values = samples.table[column].to_numpy()
        agreed = values[first]
        agreed[np.unique(of[values != agreed[of]])] = "" if agreed.dtype == object else np.nan
        columns[column] = agreed
    return Samples.of(recordings.tolist(), **columns)


def means_per_recording(names: Sequence[str] | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the recordings of samples, sorted, and (recordings, columns) float32: means over the rows."""
    recordings, means = means_by([recording_of(str(name)) for name in names], rows)
    return recordings, means.astype(np.float32)


def means_by(keys: Sequence[str] | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys, sorted and each once, and (keys, columns): means of the rows (n, columns) of each."""
    names, of = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, of, rows)
    return names, sums / np.bincount(of)[:, None]
