"""Writes files and folders that appear whole or not at all, locks them, and makes fingerprints."""

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from lzma import LZMAError
from pathlib import Path
from pickle import UnpicklingError
from tokenize import TokenError
from traceback import clear_frames
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from saec.faults import DISK_IS_FULL, BusyFault, Fault, InUse, NoRoom

GB = 1e9
TEMPORARY = ".writing_"  # what the name of a half-written file or folder begins with
DAY_S = 86_400
LOCK = ".lock"  # what the name of a lock file ends with
# What zips, arrays, JSON and pickles raise that are damaged, or made to do harm
DAMAGE: tuple[type[Exception], ...]
DAMAGE = (OSError, EOFError, ValueError, OverflowError, LookupError, TypeError, AttributeError, SyntaxError)
DAMAGE = (*DAMAGE, RuntimeError, MemoryError, zipfile.BadZipFile, struct.error, zlib.error)
DAMAGE = (*DAMAGE, LZMAError, TokenError, UnpicklingError)
ONE_LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, moved to `path` when the block ends well."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}_{path.name}")
    try:
        yield temporary
        _synchronise(temporary)
        move(temporary, path)
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise NoRoom(path, error) from error
        raise
    finally:
        remove(temporary)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yields a new hidden folder in `parent`, which is removed at the end unless it was moved away.

    Those that killed processes have left are removed: nobody holds the lock beside them, or there is none.
    """
    parent.mkdir(parents=True, exist_ok=True)
    part = parent / f"{TEMPORARY}{secrets.token_hex(4)}"
    with locked(part.with_name(part.name + LOCK), part):
        part.mkdir()  # which tells the time by the clock of the disk, as do those that are left
        for left in parent.glob(f"{TEMPORARY}*"):
            killed = left.with_name(left.name.removesuffix(LOCK))
            lock = killed.with_name(killed.name + LOCK)
            with suppress(Fault, OSError):  # another process holds the lock, or has just moved its folder
                if left.stat().st_mtime < part.stat().st_mtime - (1 if lock.exists() else DAY_S):
                    with locked(lock, killed):
                        remove(killed)
        try:
            yield part
        finally:
            remove(part)


@contextmanager
def appearing_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder, which becomes `folder` when the block ends well.

    Where another process has made `folder` meanwhile, that one stays.
    """
    with temporary_folder(folder.parent) as part:
        yield part
        try:
            if not folder.exists():
                _replace(part, folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise


def move_to_timestamp(part: Path, parent: Path, pattern: str) -> Path:
    """Moves a finished folder to `parent` and returns its new path: `pattern` with the time for its `*`.

    No two folders in `parent` have the same time in their names, whoever makes them: a second belongs to the
    process that has made the folder `.<time>`, and if it is taken, the next one is tried. A claim lasts for
    milliseconds; older ones are of killed processes.
    """
    for left in parent.glob(f".{8 * '[0-9]'}_{6 * '[0-9]'}"):
        with suppress(OSError):
            if left.stat().st_mtime < part.stat().st_mtime - 60:  # by the clock of the disk
                left.rmdir()
    while True:
        timestamp = time.strftime("%Y%m%d_%H%M%S")
        claim = parent / f".{timestamp}"
        with suppress(FileExistsError):
            claim.mkdir()
            try:
                if not any(parent.glob(f"[!.]*{timestamp}*")) and not any(parent.glob(f"{timestamp}*")):
                    folder = parent / pattern.replace("*", timestamp)
                    _replace(part, folder)
                    return folder
            finally:
                claim.rmdir()
        time.sleep(0.1)


def move(path: Path, target: Path) -> None:
    """Moves a file or folder that is whole to another name on the same disk."""
    _replace(path, target)
    _synchronise(target.parent)


def remove(path: Path) -> None:
    """Removes a file, or a folder, as far as the system lets that happen.

    Windows removes no file that is open or mapped. So the functions through which an error has come let go of
    what they hold, and threads that are still at work on a file are waited for.
    """
    error = sys.exception()
    while error:
        clear_frames(error.__traceback__)
        error = error.__context__
    for wait_s in (0, 0.05, 0.2, 1.0):
        time.sleep(wait_s)
        with suppress(PermissionError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not path.exists():
            return


def write_text(path: Path, text: str) -> None:
    with appearing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes indented JSON in which each item of a list takes one line; raises `ValueError` for NaN."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list | tuple) and value:
            part = "[\n    " + ",\n    ".join(map(ONE_LINE.encode, value)) + "\n  ]"
        else:
            part = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).replace("\n", "\n  ")
        parts.append(f"  {ONE_LINE.encode(key)}: {part}")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Writes arrays uncompressed; memory-mapped ones are copied in pieces. Object arrays are refused."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path.name}: array {name!r} holds objects, which only pickle could store")
    with appearing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def link_or_copy(source: Path, path: Path) -> None:
    """Makes `path` another name of the file, or a copy where the disk cannot do that.

    Nothing is written where it is so already; a later change of either file leaves the other as it is.
    """
    if path.exists() and path.samefile(source):
        return
    try:
        path.unlink(missing_ok=True)
        os.link(source, path)  # at once: Windows renames no file that is mapped
    except OSError:
        with appearing(path) as temporary:
            shutil.copyfile(source, temporary)


