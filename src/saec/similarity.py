"""Finds the nearest rows exactly, in pieces, so that a million rows need no more memory than one piece."""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from saec.faults import Fault
from saec.progress import progress

PIECE = 20_000  # rows that are searched at once


def search(
    queries: list[np.ndarray], arrays: list[np.ndarray], n: int, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices and Euclidean distances, each (queries, n), of the nearest rows, the nearest first.

    `arrays` are feature files of the same samples, (rows, features) each, and `queries` the same features
    of the samples to search for. Columns are standardised and each file weighs the same, whatever its number
    of features. `own` (queries,) are the rows that the queries themselves are, which are left out.

    Raises:
        Fault: the numbers of rows or of features do not agree.
    """
    if len({len(array) for array in arrays}) > 1:
        raise Fault(f"feature files of the same samples are needed, got {[len(a) for a in arrays]} rows")
    n_query, n_array = ([array.shape[1] for array in many] for many in (queries, arrays))
    if n_query != n_array:
        raise Fault(f"the query has {n_query} features, the files have {n_array}: use the same run")
    starts = range(0, len(arrays[0]), PIECE)
    scalers = [StandardScaler() for _ in arrays]
    for array, scaler in zip(arrays, scalers, strict=True):
        for start in starts:
            scaler.partial_fit(array[start : start + PIECE])

    def scaled(parts: list[np.ndarray]) -> np.ndarray:  # (rows, all features)
        pairs = zip(scalers, parts, strict=True)
        return np.hstack(
            [(one.transform(part) / np.sqrt(part.shape[1])).astype(np.float32) for one, part in pairs]
        )

    wanted, kept = scaled(queries), min(n + (own is not None), len(arrays[0]))
    indices, distances = np.zeros((len(wanted), 0), dtype=np.int64), np.zeros((len(wanted), 0), np.float32)
    for start in progress(starts, "searching", len(starts), " pieces"):
        piece = scaled([array[start : start + PIECE] for array in arrays])
        tree = NearestNeighbors(n_neighbors=min(kept, len(piece)), algorithm="brute").fit(piece)
        nearest = tree.kneighbors(wanted)
        distances, indices = np.hstack([distances, nearest[0]]), np.hstack([indices, nearest[1] + start])
        order = np.argsort(distances, axis=1, kind="stable")[:, :kept]
        indices, distances = (np.take_along_axis(one, order, 1) for one in (indices, distances))
    if own is not None:
        others = indices != own[:, None]
        others[others.all(1), -1] = False  # the farthest, where the own row is not among them
        indices, distances = (one[others].reshape(len(one), -1) for one in (indices, distances))
    return indices[:, :n], distances[:, :n]
