"""Lists NPY and NPZ files, reads their arrays, headers alone or values, and finds the columns to take."""

import logging
import math
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from posixpath import splitext
from typing import IO, Annotated, Any, NamedTuple

import numpy as np
from pydantic import BeforeValidator, PlainValidator

from saec.data.listed import Listed, Location, content_of
from saec.faults import Fault, Unusable, did_you_mean
from saec.files import DAMAGE
from saec.folders import found_below
from saec.registry import as_list

LOG = logging.getLogger(__name__)
SUFFIXES = (".npy", ".npz")
MAGIC = {b"\x93NUMP": ".npy", b"PK\x03\x04": ".npz", b"PK\x05\x06": ".npz"}  # the first bytes; an empty zip
NUMBERS = "biuf"  # kinds of types that are cast to float32


def _column(raw: Any) -> int | str:
    if isinstance(raw, str) or (type(raw) is int and raw >= 0):
        return raw
    raise ValueError(f"must be a column's number, from 0, or its name, got {raw!r}")


Column = Annotated[int | str, PlainValidator(_column)]
Columns = Annotated[tuple[Column, ...], BeforeValidator(as_list)]


class Traces(Listed):
    """Lists arrays in a folder and below it; each is named by its path without the suffix."""

    items_are = "arrays"
    suffixes = SUFFIXES
    has_stretches = False

    def __init__(self, location: Location, key: str | None, *options: Any):
        self.key = key
        super().__init__(location, *options)

    def find(self, folder: Path) -> list[str]:
        return found_below(folder, SUFFIXES, "array", ".npy or .npz files")

    @staticmethod
    def name_of(file: str) -> str:
        return splitext(file)[0]

    @cached_property
    def headers(self) -> tuple[dict[str, "Header"], dict[str, str]]:
        """Returns the headers of the files that can be used, and why others cannot be: arrays that cannot be
        read, and those with another number of columns than most.
        """
        headers, bad = {}, {}
        for file, path in self._each("looking"):
            try:
                headers[file] = read_header(path, self.key)
            except Unusable as reason:
                bad[file] = str(reason)
        counts = Counter(one.n_columns for one in headers.values())
        usual = max(counts, key=counts.__getitem__, default=0)
        frames = {one.n_frames for one in headers.values()}
        exchanged = len(counts) > 1 and len(frames) == 1 and min(counts) > max(frames)
        for file, one in headers.items():
            if exchanged:
                what = f"is {one.n_frames} x {one.n_columns}, and all have {one.n_frames} rows"
                bad[file] = f"{what}: transpose them, as rows are frames"
            elif one.n_columns != usual:
                most = f"{counts[usual]:,} of {len(headers):,} arrays have {usual}"
                bad[file] = f"has {one.n_columns} columns, {most}: one number is expected in a folder"
        good = {file: one for file, one in headers.items() if file not in bad}
        _look_at_headers(list(good.values()), self.folder)
        return good, bad


BROKEN: tuple[type[Exception], ...] = (*DAMAGE, Warning)


class Header(NamedTuple):
    """Holds what is told of an array without reading its values."""

    n_frames: int
    n_columns: int
    dtype: np.dtype


def read_header(path: Path, key: str | None = None) -> Header:
    """Returns the header of an array, of an NPZ the one of that key (None: the only one).

    Raises:
        Unusable: it cannot be read, or is not frames x columns of numbers.
    """
    with _opened(path, key) as (_, header):
        return header


def read_array(path: Path, key: str | None = None) -> np.ndarray:
    """Returns an array (frames, columns) as it is stored; nothing is unpickled.

    Raises:
        Unusable: as `read_header`, and where values are damaged.
    """
    with _opened(path, key) as (stream, _):
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def _look_at_headers(headers: Sequence[Header], folder: Path) -> None:
    """Says what is cast, and warns of arrays that look as if rows and columns were exchanged."""
    types = Counter(one.dtype.name for one in headers if one.dtype.name != "float32")
    if types:
        words = ", ".join(f"{n:,} of {name}" for name, n in types.most_common())
        LOG.info("%s: arrays are cast to float32: %s", folder, words)
    n_wide = sum(one.n_columns > one.n_frames for one in headers)
    if n_wide > len(headers) / 2:
        words = "%s: %d of %d arrays have more columns than frames: transpose them unless rows are frames"
        LOG.warning(words, folder, n_wide, len(headers))


@contextmanager
def _opened(path: Path, key: str | None) -> Iterator[tuple[IO[bytes], Header]]:
    """Yields the stream of an array, and its header; raises `Unusable` for all that can be wrong."""
    try:
        _require_content(path)
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                yield stream, _header(stream, os.fstat(stream.fileno()).st_size)
        else:
            with zipfile.ZipFile(path) as archive:
                member = _member(archive, key)
                with archive.open(member) as stream:
                    yield stream, _header(stream, member.file_size)
    except BROKEN as error:
        raise Unusable(f"is truncated or damaged ({error}): copy or make it again") from error


