"""Exact search for the nearest rows, in pieces, so that a million rows need no more memory than a piece."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

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
    scaling = [_mean_and_std(array) for array in arrays]
    scaled = _side_by_side(queries, scaling)
    n_rows = len(arrays[0])
    kept = min(n + (own is not None), n_rows)
    indices = np.zeros((len(scaled), 0), dtype=np.int64)
    distances = np.zeros((len(scaled), 0), dtype=np.float32)
    for start in progress(range(0, n_rows, PIECE), "searching", -(-n_rows // PIECE), " pieces"):
        piece = _side_by_side([array[start : start + PIECE] for array in arrays], scaling)
        tree = NearestNeighbors(n_neighbors=min(kept, len(piece)), algorithm="brute").fit(piece)
        nearest = tree.kneighbors(scaled)
        distances = np.hstack([distances, nearest[0]])
        indices = np.hstack([indices, nearest[1] + start])
        order = np.argsort(distances, axis=1, kind="stable")[:, :kept]
        indices, distances = (np.take_along_axis(one, order, 1) for one in (indices, distances))
    if own is not None:
        others = indices != own[:, None]
        others[others.all(1), -1] = False  # the farthest, where the own row is not among them
        indices, distances = (one[others].reshape(len(one), -1) for one in (indices, distances))
    return indices[:, :n], distances[:, :n]


def _side_by_side(arrays: list[np.ndarray], scaling: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns the scaled features of all arrays, (rows, all features) float32."""
    parts = [
        ((array - mean) / (std * np.sqrt(array.shape[1]))).astype(np.float32)
        for array, (mean, std) in zip(arrays, scaling, strict=True)
    ]
    return np.hstack(parts)


def _mean_and_std(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns means and standard deviations (1 where a feature is constant) of the columns, in pieces."""
    pieces = range(0, len(array), PIECE)
    mean = sum(array[at : at + PIECE].sum(0, dtype=np.float64) for at in pieces) / len(array)
    squares = sum(np.square(array[at : at + PIECE] - mean).sum(0) for at in pieces)
    std = np.sqrt(squares / len(array))
    return mean, np.where(std > 0, std, 1)