def map_npz(path: Path, key: str) -> np.ndarray:
    """Returns one array of an NPZ, memory-mapped where it is not compressed; nothing is unpickled.

    Raises:
        KeyError: the file has no such array.
        ValueError, others of `DAMAGE`: it is damaged or holds objects.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        major, _ = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        start, n_bytes = stream.tell(), math.prod(shape) * dtype.itemsize
        member = archive.getinfo(f"{key}.npy")
        if dtype.hasobject:
            raise ValueError(f"array {key!r} holds objects, which only pickle could read")
        if start + n_bytes != member.file_size:
            raise ValueError(f"array {key!r} is not as long as its header says")
        if member.compress_type != zipfile.ZIP_STORED or not n_bytes:
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # past the fixed part of the local header
        start += file.tell() + 4 + sum(struct.unpack("<HH", file.read(4)))
        if start + n_bytes > path.stat().st_size:
            raise ValueError("the file is truncated")
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def require_whole(file: Path | BinaryIO, ending: str = "", stored: bool = False) -> None:
    """Reads those parts of a zip whose names end so against their checksums, some 3 GB a second.

    Raises:
        zipfile.BadZipFile, others of `DAMAGE`: a part is not what was written; or any part is compressed,
            where all are to be `stored`, as torch does.
    """
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if stored and member.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{member.filename} is compressed, which torch does not do")
            if member.filename.endswith(ending):
                with archive.open(member) as part:
                    while part.read(1 << 20):
                        pass


def as_file_name(words: str) -> str:
    """Returns the words with `_` for what may not stand in the name of a file or folder."""
    return re.sub(r"[^\w.-]", "_", words)


def require_writable(folder: Path) -> None:
    """Tries to write into the folder, or into the nearest existing one above it.

    Raises:
        Fault: nothing can be written there.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        probe = existing / f"{TEMPORARY}{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink(missing_ok=True)
        for left in filter(Path.is_file, existing.glob(TEMPORARY + 8 * "?")):  # by a process that was killed
            with suppress(OSError):
                left.unlink()
    except OSError as error:
        raise Fault(f"cannot write into {folder} ({error.strerror}): choose another folder") from error


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process left half-written."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        remove(leftover)


@contextmanager
def locked(lock: Path, what: object, wait_s: float = 0) -> Iterator[None]:
    """Holds a lock file, which the system releases however the process ends.

    The file goes while it is held: whoever has opened it meanwhile sees that it has no name any more. Windows
    removes no open file, so there it goes afterwards, unless another process has opened it.

    Raises:
        BusyFault: another process holds it.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=wait_s)
    except Timeout as error:
        raise BusyFault(f"another process is at work on {what}: wait for it, or end it") from error
    try:
        yield
    finally:
        if os.name != "nt":
            lock.unlink(missing_ok=True)
        held.release()
        if os.name == "nt":
            with suppress(OSError):
                lock.unlink()


def flush(array: np.ndarray) -> None:
    """Writes an array to the disk if it is mapped; on Linux other threads go on meanwhile."""
    if not isinstance(array, np.memmap):  # an empty one, which cannot be mapped
        return
    if sys.platform == "linux":
        _synchronise(Path(str(array.filename)))  # takes mapped pages, too; `flush` would hold up all threads
    else:
        array.flush()


def fingerprint(*parts: Any) -> str:
    """Returns 32 hexadecimal digits for plain values, however nested."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def sha256_of(file: Path) -> str:
    """Returns the SHA-256 of a file of any size."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _synchronise(path: Path) -> None:
    """Asks the system to write the file, or the folder's entries, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(temporary: Path, path: Path) -> None:
    """Renames, again and again where Windows refuses because another program reads the file.

    Raises:
        InUse: it goes on to refuse.
    """
    for wait_s in (0.05, 0.2, 1.0, 3.0, None):
        try:
            return os.replace(temporary, path)
        except PermissionError as error:
            if wait_s is None:
                raise InUse(path, error) from error
            time.sleep(wait_s)
