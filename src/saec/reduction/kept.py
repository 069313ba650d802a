"""Keeps a fitted map: its scaler, its rows and their positions, among which other rows are placed."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from saec.faults import Fault, MissingFault
from saec.files import DAMAGE, sha256_of
from saec.progress import pieces
from saec.reduction.graph import knn, memberships, neighborhood_graph

LOG = logging.getLogger(__name__)
FIT_ROWS = 50_000  # of more rows so many, drawn by the seed, are fitted, and the others placed among them
AT_ONCE = 5_000  # rows that are placed together, or fewer,
PAIRS = 20_000_000  # as many as have so many pairs of neighbours
FAR = 1e9  # standard deviations, or units of a layout
LAYOUT = "layout_"  # what the names of arrays of positions begin with
Metric = Literal["euclidean", "cosine"]  # by which neighbours are near
EUCLIDEAN, COSINE = get_args(Metric)


@dataclass(frozen=True)
class Map:
    """Holds rows (n, features), standardised by `mean` and `scale`, and `layouts` of them by dimension.

    With the metric `cosine` standardised rows are divided by their lengths: near are those of one direction.
    """

    mean: np.ndarray
    scale: np.ndarray
    rows: np.ndarray
    layouts: dict[int, np.ndarray]
    n_neighbors: int
    metric: Metric = EUCLIDEAN

    @classmethod
    def fit(
        cls,
        pooled: np.ndarray,
        dims: tuple[int, ...],
        n_neighbors: int,
        seed: int,
        metric: Metric = EUCLIDEAN,
    ) -> "Map":
        """Returns a map of (n, features), the same for equal seeds."""
        from saec.reduction.layout import compute_layouts  # seconds to import

        scaler = StandardScaler(copy=False)
        rows = _directed(scaler.fit_transform(pooled.astype(np.float64)).astype(np.float32), metric)
        layouts = compute_layouts(neighborhood_graph(*knn(rows, n_neighbors)), rows, dims, seed)
        return cls(scaler.mean_, scaler.scale_, rows, layouts, n_neighbors, metric)

    @classmethod
    def read(cls, file: Path, sha256: str) -> "Map":
        """Reads what `arrays` gave to an NPZ; nothing is unpickled.

        Raises:
            Fault: the file is not there, or not as it was written.
        """
        require_unchanged(file, sha256)
        try:
            with np.load(file, allow_pickle=False) as npz:
                arrays = dict(npz)
            layouts = {int(name.removeprefix(LAYOUT)): arrays[name] for name in arrays if LAYOUT in name}
            mean, scale, rows = (arrays[name] for name in ("mean", "scale", "rows"))
            metric = COSINE if arrays.get("is_cosine") else EUCLIDEAN
            kept = cls(mean, scale, rows, layouts, int(arrays["n_neighbors"]), metric)
            kept._require_numbers()
        except DAMAGE as error:
            raise Fault(f"{file} cannot be read as a map: {error}") from error
        return kept

    def _require_numbers(self) -> None:
        """Raises a `ValueError` where arrays do not fit together, or hold what a fit cannot give."""
        n, n_features = self.rows.shape
        shapes = {d: layout.shape == (n, d) for d, layout in self.layouts.items()}
        fit = self.mean.shape == self.scale.shape == (n_features,) and all(shapes.values())
        if not fit or not 0 < self.n_neighbors <= n:
            raise ValueError("its arrays do not fit together")
        numbers = (self.rows, *self.layouts.values())
        of_fit = np.isfinite(self.mean).all() and (self.scale > 0).all()
        if not of_fit or not all(map(_are_near, numbers)):
            raise ValueError("its numbers are not those of a map")

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all that it holds, by names for a file."""
        layouts = {f"{LAYOUT}{d}": layout for d, layout in self.layouts.items()}
        numbers = {"mean": self.mean, "scale": self.scale, "rows": self.rows}
        numbers |= {"n_neighbors": np.array(self.n_neighbors), "is_cosine": np.array(self.metric == COSINE)}
        return numbers | layouts

    @cached_property
    def positions(self) -> dict[int, np.ndarray]:
        """Returns the standardised positions of its rows, float32, by dimension."""
        return {d: self._scalers[d].transform(of).astype(np.float32) for d, of in self.layouts.items()}

    @cached_property
    def _scalers(self) -> dict[int, StandardScaler]:
        return {d: StandardScaler().fit(layout) for d, layout in self.layouts.items()}

    def place(self, pooled: np.ndarray) -> dict[int, np.ndarray]:
        """Returns positions of other rows (n, features) among its own, by dimension.

        No position depends on what else is placed, and a row that the map has stays where it is.

        Raises:
            Fault: rows are so far from those of the map that something else must be wrong.
        """
        tree = NearestNeighbors(n_neighbors=self.n_neighbors).fit(self.rows)
        placed = {d: np.empty((len(pooled), d), np.float32) for d in self.layouts}
        size = max(1, min(AT_ONCE, PAIRS // self.n_neighbors**2))
        for piece in pieces(len(pooled), size, "placing"):
            rows = _directed(self._standard(pooled[piece]), self.metric)
            distances, nearest = tree.kneighbors(rows)
            members = memberships(np.pad(distances, ((0, 0), (1, 0))))[:, 1:]
            own = (self.rows[nearest[:, 0]] == rows).all(axis=1)
            for d, layout in self.layouts.items():
                placed[d][piece] = self._scalers[d].transform(_among(layout[nearest], members))
                placed[d][piece][own] = self.positions[d][nearest[own, 0]]
        return placed

    def _standard(self, pooled: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            rows = ((pooled - self.mean) / self.scale).astype(np.float32)
        if not _are_near(rows):
            raise Fault("features are far from all of the map, on which they are to be placed: take another")
        return rows


def _are_near(numbers: np.ndarray) -> bool:
    """Returns whether all are real numbers of a size that standardised ones and positions can have."""
    return numbers.dtype.kind == "f" and -FAR < float(numbers.min()) <= float(numbers.max()) < FAR


def _directed(rows: np.ndarray, metric: Metric) -> np.ndarray:
    """Returns standardised rows (n, features) as the metric compares them: of length 1, or as they are."""
    if metric == EUCLIDEAN:
        return rows
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _among(near: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Returns positions (n, d) among those of the nearest rows (n, k, d), by their memberships (n, k).

    Beside that one of the k to which all of them pull most, by UMAP's curve, and not at their mean: between
    two clusters that are about as near nothing belongs.
    """
    from saec.reduction.layout import curve  # seconds to import

    a, b = curve()
    squares = np.square(near).sum(axis=2)
    squared = squares[:, :, None] + squares[:, None] - 2 * near @ near.transpose(0, 2, 1)  # (n, k, k)
    pulls = 1 / (1 + a * np.maximum(squared, 0) ** b)
    weights = np.square(members)
    most = (pulls * weights[:, None]).sum(axis=2).argmax(axis=1)
    weights = weights * np.square(pulls[np.arange(len(near)), most])
    return np.einsum("nk,nkd->nd", weights / weights.sum(axis=1, keepdims=True), near)


def fitted_and_placed(
    pooled: np.ndarray,
    dims: tuple[int, ...],
    n_neighbors: int,
    seed: int,
    metric: Metric = EUCLIDEAN,
    fit_rows: int = FIT_ROWS,
) -> tuple[Map, dict[int, np.ndarray]]:
    """Returns a map of the rows (n, features), at most of `fit_rows` of them, and the positions of all."""
    if len(pooled) <= fit_rows:
        fitted = Map.fit(pooled, dims, n_neighbors, seed, metric)
        return fitted, fitted.positions
    LOG.info("the map is fitted on %d of %d rows, the others are placed among them", fit_rows, len(pooled))
    drawn = np.sort(np.random.default_rng(seed).choice(len(pooled), fit_rows, replace=False))
    fitted = Map.fit(pooled[drawn], dims, n_neighbors, seed, metric)
    placed = fitted.place(pooled)
    for d, positions in fitted.positions.items():
        placed[d][drawn] = positions
    return fitted, placed


def require_unchanged(file: Path, sha256: str) -> None:
    """Raises a `Fault` where a file is not there, or not as it was written."""
    if not file.is_file():
        raise MissingFault(f"no such file: {file}, which keeps the map: extract those features once more")
    if (digest := sha256_of(file)) != sha256:
        raise Fault(
            f"{file} was altered since it was written (SHA-256 {digest[:12]}..., not {sha256[:12]}...): "
            "put the file back, or extract those features once more with `overwrite: true`"
        )
