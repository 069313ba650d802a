"""Nearest neighbours: exact, and approximate where there are very many rows."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

EXACT_UP_TO = 50_000  # rows; NN-descent, used above it, takes as long to compile as this many take here


def nearest(rows: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
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
