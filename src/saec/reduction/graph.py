"""Makes the neighbourhood graph that UMAP lays out, from exact neighbours."""

import numpy as np
from scipy.sparse import coo_array, csr_matrix
from sklearn.neighbors import NearestNeighbors

BISECTIONS = 64
TOLERANCE = 1e-5  # of the sum of a row's memberships
LEAST_WIDTH = 1e-3  # of the mean distance


def knn(rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices and distances (rows, n) of the nearest neighbours; each row is its own first one."""
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
    strengths = memberships(distances)
    strengths[:, 0] = 0  # no row is a neighbour of itself
    entries = (np.repeat(np.arange(n, dtype=np.int32), n_neighbors), indices.ravel())
    one_way = csr_matrix(coo_array((strengths.ravel().astype(np.float32), entries), shape=(n, n)))
    one_way.eliminate_zeros()
    back = one_way.T.tocsr()
    return one_way + back - one_way.multiply(back)


def memberships(distances: np.ndarray) -> np.ndarray:
    """Returns memberships (rows, n) in [0, 1] of neighbours, of which each row is its own first one."""
    positive = distances > 0
    first = np.where(positive.any(axis=1), distances[np.arange(len(distances)), positive.argmax(axis=1)], 0)
    excess = np.maximum(distances - first[:, None], 0)  # the nearest other row is a full member
    return np.exp(-excess / _widths(excess, distances)[:, None])


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
