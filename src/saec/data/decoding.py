"""A list of PNG files becomes arrays of bytes; what cannot be used is found in one go and said at once."""

import os
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import matplotlib
import numpy as np
from PIL import Image

from saec.data.ahead import ahead
from saec.data.colormaps import USUAL, to_intensity
from saec.data.store import Take
from saec.documents import read_mapping
from saec.faults import Fault, MissingFault, listing
from saec.files import write_text
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


SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 64_000_000  # beyond it a picture is taken for a decompression bomb
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types


class Unusable(Exception):
    """A picture that cannot be taken, and why."""


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) from the header alone.

    Raises:
        Unusable: gone or locked, no PNG, too large, 16 bits a channel, or with transparency.
    """
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError as error:
        raise Unusable(f"cannot be opened ({error.strerror}): look whether it is there") from error
    if not head:
        raise Unusable("is empty (0 bytes): copy it again")
    if not head.startswith(SIGNATURE) or len(head) < 26:
        raise Unusable("is not a PNG, whatever its name says: save it as PNG")
    width, height, depth, colour = struct.unpack(">8x4x4xIIBB", head)
    if width * height > MOST_PIXELS or not width * height:
        raise Unusable(f"claims {width} x {height} pixels, at most {MOST_PIXELS:,} are read: cut it")
    if depth == 16:
        raise Unusable("has 16 bits a channel, 8 are expected: save it as an 8-bit PNG")
    if colour in (GREY_ALPHA, RGBA):
        raise Unusable("has an alpha channel, grey or RGB is expected: save it without transparency")
    return height, width


def decode(path: Path) -> np.ndarray:
    """(height, width) uint8 of a grey picture, (height, width, 3) of an RGB or palette picture.

    Raises:
        Unusable: as `size_of`, and for a picture that is truncated or damaged.
    """
    size_of(path)
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.load()
            if "transparency" in picture.info:
                raise Unusable("has transparent colours: save it without transparency")
            return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise Unusable(f"is truncated or damaged ({error}): make it again") from error


N_TRIED = 16  # pictures on which the colour maps are tried before all are decoded
N_AHEAD = 256  # pictures decoded before the first of them must be taken


class NotInMap(Exception):
    """A picture with a colour that is not in the map."""


@dataclass(frozen=True)
class Listed:
    """The pictures of a folder as they were listed, and how they are read."""

    folder: Path
    files: Sequence[File]
    skip_bad: bool = False
    n_workers: int = 0

    def read(self, file: File, colormap: str | None) -> np.ndarray:
        """Intensity (height, width) uint8, or without a map RGB (height, width, 3).

        Raises:
            Unusable: it cannot be read, or is not what was listed.
            NotInMap: it has colours that the map has not; its name.
        """
        picture = self._decoded(file)
        if colormap is None:
            return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
        levels = to_intensity(picture, colormap)
        if levels is None:
            raise NotInMap(file.name)
        return levels

    def read_all(self, colormap: str | None) -> Iterator[np.ndarray | Unusable]:
        """Each picture as `read` gives it, or why it cannot be used, in the order of the list."""

        def one(file: File) -> np.ndarray | Unusable:
            try:
                return self.read(file, colormap)
            except Unusable as reason:
                return reason

        if self.n_workers == 0:
            return map(one, self.files)
        return ahead(one, self.files, N_AHEAD, self.n_workers)

    def likely_map(self, maps: list[str]) -> str | None:
        """The colour map, of `maps` or the usual ones, that explains most pictures of a sample."""
        pictures = []
        for file in evenly(self.files, N_TRIED):
            with suppress(Unusable):
                pictures.append(self._decoded(file))
        known = [name for name in maps if name in matplotlib.colormaps]
        n_explained = {
            name: sum(to_intensity(picture, name) is not None for picture in pictures)
            for name in dict.fromkeys([*known, *USUAL])
        }
        best = max(n_explained, key=n_explained.get)  # of equals the first
        return None if pictures and not n_explained[best] else best

    def _decoded(self, file: File) -> np.ndarray:
        path = self.folder / file.name
        picture = decode(path)
        if file.has_changed(path):
            raise Unusable("was changed after the folder was listed: call again")
        return picture


def go_through(
    listed: Listed, size: tuple[int, int], colormap: str | None, take: Take, doing: str
) -> dict[str, Any]:
    """Reads every picture, hands it to `take` with its row, and returns what is known of them all.

    Raises:
        NotInMap: a picture has colours that the map has not.
        Fault: pictures are of several sizes, or cannot be read and `skip_bad` is not set.
    """
    bad: dict[str, str] = {}
    sizes: dict[tuple[int, ...], list[str]] = defaultdict(list)
    with closing(progress(listed.read_all(colormap), doing, len(listed.files), " pictures")) as pictures:
        for row, (file, picture) in enumerate(zip(listed.files, pictures, strict=True)):
            if isinstance(picture, Unusable):
                bad[file.name] = str(picture)
                continue
            sizes[picture.shape[:2]].append(file.name)
            if picture.shape[:2] == size:
                take(row, picture)
    refuse_bad(bad, listed.folder, len(listed.files), listed.skip_bad, "pictures")
    _refuse_mixed(sizes, listed.folder)
    good = [(row, file.name) for row, file in enumerate(listed.files) if file.name not in bad]
    rows, names = ([pair[place] for pair in good] for place in (0, 1))
    return {"colormap": colormap, "rows": rows, "names": names, "left_out": list(bad)}


def refuse_bad(
    bad: dict[str, str], folder: Path, n_all: int, skip_bad: bool, what: str, listed: bool = True
) -> None:
    """Raises a `Fault` where some, or with `skip_bad` all, cannot be used.

    Ten are in the message, and all of them (`listed`) in a file beside the folder.
    """
    if not bad or (skip_bad and len(bad) < n_all):
        return
    lines = [f"{name} {reason}" for name, reason in bad.items()]
    place = _write_list(folder, lines) if listed else "the first of them"
    remedy = "mend or remove them" + ("" if skip_bad else ", or leave them out with `data.skip_bad: true`")
    raise Fault(
        f"{len(bad)} of {n_all} {what} in {folder} cannot be used, {remedy}; {place}:\n{listing(lines)}"
    )


def _write_list(folder: Path, lines: list[str]) -> str:
    """Where it is, in words."""
    file = folder.parent / f"unusable_{folder.name}.txt"
    try:
        write_text(file, "\n".join(lines) + "\n")
    except OSError:
        return f"{file} for all of them could not be written"
    return f"all are listed in {file}"


def _refuse_mixed(sizes: dict[tuple[int, ...], list[str]], folder: Path) -> None:
    if len(sizes) <= 1:
        return
    lines = [
        f"{width} x {height}: {len(names)}, {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for (height, width), names in sorted(sizes.items(), key=lambda pair: -len(pair[1]))
    ]
    raise Fault(
        f"{folder} holds pictures of {len(sizes)} sizes (width x height), one is expected; "
        f"put each size into a folder of its own:\n{listing(lines)}"
    )


class Streamed:
    """(n, height, width[, 3]) uint8 by arrays of row numbers, as the store would give them."""

    dtype = np.dtype(np.uint8)

    def __init__(self, listed: Listed, shape: tuple[int, ...], colormap: str | None):
        self.listed = listed
        self.shape = shape
        self.nbytes = int(np.prod(shape))
        self.colormap = colormap
        self.threads = ThreadPoolExecutor(max(1, listed.n_workers), "streaming")

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Raises a `Fault` where a picture is not what it was when it was checked."""
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        files = [self.listed.files[row] for row in rows.tolist()]
        for place, picture in enumerate(self.threads.map(self._one, files)):
            found[place] = picture
        return found

    def _one(self, file: File) -> np.ndarray:
        try:
            picture = self.listed.read(file, self.colormap)
            if picture.shape != self.shape[1:]:
                raise Unusable("has another size")
        except (Unusable, NotInMap) as reason:
            raise Fault(
                f"{self.listed.folder / file.name} is no longer as it was when it was checked ({reason}): "
                "leave the folder alone while it is worked on, then call again"
            ) from reason
        return picture
