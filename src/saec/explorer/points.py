"""What the page shows: pictures with what is known of each, and spaces in which they lie."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from saec.evaluation.agreement import purity
from saec.similarity import nearest

N_NEIGHBORS = 12  # of each picture on the page
N_COMPONENTS = 16  # that nearness in a selection is taken in
N_MEDOIDS = 3
NOISE = "-1"


@dataclass(frozen=True)
class Space:
    """One method's features: a 2-D map (n, 2), neighbours (n, k), and rows that nearness is taken in."""

    layout: np.ndarray
    neighbors: np.ndarray
    near: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, layout: np.ndarray) -> "Space":
        """Neighbours are exact, of standardised features; nearness is of their principal components."""
        if len(rows) == 1:
            return cls(layout, np.zeros((1, 0), dtype=int), np.zeros((1, 1)))
        own = np.arange(len(rows))
        neighbors, _ = nearest([rows], [rows], min(N_NEIGHBORS, len(rows) - 1), own)
        scaled = StandardScaler().fit_transform(rows.astype(np.float64))
        n_components = min(N_COMPONENTS, *rows.shape)
        return cls(layout, neighbors, PCA(n_components, random_state=0).fit_transform(scaled))


@dataclass(frozen=True)
class Points:
    """Pictures by name; `columns` are what they can be coloured by, some of them clusters in a space."""

    names: np.ndarray
    spaces: dict[str, Space]
    columns: dict[str, np.ndarray]
    clusters: dict[str, str] = field(default_factory=dict)  # column: the space that was clustered

    def cluster_list(self, column: str) -> list[dict[str, Any]]:
        """Each cluster's size, medoids, commonest label and the share of it: its purity; largest first.

        The medoid is the picture with the least sum of squared distances to the others, which is the one
        nearest to their mean.
        """
        found, near = self.columns[column], self.spaces[self.clusters[column]].near
        labels = self.columns.get("label", np.full(len(found), ""))
        listed = []
        for name in np.unique(found[(found != NOISE) & (found != "")]):
            rows = np.flatnonzero(found == name)
            distances = np.linalg.norm(near[rows] - near[rows].mean(0), axis=1)
            medoids = rows[np.argsort(distances, kind="stable")[:N_MEDOIDS]]
            label, share = purity(labels[rows]) or (None, None)
            facts = {"name": str(name), "size": len(rows), "medoids": medoids.tolist()}
            listed.append(facts | {"label": label, "purity": share})
        return sorted(listed, key=lambda one: (-one["size"], one["name"]))
