"""Kinds of data, by the names that sessions use, and the views that make training pairs of their batches."""

from saec.data.batch import Batch, Dataset, chunks
from saec.data.kind import DATA, Kind, Sizes
from saec.data.loader import Loader
from saec.data.split import split, warn_of_shared
from saec.data.store import Cache
from saec.data.views import VIEWS, Draws, seed_of
from saec.registry import import_submodules

Survey = Sizes  # its former name

__all__ = [
    "DATA",
    "VIEWS",
    "Batch",
    "Cache",
    "Dataset",
    "Draws",
    "Kind",
    "Loader",
    "Sizes",
    "Survey",
    "chunks",
    "seed_of",
    "split",
    "warn_of_shared",
]

import_submodules(__name__, __path__)
