"""Nearest rows to rows: exact, piece by piece, so that a million rows need no more memory than a piece."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from saec.faults import Fault
from saec.progress import progress

PIECE = 20_000  # rows that are looked through at once


def search(
    queries: list[np.ndarray], arrays: list[np.ndarray], n: int, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and Euclidean distances, each (queries, n), of the nearest rows, the nearest first.

    `arrays` are feature files of the same pictures, (rows, features) each, and `queries` the same features
    of what is looked for. Columns are standardised and each file weighs the same, whatever its number of
    features. `own` (queries,) names the row that a query is itself, which is then not found.

    Raises:
        Fault: the numbers of rows or of features do not agree.
    """
    _refuse_other_shapes(queries, arrays)
    scaling = [_scale(array) for array in arrays]
    asked = _joined(queries, scaling)
    n_rows = len(arrays[0])
    kept = min(n + (own is not None), n_rows)
    indices = np.zeros((len(asked), 0), dtype=np.int64)
    distances = np.zeros((len(asked), 0), dtype=np.float32)
    for start in progress(range(0, n_rows, PIECE), "searching", -(-n_rows // PIECE), " pieces"):
        piece = _joined([array[start : start + PIECE] for array in arrays], scaling)
        search = NearestNeighbors(n_neighbors=min(kept, len(piece)), algorithm="brute").fit(piece)
        there, at = search.kneighbors(asked)
        indices, distances = np.hstack([indices, at + start]), np.hstack([distances, there])
        order = np.argsort(distances, axis=1, kind="stable")[:, :kept]
        indices, distances = (np.take_along_axis(found, order, 1) for found in (indices, distances))
    return (indices[:, :n], distances[:, :n]) if own is None else _without(indices, distances, own, n)


def _without(
    indices: np.ndarray, distances: np.ndarray, own: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out each query's own row, or the last one where it is not among those found."""
    others = indices != own[:, None]
    others[others.all(1), -1] = False
    shape = (len(indices), -1)
    return indices[others].reshape(shape)[:, :n], distances[others].reshape(shape)[:, :n]


def _joined(
    arrays: list[np.ndarray], scaling: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:  # (rows, all features)
    parts = [
        ((array - mean) / (std * np.sqrt(array.shape[1]))).astype(np.float32)
        for array, (mean, std) in zip(arrays, scaling, strict=True)
    ]
    return np.hstack(parts)


def _scale(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations (1 where a feature is constant) of the columns, by pieces."""
    pieces = range(0, len(array), PIECE)
    mean = sum(array[at : at + PIECE].sum(0, dtype=np.float64) for at in pieces) / len(array)
    squares = sum(np.square(array[at : at + PIECE] - mean).sum(0) for at in pieces)
    std = np.sqrt(squares / len(array))
    return mean, np.where(std > 0, std, 1)


def _refuse_other_shapes(queries: list[np.ndarray], arrays: list[np.ndarray]) -> None:
    if len({len(array) for array in arrays}) > 1:
        raise Fault(f"feature files of the same pictures are needed, got {[len(a) for a in arrays]} rows")
    asked, there = ([array.shape[1] for array in many] for many in (queries, arrays))
    if asked != there:
        raise Fault(f"what is looked for has {asked} features, the files have {there}: use the same run")
