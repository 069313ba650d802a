"""Pooled features to few dimensions by UMAP: what is common to all dimensions is found once."""

from saec.reduction.reduce import MAP, n_neighbors_used, nearest, possible, reduced

__all__ = ["MAP", "n_neighbors_used", "nearest", "possible", "reduced"]
