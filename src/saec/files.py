"""Files appear whole or not at all; folders and their contents get fingerprints."""

import hashlib
import json
import os
import secrets
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from saec.faults import Fault

TEMPORARY = ".writing_"  # what the name of a half-written file begins with


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, moved to `path` when the block ends well."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}_{path.name}")
    try:
        yield temporary
        _synchronise(temporary)
        os.replace(temporary, path)
        _synchronise(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with appearing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Stored, not compressed; memory-mapped arrays are copied in pieces. Object arrays are refused."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path.name}: array {name!r} holds objects, which only pickle could store")
    with appearing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def map_npz(path: Path, key: str) -> np.ndarray:
    """One array of an NPZ, memory-mapped where it is stored as it is; nothing is unpickled.

    Raises:
        KeyError: the file has no such array.
        ValueError, OSError, zipfile.BadZipFile: it is damaged or holds objects.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{key}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            with np.load(path, allow_pickle=False) as arrays:
                return arrays[key]
        with path.open("rb") as file:
            file.seek(member.header_offset + 26)  # past the fixed part of the local header
            file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if dtype.hasobject:
                raise ValueError(f"array {key!r} holds objects, which only pickle could read")
            offset = file.tell()
            if offset + int(np.prod(shape)) * dtype.itemsize > path.stat().st_size:
                raise ValueError("the file is truncated")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")


def require_writable(folder: Path) -> None:
    """Tries a file in the folder, or in the nearest one above it that is there.

    Raises:
        Fault: nothing can be written there.
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        probe = existing / f"{TEMPORARY}{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Fault(f"cannot write into {folder} ({error.strerror}): choose another folder") from error


def sweep(folder: Path) -> None:
    """Removes what a killed process left half-written."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        leftover.unlink(missing_ok=True)


def fingerprint(*parts: Any) -> str:
    """32 hexadecimal digits for plain values, nested as one likes."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _synchronise(path: Path) -> None:
    """Asks the system to put the file, or the folder's entries, on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
