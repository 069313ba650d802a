"""Registers kinds of data by the names that sessions use, and the views that make training pairs."""

from saec.data.batch import Batch, Dataset, Raw, chunks
from saec.data.draws import Draws, seed_of
from saec.data.kind import DATA, Kind, Sizes
from saec.data.loader import Loader
from saec.data.store import Cache
from saec.data.views import VIEWS
from saec.registry import import_submodules

__all__ = ["DATA", "VIEWS", "Batch", "Dataset", "Draws", "Kind", "Loader", "Raw", "Sizes"]

import_submodules(__name__, __path__)
