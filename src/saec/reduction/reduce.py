"""Pooled features to few dimensions: StandardScaler, UMAP, StandardScaler."""

import numpy as np
from sklearn.preprocessing import StandardScaler

from saec.reduction.graph import neighborhood_graph
from saec.reduction.neighbors import nearest

MAP = 2  # dimensions of X_2D


def possible(dims: tuple[int, ...], n_rows: int) -> tuple[int, ...]:
    """The dimensions that so many rows allow: d needs max(4, d + 2) of them."""
    return tuple(d for d in dims if n_rows >= max(4, d + 2))


def n_neighbors_used(asked: int, n_rows: int) -> int:
    return min(asked, n_rows - 1)


def reduced(pooled: np.ndarray, dims: tuple[int, ...], n_neighbors: int, seed: int) -> dict[int, np.ndarray]:
    """Standardised UMAP reductions of (n, features), float32, by dimension; the same seed gives the same."""
    from saec.reduction.layout import laid_out  # seconds to import

    scaled = StandardScaler().fit_transform(pooled.astype(np.float64)).astype(np.float32)
    graph = neighborhood_graph(*nearest(scaled, n_neighbors, seed))
    layouts = laid_out(graph, scaled, dims, seed)
    return {d: StandardScaler().fit_transform(layouts[d]).astype(np.float32) for d in dims}
