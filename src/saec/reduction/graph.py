"""The fuzzy neighbourhood graph of UMAP (McInnes, Healy, Melville 2018, section 3.1)."""

import numpy as np
from scipy.sparse import coo_array, csr_matrix

BISECTIONS = 64
CLOSE_ENOUGH = 1e-5  # of the sum of a row's memberships
LEAST_WIDTH = 1e-3  # of the mean distance


def neighborhood_graph(indices: np.ndarray, distances: np.ndarray) -> csr_matrix:
    """Symmetric memberships in (0, 1] of neighbours, from what `nearest` gives.

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
