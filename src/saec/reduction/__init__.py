"""Reduces pooled features to few dimensions (scaled, UMAP, scaled), and finds the nearest rows exactly."""

import numpy as np
from scipy.sparse import coo_array, csr_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from saec.faults import Fault
from saec.progress import progress

PIECE = 20_000  # rows that are searched at once, so that a million need no more memory
MAP = 2  # dimensions of X_2D
EXACT_UP_TO = 50_000  # rows; NN-descent, used above it, takes as long to compile as this many take here
BISECTIONS = 64
TOLERANCE = 1e-5  # of the sum of a row's memberships
LEAST_WIDTH = 1e-3  # of the mean distance


def possible_dims(dims: tuple[int, ...], n_rows: int) -> tuple[int, ...]:
    """Returns the dimensions that so many rows allow: d needs max(4, d + 2) of them."""
    return tuple(d for d in dims if n_rows >= max(4, d + 2))


def n_neighbors_used(n_neighbors: int, n_rows: int) -> int:
    """Returns the number of neighbours, at most all other rows."""
    return min(n_neighbors, n_rows - 1)


def reduce_dims(
    pooled: np.ndarray, dims: tuple[int, ...], n_neighbors: int, seed: int
) -> dict[int, np.ndarray]:
    """Returns standardised UMAP reductions of (n, features), float32, by dimension, equal for equal seeds."""
    from saec.reduction.layout import compute_layouts  # seconds to import

    scaled = StandardScaler(copy=False).fit_transform(pooled.astype(np.float64)).astype(np.float32)
    graph = neighborhood_graph(*knn(scaled, n_neighbors, seed))
    layouts = compute_layouts(graph, scaled, dims, seed)
    return {d: StandardScaler().fit_transform(layouts[d]).astype(np.float32) for d in dims}


def knn(rows: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices and distances (rows, n) of the nearest neighbours; each row is its own first one."""
    if len(rows) > EXACT_UP_TO:
        from pynndescent import NNDescent  # half a minute to compile, in each process

        indices, distances = NNDescent(rows, n_neighbors=n, random_state=seed).neighbor_graph
    else:
        distances, indices = NearestNeighbors(n_neighbors=n).fit(rows).kneighbors()
        distances, indices = distances[:, : n - 1], indices[:, : n - 1]
        own = np.arange(len(rows))[:, None]
        indices, distances = np.hstack([own, indices]), np.hstack([np.zeros_like(own), distances])
    return indices.astype(np.int32), distances.astype(np.float32)


def neighborhood_graph(indices: np.ndarray, distances: np.ndarray) -> csr_matrix:
    """Returns symmetric memberships in (0, 1] of neighbours, from what `knn` returns.

    The same as `fuzzy_simplicial_set` of umap-learn, which each process compiles anew for some seconds.
    """
    n, n_neighbors = indices.shape
    positive = distances > 0
    first = np.where(positive.any(axis=1), distances[np.arange(n), positive.argmax(axis=1)], 0)
    excess = np.maximum(distances - first[:, None], 0)  # the nearest other row is a full member
    strengths = np.exp(-excess / _widths(excess, distances)[:, None])
    strengths[:, 0] = 0  # no row is a neighbour of itself
    entries = (np.repeat(np.arange(n, dtype=np.int32), n_neighbors), indices.ravel())
    one_way = csr_matrix(coo_array((strengths.ravel().astype(np.float32), entries), shape=(n, n)))
    one_way.eliminate_zeros()
    back = one_way.T.tocsr()
    return one_way + back - one_way.multiply(back)


def _widths(excess: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Returns the widths at which each row's memberships sum up to log2(n_neighbors), by bisection."""
    target = np.log2(distances.shape[1])
    others = excess[:, 1:].astype(np.float64)
    low, high, width = np.zeros(len(others)), np.full(len(others), np.inf), np.ones(len(others))
    for _ in range(BISECTIONS):
        difference = np.exp(-others / width[:, None]).sum(axis=1) - target
        open_rows = np.abs(difference) >= TOLERANCE
        if not open_rows.any():
            break
        high = np.where(open_rows & (difference > 0), width, high)
        low = np.where(open_rows & (difference <= 0), width, low)
        middle = np.where(np.isinf(high), 2 * width, (low + high) / 2)
        width = np.where(open_rows, middle, width)
    own_mean = distances.mean(axis=1)
    return np.maximum(width, LEAST_WIDTH * np.where(own_mean > 0, own_mean, distances.mean()))


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
        equal = (scaler.transform(part) / np.sqrt(part.shape[1]) for scaler, part in pairs)
        return np.hstack([rows.astype(np.float32) for rows in equal])

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
