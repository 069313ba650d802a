"""A folder of pictures as it is listed: names, sizes, times of change, and the maker's sidecar."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from saec.documents import read_mapping
from saec.faults import Fault, MissingFault, listing
from saec.progress import progress

SIDECAR = "_feature_extraction_parameters.json"
T = TypeVar("T")


class File(NamedTuple):
    """A picture as the folder lists it."""

    name: str
    n_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, entry: os.DirEntry) -> "File":
        stat = entry.stat()
        return cls(entry.name, stat.st_size, stat.st_mtime_ns)

    def has_changed(self, path: Path) -> bool:
        """Whether what lies at the path now is something else, or nothing."""
        try:
            now = path.stat()
        except OSError:
            return True
        return (now.st_size, now.st_mtime_ns) != (self.n_bytes, self.mtime_ns)


def list_pictures(folder: Path, limit: int | None = None) -> list[File]:
    """The PNG files directly in a folder, sorted by code point; `limit` takes so many, evenly spread.

    Raises:
        MissingFault: there is no such folder, or no PNG directly in it.
    """
    if not folder.is_dir():
        raise MissingFault(f"no such folder: {folder} (a folder of PNG spectrograms is expected)")
    with os.scandir(folder) as entries:
        listed = progress(entries, "listing", unit=" files")
        files = [
            File.of(entry) for entry in listed if entry.name.lower().endswith(".png") and entry.is_file()
        ]
    if not files:
        below = next((path for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".png"), None)
        hint = f"; there are some in {below.parent}: name that folder" if below else ""
        raise MissingFault(f"no *.png directly in {folder}{hint}")
    odd = [ascii(file.name) for file in files if not _is_text(file.name)]
    if odd:
        raise Fault(f"{folder} holds names that are no UTF-8 text, rename them:\n{listing(odd)}")
    files.sort()
    return evenly(files, limit) if limit else files


def _is_text(name: str) -> bool:
    """Whether a name is more than bytes that the system could not read."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def evenly(items: Sequence[T], n: int) -> list[T]:
    """At most n of the items, evenly spread, in their order."""
    n = min(n, len(items))
    return [items[place] for place in np.linspace(0, len(items) - 1, n).round().astype(int)]


def sidecar_map(folder: Path) -> list[str]:
    """The colour map that the folder's sidecar names, if it has one."""
    file = folder / SIDECAR
    name = read_mapping(file).get("colormap") if file.is_file() else None
    return [name] if isinstance(name, str) else []
