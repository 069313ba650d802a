"""Reduces pooled features to few dimensions (scaled, UMAP, scaled), and finds the nearest rows."""

from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from saec.faults import Fault
from saec.progress import pieces
from saec.reduction.index import index_of
from saec.reduction.kept import EUCLIDEAN, Metric, fitted_and_placed

PIECE = 20_000  # rows that are searched at once, so that a million need no more memory
MAP = 2  # dimensions of X_2D


def possible_dims(dims: tuple[int, ...], n_rows: int) -> tuple[int, ...]:
    """Returns the dimensions that so many rows allow: d needs max(4, d + 2) of them."""
    return tuple(d for d in dims if n_rows >= max(4, d + 2))


def n_neighbors_used(n_neighbors: int, n_rows: int) -> int:
    """Returns the number of neighbours, at most all other rows."""
    return min(n_neighbors, n_rows - 1)


def reduce_dims(
    pooled: np.ndarray, dims: tuple[int, ...], n_neighbors: int, seed: int, metric: Metric = EUCLIDEAN
) -> dict[int, np.ndarray]:
    """Returns standardised UMAP reductions of (n, features), float32, by dimension, equal for equal seeds."""
    return fitted_and_placed(pooled, dims, n_neighbors, seed, metric)[1]


def search(
    queries: list[np.ndarray],
    arrays: list[np.ndarray],
    n: int,
    own: np.ndarray | None = None,
    file: Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices and Euclidean distances, each (queries, n), of the nearest rows, the nearest first.

    `arrays` are feature files of the same samples, (rows, features) each, and `queries` the same features
    of the samples to search for. Columns are standardised and each file weighs the same, whatever its number
    of features. `own` (queries,) are the rows that the queries themselves are, which are left out. `file` is
    that of the only array: of many rows, an index is kept beside it.

    Raises:
        Fault: the numbers of rows or of features do not agree.
    """
    if len({len(array) for array in arrays}) > 1:
        raise Fault(f"feature files of the same samples are needed, got {[len(a) for a in arrays]} rows")
    n_query, n_array = ([array.shape[1] for array in many] for many in (queries, arrays))
    if n_query != n_array:
        raise Fault(f"the query has {n_query} features, the files have {n_array}: use the same run")
    index = index_of(file, arrays[0]) if file else None
    if index and (near := index.nearest(queries[0], arrays[0], n, own)):
        return near
    scalers = [StandardScaler() for _ in arrays]
    for array, scaler in zip(arrays, scalers, strict=True):
        for rows in pieces(len(array), PIECE, "standardising"):
            scaler.partial_fit(array[rows])

    def scaled(parts: list[np.ndarray]) -> np.ndarray:  # (rows, all features)
        pairs = zip(scalers, parts, strict=True)
        equal = (scaler.transform(part) / np.sqrt(part.shape[1]) for scaler, part in pairs)
        return np.hstack([rows.astype(np.float32) for rows in equal])

    wanted, kept = scaled(queries), min(n + (own is not None), len(arrays[0]))
    indices: np.ndarray = np.zeros((len(wanted), 0), dtype=np.int64)
    distances: np.ndarray = np.zeros((len(wanted), 0), np.float32)
    for rows in pieces(len(arrays[0]), PIECE, "searching"):
        piece = scaled([array[rows] for array in arrays])
        tree = NearestNeighbors(n_neighbors=min(kept, len(piece)), algorithm="brute").fit(piece)
        nearest = tree.kneighbors(wanted)
        distances, indices = np.hstack([distances, nearest[0]]), np.hstack([indices, nearest[1] + rows.start])
        order = np.argsort(distances, axis=1, kind="stable")[:, :kept]
        indices, distances = (np.take_along_axis(one, order, 1) for one in (indices, distances))
    if own is not None:
        others = indices != own[:, None]
        others[others.all(1), -1] = False  # the farthest, where the own row is not among them
        indices, distances = (one[others].reshape(len(one), -1) for one in (indices, distances))
    return indices[:, :n], distances[:, :n]
