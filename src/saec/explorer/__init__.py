"""A page to explore pictures by their features: one file, no network, no server."""

from saec.explorer.page import write_explorer
from saec.explorer.points import Points, Space

__all__ = ["Points", "Space", "write_explorer"]
