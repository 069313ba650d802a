"""Files as they are listed, some of them evenly taken, and those that cannot be used refused together."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from saec.faults import Fault, Unusable, listing
from saec.files import write_text

T = TypeVar("T")


class File(NamedTuple):
    """A file as it is listed."""

    name: str
    n_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, name: str, stat: os.stat_result) -> "File":
        return cls(name, stat.st_size, stat.st_mtime_ns)

    def require_unchanged(self, path: Path) -> None:
        """Raises `Unusable` where what lies at the path now is something else, or nothing."""
        if not path.exists() or File.of(self.name, path.stat()) != self:
            raise Unusable("was changed after the folder was listed: call again")


def evenly(items: Sequence[T], n: int) -> list[T]:
    """Returns at most n of the items, evenly spread, in their order."""
    n = min(n, len(items))
    return [items[index] for index in np.linspace(0, len(items) - 1, n).round().astype(int)]


def refuse_bad(
    bad: dict[str, str], folder: Path, n_all: int, skip_bad: bool, what: str, listed: bool = True
) -> None:
    """Raises a `Fault` where some, or with `skip_bad` all, cannot be used.

    Ten are in the message, and all of them (`listed`) in a file beside the folder.
    """
    if not bad or (skip_bad and len(bad) < n_all):
        return
    lines = [f"{name} {reason}" for name, reason in bad.items()]
    where = _write_list(folder, lines) if listed else "the first of them"
    remedy = "mend or remove them" + ("" if skip_bad else ", or leave them out with `data.skip_bad: true`")
    raise Fault(
        f"{len(bad)} of {n_all} {what} in {folder} cannot be used, {remedy}; {where}:\n{listing(lines)}"
    )


def _write_list(folder: Path, lines: list[str]) -> str:
    """Writes all lines beside the folder, and returns in words where they are."""
    file = folder.parent / f"unusable_{folder.name}.txt"
    try:
        write_text(file, "\n".join(lines) + "\n")
    except OSError:
        return f"{file} for all of them could not be written"
    return f"all are listed in {file}"
