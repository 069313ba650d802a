"""Keeps an index of the rows of a large feature file beside it, so that not all rows need be looked at."""

import hashlib
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from saec.files import DAMAGE, map_npz, require_whole, write_npz
from saec.progress import pieces

LOG = logging.getLogger(__name__)
FROM_ROWS = 100_000  # that an index is made of
PIECE = 20_000  # rows that are read at once
ADDED = 1_000  # rows that are added at once
AT_ONCE = 500  # queries whose candidates are read at once
CANDIDATES = 4  # times as many as are wanted come from the index, and the nearest of them are chosen exactly
LEAST_OLD = 0.5  # of the rows must be in an index that is added to; else another is made
HNSW = {"metric": "l2sq", "dtype": "f16", "connectivity": 16, "expansion_add": 100, "expansion_search": 128}


@dataclass(frozen=True)
class Index:
    """Holds keys (rows,) of the rows of a file, their mean and scale now, and an index of standardised rows.

    `first_mean` and `first_scale` are those of the rows that it was first made of, which stay.
    """

    graph: Any  # usearch.index.Index
    keys: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    first_mean: np.ndarray
    first_scale: np.ndarray

    def nearest(
        self, queries: np.ndarray, rows: np.ndarray, n: int, own: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns indices and distances (queries, n) of the nearest rows, as `search` does.

        None where it does not give so many for each query, as a graph that is only nearly connected may.
        """
        parts, n = [], min(n, len(rows) - (own is not None))
        for some in pieces(len(queries), AT_ONCE, "searching"):
            piece = queries[some]
            near = self.candidates(piece, n + 1)
            apart = (rows[near] - piece[:, None]) / self.scale / np.sqrt(len(self.scale))
            distances = np.sqrt(np.square(apart, dtype=np.float32).sum(axis=2))
            left_out = near < 0 if own is None else (near < 0) | (near == own[some, None])
            distances[left_out] = np.inf
            if (np.isfinite(distances).sum(axis=1) < n).any():
                LOG.info("the index gives fewer than %d rows: all %d are looked at", n, len(rows))
                return None
            order = np.argsort(distances, axis=1, kind="stable")[:, :n]
            parts.append([np.take_along_axis(one, order, 1) for one in (near, distances)])
        indices, distances = (np.concatenate(of) for of in zip(*parts, strict=True))
        return indices, distances

    def fits(self, keys: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> bool:
        """Returns whether most rows of these keys are in it, and standardised much as they would be now."""
        if len(mean) != len(self.mean) or np.isin(keys, self.keys).mean() < LEAST_OLD:
            return False
        times = scale / self.first_scale
        return bool(((times > 0.5) & (times < 2) & (abs(mean - self.first_mean) < self.first_scale)).all())

    def candidates(self, queries: np.ndarray, n: int) -> np.ndarray:
        """Returns rows (queries, candidates) among which the n nearest to each query are, -1 for none."""
        standard = ((queries - self.first_mean) / self.first_scale).astype(np.float32)
        matches = self.graph.search(standard, min(CANDIDATES * n, len(self.keys)))
        near = np.atleast_2d(matches.keys)  # a single query gives one row, without what was not there
        order = np.argsort(self.keys)
        rows = order[np.minimum(np.searchsorted(self.keys, near, sorter=order), len(order) - 1)]
        n_near = np.reshape(np.asarray(getattr(matches, "counts", near.shape[1])), (-1, 1))
        return np.where((self.keys[rows] == near) & (np.arange(near.shape[1]) < n_near), rows, -1)


def index_of(file: Path, rows: np.ndarray) -> Index | None:
    """Returns the index of the rows of a file, made or added to first where it is not as they are now.

    None where they are few, or not those of the file as it maps them, or the package is missing.
    """
    if len(rows) < FROM_ROWS or not isinstance(rows, np.memmap) or len(map_npz(file, "N")) != len(rows):
        return None
    if not find_spec("usearch"):
        LOG.info("all %d rows are looked at: pip install usearch keeps an index of them", len(rows))
        return None
    path, about = file.with_suffix(".index"), file.stat()
    state = np.array([about.st_size, about.st_mtime_ns])
    before, there = _read(path)
    if before and there is not None and np.array_equal(there, state):
        return before
    index = _updated(before, rows)
    arrays = {name: value for name, value in vars(index).items() if name != "graph"}
    arrays |= {"state": state, "graph": np.frombuffer(index.graph.save(), np.uint8)}
    try:
        write_npz(path, **arrays)
    except OSError as error:
        LOG.warning("the index is used once, it cannot be kept: %s", error)
    return index


def _read(path: Path) -> tuple[Index | None, np.ndarray | None]:
    """Returns the index that a file holds, and the state of the rows' file then; None where it is damaged."""
    from usearch.index import Index as Graph

    with suppress(*DAMAGE):
        require_whole(path)  # against its checksums: the package reads whatever it is given
        names = ("keys", "mean", "scale", "first_mean", "first_scale")
        graph = Graph.restore(map_npz(path, "graph"))
        graph.expansion_search = HNSW["expansion_search"]
        *arrays, state = (np.array(map_npz(path, name)) for name in (*names, "state"))  # not mapped any more
        return Index(graph, *arrays), state
    return None, None


def _updated(before: Index | None, rows: np.ndarray) -> Index:
    """Returns an index of the rows: the one before with what is new and without what is gone, or another."""
    from usearch.index import Index as Graph

    keys, scaler = _keys(rows)
    mean, scale = scaler.mean_, scaler.scale_
    if before and before.fits(keys, mean, scale):
        index = Index(before.graph, keys, mean, scale, before.first_mean, before.first_scale)
        index.graph.remove(np.setdiff1d(before.keys, keys))
        new = np.flatnonzero(~np.isin(keys, before.keys))
    else:
        index = Index(Graph(ndim=len(mean), **HNSW), keys, mean, scale, mean, scale)
        new = np.arange(len(rows))
    LOG.info("%d of %d rows are added to the index beside them", len(new), len(rows))
    for some in pieces(len(new), ADDED, "indexing"):
        chosen = new[some]
        standard = (rows[chosen] - index.first_mean) / index.first_scale
        n_threads = 0 if len(index.graph) else 1  # all, but rows that begin a graph must see each other
        index.graph.add(keys[chosen], standard.astype(np.float32), threads=n_threads)
    return index


def _keys(rows: np.ndarray) -> tuple[np.ndarray, StandardScaler]:
    """Returns a number for the content of each row, other ones for its doubles, and mean and scale of all."""
    keys, doubles, scaler = np.empty(len(rows), np.uint64), Counter[bytes](), StandardScaler()
    for some in pieces(len(rows), PIECE, "fingerprints"):
        piece = np.array(rows[some])
        scaler.partial_fit(piece)
        for row, values in enumerate(piece, start=some.start):
            digest = hashlib.blake2b(values.tobytes(), digest_size=8).digest()
            doubles[digest] += 1
            if doubles[digest] > 1:
                digest = hashlib.blake2b(digest + str(doubles[digest]).encode(), digest_size=8).digest()
            keys[row] = int.from_bytes(digest, "little")
    return keys, scaler
