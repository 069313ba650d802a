"""Computes layouts of UMAP by gradient descent on the neighbourhood graph, all dimensions at once."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit
from scipy.sparse import csr_matrix

from saec.progress import progress

SPREAD, MIN_DIST = 1.0, 0.1  # of umap-learn, as are the numbers that follow
SIDE = 10.0  # of the cube that a layout starts in
NOISE = 1e-4
N_NEGATIVE = 5  # rows that a row is pushed away from each time it is pulled
LARGEST_STEP = np.float32(4)  # along one axis, before the rate
EPSILON = np.float32(1e-3)
ONE, TWO = np.float32(1), np.float32(2)

Pulls = tuple[np.ndarray, np.ndarray, np.ndarray]  # heads, tails (pulls,), negatives (pulls, N_NEGATIVE)


def compute_layouts(
    graph: csr_matrix, rows: np.ndarray, dims: tuple[int, ...], seed: int
) -> dict[int, np.ndarray]:
    """Returns embeddings (n, d), float32, by dimension d; none depends on which other dimensions there are.

    All layouts take an epoch at the same time, each in a thread of its own; the number of threads changes
    nothing.
    """
    n_epochs = 500 if len(rows) <= 10_000 else 200
    graph.data[graph.data < graph.data.max() / n_epochs] = 0  # too weak to be pulled once
    graph.eliminate_zeros()
    layouts = {d: _initial(graph, rows, d, np.random.RandomState(seed)) for d in sorted(dims, reverse=True)}
    with ThreadPoolExecutor(min(len(layouts), os.cpu_count() or 1)) as pool:
        epochs = _epochs(graph, n_epochs, seed)
        for epoch, pulls in enumerate(progress(epochs, "UMAP", n_epochs, " epochs")):
            rate = np.float32(1 - epoch / n_epochs)
            moving = [pool.submit(_move, layout, *pulls, *curve(), rate) for layout in layouts.values()]
            for done in moving:
                done.result()
    return layouts


@cache
def curve() -> tuple[np.float32, np.float32]:
    """Returns a and b of the pull 1 / (1 + a distance^2b) between two rows of a layout."""
    from umap.umap_ import find_ab_params  # seconds to import

    a, b = find_ab_params(SPREAD, MIN_DIST)
    return np.float32(a), np.float32(b)


def _initial(graph: csr_matrix, rows: np.ndarray, d: int, random: np.random.RandomState) -> np.ndarray:
    """Returns the graph's spectral layout, with a little noise, in a cube; a random one of too few rows."""
    from umap.spectral import spectral_layout

    if len(rows) > d + 2:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Graph is not fully connected")  # its parts get positions apart
            layout = spectral_layout(rows, graph, d, random)
        layout = SIDE * layout / np.abs(layout).max()
        layout = layout + random.normal(scale=NOISE, size=layout.shape)
    else:
        layout = random.uniform(-SIDE, SIDE, (len(rows), d))
    low, extent = layout.min(axis=0), np.ptp(layout, axis=0)
    return np.ascontiguousarray(SIDE * (layout - low) / np.where(extent > 0, extent, 1), np.float32)


def _epochs(graph: csr_matrix, n_epochs: int, seed: int) -> Iterator[Pulls]:
    """Yields the edges that pull in each epoch: the strongest in all, others in proportion to strength."""
    edges = graph.tocoo()
    heads, tails = edges.row.astype(np.int32), edges.col.astype(np.int32)
    share = (edges.data / edges.data.max()).astype(np.float64)
    for epoch in range(n_epochs):
        due = np.flatnonzero(np.floor((epoch + 1) * share) > np.floor(epoch * share))
        random = np.random.default_rng([seed, epoch])
        negatives = random.integers(0, graph.shape[0], (len(due), N_NEGATIVE), dtype=np.int32)
        yield heads[due], tails[due], negatives


@njit(nogil=True, fastmath=True, cache=True)
def _move(
    rows: np.ndarray,
    heads: np.ndarray,
    tails: np.ndarray,
    negatives: np.ndarray,
    a: np.float32,
    b: np.float32,
    rate: np.float32,
) -> None:
    """Moves rows (n, d) in place along the gradient of umap-learn's loss, pull by pull and push by push.

    Computing all pushes of a pull from one position is 1.6 times as fast, but leaves distant parts of a small
    graph less far apart.
    """
    n_axes = rows.shape[1]
    for pull in range(len(heads)):
        head, tail = rows[heads[pull]], rows[tails[pull]]
        squared = _squared_distance(head, tail)
        if squared > 0:
            power = squared**b
            strength = -TWO * a * b * power / (squared * (ONE + a * power))
            for axis in range(n_axes):
                step = _clipped(strength * (head[axis] - tail[axis])) * rate
                head[axis] += step
                tail[axis] -= step
        for negative in negatives[pull]:
            other = rows[negative]
            squared = _squared_distance(head, other)
            strength = TWO * b / ((EPSILON + squared) * (ONE + a * squared**b))
            for axis in range(n_axes):
                head[axis] += _clipped(strength * (head[axis] - other[axis])) * rate


@njit(nogil=True, fastmath=True, cache=True)
def _squared_distance(one: np.ndarray, other: np.ndarray) -> np.float32:
    total = np.float32(0)
    for axis in range(len(one)):
        total += (one[axis] - other[axis]) * (one[axis] - other[axis])
    return total


@njit(nogil=True, fastmath=True, cache=True)
def _clipped(step: np.float32) -> np.float32:
    return min(max(step, -LARGEST_STEP), LARGEST_STEP)
