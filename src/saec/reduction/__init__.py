"""Reduction of pooled features to few dimensions by UMAP: neighbours are searched once for all dimensions."""

from saec.reduction.reduce import MAP, knn, n_neighbors_used, possible_dims, reduce_dims

__all__ = ["MAP", "knn", "n_neighbors_used", "possible_dims", "reduce_dims"]
