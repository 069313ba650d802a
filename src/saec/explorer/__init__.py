"""A page to explore pictures by their features: one file, no network, no server."""

from saec.explorer.page import Points, Space, write_explorer

__all__ = ["Points", "Space", "write_explorer"]
