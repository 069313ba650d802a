"""Looks after the room on disks: whether there is enough, and that arrays in files have theirs at once."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from saec.faults import DISK_IS_FULL, Fault, NoRoom
from saec.files import GB

BLOCK = 1 << 20  # bytes


def require_room(folder: Path, n_bytes: int, what: str) -> None:
    """Raises a `Fault` where the disk of the folder cannot take so many bytes."""
    free = free_bytes(folder)
    if n_bytes > free:
        raise Fault(
            f"{what} take {n_bytes / GB:.2f} GB, the disk of {folder} has {free / GB:.2f} GB free: "
            "free some, or choose a folder on another disk"
        )


def free_bytes(folder: Path) -> int:
    """Returns the free room on the disk that the folder is on, or will be."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def new_map(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """Returns a new mapped `.npy` file whose room is taken at once: a disk that gets full later does no harm.

    Raises:
        NoRoom: the disk has not so much room.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        with path.open("r+b") as file:
            _reserve(file, array.offset, path.stat().st_size)
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise NoRoom(path, error) from error
        raise
    return array


def _reserve(file: IO[bytes], start: int, end: int) -> None:
    """Makes the system give room to a part of a file that holds zeros; where it cannot, zeros are written."""
    if os.name == "nt":  # where the room of a file is its length
        return
    with suppress(AttributeError):  # macOS has no such call
        return os.posix_fallocate(file.fileno(), start, end - start)
    file.seek(start)
    for left in range(end - start, 0, -BLOCK):
        file.write(bytes(min(BLOCK, left)))
