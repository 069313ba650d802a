"""Pooled features to few dimensions: StandardScaler, UMAP, StandardScaler; neighbours are found once."""

import warnings

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from saec.progress import progress

MAP = 2  # dimensions of X_2D
EXACT_UP_TO = 20_000  # rows; above it neighbours are found by NN-descent


def possible(dims: tuple[int, ...], n_rows: int) -> tuple[int, ...]:
    """The dimensions that so many rows allow: d needs max(4, d + 2) of them."""
    return tuple(d for d in dims if n_rows >= max(4, d + 2))


def n_neighbors_used(asked: int, n_rows: int) -> int:
    return min(asked, n_rows - 1)


def reduced(pooled: np.ndarray, dims: tuple[int, ...], n_neighbors: int, seed: int) -> dict[int, np.ndarray]:
    """Standardised UMAP reductions of (n, features), float32, by dimension; seeded, so with one thread."""
    from umap import UMAP  # seconds to import

    scaled = StandardScaler().fit_transform(pooled.astype(np.float64)).astype(np.float32)
    neighbors = nearest(scaled, n_neighbors, seed)
    results = {}
    for d in progress(dims, "UMAP", len(dims), " reductions"):
        umap = UMAP(
            n_neighbors=n_neighbors,
            n_components=d,
            metric="euclidean",
            random_state=seed,
            n_jobs=1,
            precomputed_knn=neighbors,
            init="spectral" if len(scaled) > d + 2 else "random",
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(n_jobs|precomputed_knn|transform).*", module="umap")
            embedded = umap.fit_transform(scaled)
        results[d] = StandardScaler().fit_transform(embedded).astype(np.float32)
    return results


def nearest(rows: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Indices and distances (n rows, n) of the nearest neighbours for UMAP: each row is its own first."""
    if len(rows) > EXACT_UP_TO:
        from pynndescent import NNDescent

        indices, distances = NNDescent(rows, n_neighbors=n, random_state=seed).neighbor_graph
    else:
        distances, indices = NearestNeighbors(n_neighbors=n).fit(rows).kneighbors()
        distances, indices = distances[:, : n - 1], indices[:, : n - 1]
        own = np.arange(len(rows))[:, None]
        indices, distances = np.hstack([own, indices]), np.hstack([np.zeros_like(own), distances])
    return indices.astype(np.int32), distances.astype(np.float32), None
