"""Pooled features to few dimensions: StandardScaler, UMAP, StandardScaler."""

import numpy as np
from scipy.sparse import coo_array, csr_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

MAP = 2  # dimensions of X_2D


def possible_dims(dims: tuple[int, ...], n_rows: int) -> tuple[int, ...]:
    """The dimensions that so many rows allow: d needs max(4, d + 2) of them."""
    return tuple(d for d in dims if n_rows >= max(4, d + 2))


def n_neighbors_used(asked: int, n_rows: int) -> int:
    return min(asked, n_rows - 1)


def reduce_dims(
    pooled: np.ndarray, dims: tuple[int, ...], n_neighbors: int, seed: int
) -> dict[int, np.ndarray]:
    """Standardised UMAP reductions of (n, features), float32, by dimension; the same seed gives the same."""
    from saec.reduction.layout import laid_out  # seconds to import

    scaled = StandardScaler().fit_transform(pooled.astype(np.float64)).astype(np.float32)
    graph = neighborhood_graph(*knn(scaled, n_neighbors, seed))
    layouts = laid_out(graph, scaled, dims, seed)
    return {d: StandardScaler().fit_transform(layouts[d]).astype(np.float32) for d in dims}


BISECTIONS = 64
CLOSE_ENOUGH = 1e-5  # of the sum of a row's memberships
LEAST_WIDTH = 1e-3  # of the mean distance


def neighborhood_graph(indices: np.ndarray, distances: np.ndarray) -> csr_matrix:
    """Symmetric memberships in (0, 1] of neighbours, from what `knn` gives.

    The same as `fuzzy_simplicial_set` of umap-learn, which each process compiles anew for some seconds.
    """
    n, n_neighbors = indices.shape
    beyond = distances - _first_positive(distances)[:, None]  # the nearest one is a full member
    beyond[:, 0] = 0
    strengths = np.exp(-np.maximum(beyond, 0) / _widths(beyond, distances)[:, None])
    strengths[:, 0] = 0  # nobody is a neighbour of itself
    places = (np.repeat(np.arange(n, dtype=np.int32), n_neighbors), indices.ravel())
    one_way = csr_matrix(coo_array((strengths.ravel().astype(np.float32), places), shape=(n, n)))
    one_way.eliminate_zeros()
    back = one_way.T.tocsr()
    return one_way + back - one_way.multiply(back)


def _first_positive(distances: np.ndarray) -> np.ndarray:
    """Of each row, sorted; 0 where there is none."""
    positive = distances > 0
    return np.where(positive.any(axis=1), distances[np.arange(len(distances)), positive.argmax(axis=1)], 0)


def _widths(beyond: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """By bisection, the widths at which the memberships of each row sum up to log2(number of neighbours)."""
    target = np.log2(distances.shape[1])
    others = np.maximum(beyond[:, 1:], 0).astype(np.float64)
    low, high, width = np.zeros(len(others)), np.full(len(others), np.inf), np.ones(len(others))
    for _ in range(BISECTIONS):
        excess = np.exp(-others / width[:, None]).sum(axis=1) - target
        unsettled = np.abs(excess) >= CLOSE_ENOUGH
        if not unsettled.any():
            break
        high = np.where(unsettled & (excess > 0), width, high)
        low = np.where(unsettled & (excess <= 0), width, low)
        between = np.where(np.isinf(high), 2 * width, (low + high) / 2)
        width = np.where(unsettled, between, width)
    own_mean = distances.mean(axis=1)
    return np.maximum(width, LEAST_WIDTH * np.where(own_mean > 0, own_mean, distances.mean()))


EXACT_UP_TO = 50_000  # rows; NN-descent, used above it, takes as long to compile as this many take here


def knn(rows: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances (n rows, n) of the nearest neighbours: each row is its own first."""
    if len(rows) > EXACT_UP_TO:
        from pynndescent import NNDescent  # half a minute to compile, in each process

        indices, distances = NNDescent(rows, n_neighbors=n, random_state=seed).neighbor_graph
    else:
        distances, indices = NearestNeighbors(n_neighbors=n).fit(rows).kneighbors()
        distances, indices = distances[:, : n - 1], indices[:, : n - 1]
        own = np.arange(len(rows))[:, None]
        indices, distances = np.hstack([own, indices]), np.hstack([np.zeros_like(own), distances])
    return indices.astype(np.int32), distances.astype(np.float32)
