"""Pooled features to few dimensions by UMAP: what is common to all dimensions is found once."""

from saec.reduction.reduce import MAP, knn, n_neighbors_used, possible_dims, reduce_dims

__all__ = ["MAP", "n_neighbors_used", "knn", "possible_dims", "reduce_dims"]
