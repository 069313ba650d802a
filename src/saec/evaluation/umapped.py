"""Rows are reduced by umap-learn before they are clustered, where that is asked for."""

import warnings
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt
from sklearn.preprocessing import StandardScaler

from saec.registry import Strict

LEAST = 5  # rows; fewer are clustered as they are


class Umap(Strict):
    """Rows are reduced before they are clustered, by umap-learn."""

    dims: PositiveInt = 2
    n_neighbors: Annotated[int, Field(ge=2)] = 10
    min_dist: Annotated[float, Field(ge=0)] = 0.1
    scale: bool = True


def umapped(rows: np.ndarray, asked: Umap | None, seed: int) -> np.ndarray:
    if asked is None or len(rows) < LEAST:
        return rows
    from umap import UMAP  # seconds to import

    scaled = StandardScaler().fit_transform(rows.astype(np.float64)) if asked.scale else rows
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # few rows: another start, one thread because of the seed
        return UMAP(
            n_components=max(1, min(asked.dims, len(rows) - 3)),
            n_neighbors=max(2, min(asked.n_neighbors, len(rows) - 1)),
            min_dist=asked.min_dist,
            random_state=seed,
            n_jobs=1,
        ).fit_transform(scaled)