def _require_content(path: Path) -> None:
    """Raises `Unusable` where a file is not what its suffix says."""
    start = content_of(path, 6)
    suffix = path.suffix.lower()
    kind = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)
    if kind is None:
        save = "numpy.save" if suffix == ".npy" else "numpy.savez"
        raise Unusable(f"is no {suffix[1:].upper()}, whatever its name says: make it by {save}")
    if kind != suffix:
        raise Unusable(f"is an {kind[1:].upper()} by what it holds: rename it to {kind}")


def _member(archive: zipfile.ZipFile, key: str | None) -> zipfile.ZipInfo:
    """Returns the array of that key, or the only one; raises `Unusable` where there is no such one."""
    members = (one for one in archive.infolist() if one.filename.endswith(".npy"))
    arrays = {one.filename.removesuffix(".npy"): one for one in members}
    keys = ", ".join(arrays)
    if not arrays:
        raise Unusable("holds no array: make it by numpy.savez")
    if key is not None and key not in arrays:
        raise Unusable(f"holds no array {key!r} (`data.key`), but {keys}")
    if key is None and len(arrays) > 1:
        raise Unusable(f"holds {len(arrays)} arrays, {keys}: choose one by `data.key`")
    return arrays[key] if key is not None else next(iter(arrays.values()))


def _header(stream: IO[bytes], n_bytes: int) -> Header:
    """Returns what a stream of so many bytes begins with; raises `Unusable` for what cannot be used."""
    major, _ = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    reason = _why_not(shape, dtype)
    if reason:
        raise Unusable(reason)
    wanted, there = math.prod(shape) * dtype.itemsize, n_bytes - stream.tell()
    if there < wanted:
        raise Unusable(f"is truncated: {wanted:,} bytes announced, {there:,} are there: copy it again")
    if there > wanted:
        raise Unusable(f"holds {there - wanted:,} bytes behind its array: save one array a file")
    n_frames, n_columns = shape
    return Header(n_frames, n_columns, dtype)


def _why_not(shape: tuple[int, ...], dtype: np.dtype) -> str:
    """Returns why an array cannot be used, with the remedy; "" where it can be."""
    size, wanted = " x ".join(map(str, shape)), "frames x columns are expected"
    if dtype.hasobject:
        return "holds objects, which only pickle could read: save numbers, as numpy.array(..., dtype=float)"
    if dtype.kind == "c":
        return "holds complex numbers: save their real parts, or their absolute values"
    if dtype.kind not in NUMBERS:
        return f"holds {dtype} in place of numbers: save it as numpy.float32"
    if len(shape) == 0:
        return f"holds one number, {wanted}"
    if len(shape) == 1:
        return f"has one axis of {size}, {wanted}: save `array[:, None]` if these are frames"
    if len(shape) > 2:
        return f"has {len(shape)} axes, {size}, {wanted}: save a part, or `array.reshape(len(array), -1)`"
    if min(shape) < 1:
        return f"has no {'frame' if shape[0] < 1 else 'column'}: it is {size}, {wanted}"
    return ""


def chosen_columns(
    n: int, names: tuple[str, ...], columns: tuple[Column, ...] | None, drop: tuple[Column, ...]
) -> list[int]:
    """Returns the numbers of the columns to take, of n.

    Raises:
        Fault: names that are not one a column, columns that are not there, or none left.
    """
    if names and (len(names) != n or len(set(names)) < n):
        raise Fault(
            f"data.names: {n} different names are needed, one a column, got {len(names)}: {', '.join(names)}"
        )
    if columns is not None and drop:
        raise Fault("data.columns says which to take, data.drop which to leave out: keep one of the two")
    key, given = ("drop", drop) if columns is None else ("columns", columns)
    numbers = [_number(one, n, names, key) for one in given]
    if len(set(numbers)) < len(numbers):
        raise Fault(f"data.{key} names a column twice: {', '.join(map(str, given))}")
    chosen = numbers if columns is not None else [one for one in range(n) if one not in numbers]
    if not chosen:
        raise Fault(f"data.{key}: no column is left of {n}")
    return chosen


def _number(column: int | str, n: int, names: tuple[str, ...], key: str) -> int:
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, str):
        hint = (
            did_you_mean(column, names) if names else "name all columns by `data.names`, or say their numbers"
        )
        raise Fault(f"data.{key}: no column is called {column!r}: {hint}")
    if column >= n:
        raise Fault(f"data.{key}: there is no column {column}, arrays have {n}, the first is 0")
    return column
