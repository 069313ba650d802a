"""The explorer: one HTML file to look through samples by their features, clusters and pictures."""

from saec.explorer.page import Points, Space, write_explorer

__all__ = ["Points", "Space", "write_explorer"]
