"""Lists PNG files, decodes them to arrays of bytes, and inverts colour maps: one byte a pixel."""

import io
import logging
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from posixpath import basename
from typing import Any

import numpy as np
from PIL import Image

from saec.data.batch import Axes
from saec.data.listed import Listed, Location, content_of
from saec.data.packed import names_below
from saec.documents import read_mapping
from saec.faults import Fault, MissingFault, Unusable, did_you_mean, suffixes_of
from saec.samples import SEGMENT, TABLES

LOG = logging.getLogger(__name__)
SUFFIXES: tuple[str, ...] = (".png",)
SIDECAR = "_feature_extraction_parameters.json"


def find_pictures(
    folder: Path,
    recursive: bool | None = None,
    suffixes: tuple[str, ...] = SUFFIXES,
    others: list[str] | None = None,
) -> list[str]:
    """Returns the pictures directly in a folder, or below it (None: where there are some), sorted by name.

    `others` gets the names of files that are no such pictures.

    Raises:
        MissingFault: there is no such folder, or no picture in it.
        Fault: names are no text, or lead nowhere.
    """
    if not folder.is_dir():
        what = "PNG spectrograms" if suffixes == SUFFIXES else "pictures"
        raise MissingFault(f"no such folder: {folder} (a folder of {what} is expected)")
    names = names_below(folder, suffixes, bool(recursive), others)
    below = [] if names or recursive else names_below(folder, suffixes)
    if not names and (not below or recursive is False):
        there: list[str] = []
        names_below(folder, (), others=there)
        hint = f" or below it: found {suffixes_of(there)}"
        if below:
            where = (folder / below[0]).parent
            or_that = "name that folder, or " if where.is_dir() else ""  # else it is within shards
            hint = f"; there are some in {where}: {or_that}say `data.recursive: true`"
        raise MissingFault(f"no {', '.join(f'*{one}' for one in suffixes)} directly in {folder}{hint}")
    return names or below


class Pictures(Listed):
    """Lists pictures, directly in folders or also below them."""

    items_are = "pictures"
    suffixes = SUFFIXES
    has_stretches = False

    def __init__(self, location: Location, recursive: bool | None, suffixes: tuple[str, ...], *options: Any):
        self.recursive, self.suffixes = recursive, suffixes
        super().__init__(location, *options)

    @staticmethod
    def group_of(file: str) -> str:
        """Returns the recording of a segment in whatever folder, as pictures are sorted into classes."""
        return basename(file.split(SEGMENT)[0]) if SEGMENT in file else file

    def find(self, folder: Path) -> list[str]:
        others: list[str] = []
        names = find_pictures(folder, self.recursive, self.suffixes, others)
        with suppress(Fault):  # of folders that are not used
            n_below = 0 if self.recursive else len(names_below(folder, self.suffixes)) - len(names)
            if n_below:
                words = "%d pictures in folders below %s are not used: `data.recursive: true` takes them"
                LOG.warning(words, n_below, folder)
        others = [name for name in others if not name.lower().endswith(TABLES)]
        if others and self.suffixes != SUFFIXES:  # beside spectrograms, other files are usual
            LOG.warning("%s: not used: %s", folder, suffixes_of(others))
        return names


def sidecar_map(folder: Path) -> list[str]:
    """Returns the colour map that the folder's sidecar names, or an empty list."""
    file = folder / SIDECAR
    name = read_mapping(file).get("colormap") if file.is_file() else None
    return [name] if isinstance(name, str) else []


def sidecar_axes(folder: Path, size: tuple[int, int]) -> Axes:
    """Returns the axes of pictures (height, width) as the folder's sidecar says them, None where it does not.

    Frequencies may come with the Nyquist row, which pictures do not show.
    """
    file, (height, width) = folder / SIDECAR, size
    about = read_mapping(file) if file.is_file() else {}
    times, hertz = (_increasing(about.get(key)) for key in ("time_axis", "frequency_axis"))
    seconds = width * float(times[-1] - times[0]) / (width - 1) if len(times) == width > 1 else None
    return Axes(seconds, hertz[:height] if len(hertz) in (height, height + 1) else None)


def _increasing(values: Any) -> np.ndarray:
    """Returns numbers that increase, or no number where they are something else."""
    try:
        numbers = np.array(values, dtype=float).ravel()
    except (TypeError, ValueError):
        return np.array([])
    return numbers if np.isfinite(numbers).all() and (np.diff(numbers) > 0).all() else np.array([])


SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 64_000_000  # beyond it a picture is taken for a decompression bomb
GREY, COLOURED = ("1", "L", "LA"), ("P", "RGB", "RGBA")  # modes of pictures that are read
DAMAGE: tuple[type[Exception], ...]
DAMAGE = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, EOFError)
DAMAGE += (
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)  # what Pillow raises of some files


def size_of(path: Path) -> tuple[int, int]:
    """Returns (height, width) from the header alone.

    Raises:
        Unusable: gone or locked, no PNG, too large, or 16 bits a channel.
    """
    return _size_in(content_of(path, 26))


def _size_in(content: bytes) -> tuple[int, int]:
    head = content[:26]
    if not head.startswith(SIGNATURE) or len(head) < 26:
        raise Unusable("is not a PNG, whatever its name says: save it as PNG")
    width, height, depth = struct.unpack(">8x4x4xIIBx", head)
    if width * height > MOST_PIXELS or not width * height:
        raise Unusable(f"claims {width} x {height} pixels, at most {MOST_PIXELS:,} are read: cut it")
    if depth == 16:
        raise Unusable(
            "has 16 bits a channel, 8 are expected: save it as an 8-bit PNG, its values scaled to 0 to 255"
        )
    return height, width


def decode(path: Path) -> np.ndarray:
    """Returns (height, width) uint8 of a grey picture, (height, width, 3) of an RGB or palette picture.

    No other function opens a picture: Pillow would take any format, whatever the name says.

    Raises:
        Unusable: as `size_of`, and for a picture that is damaged, or anywhere transparent.
    """
    content = content_of(path)
    size = _size_in(content)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if (picture.height, picture.width) != size or picture.mode not in GREY + COLOURED:
                raise ValueError("it has two headers")
            picture.load()
            return np.asarray(_opaque(picture))
    except DAMAGE as error:
        raise Unusable(f"is truncated or damaged ({error}): make it again") from error


def _opaque(picture: Image.Image) -> Image.Image:
    """Returns a picture as L or RGB; raises `Unusable` where some of it is transparent."""
    is_grey, has_alpha = picture.mode in GREY, picture.mode in ("LA", "RGBA")
    if has_alpha or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            what = "an alpha channel, grey or RGB is expected" if has_alpha else "transparent colours"
            raise Unusable(f"has {what}: save it without transparency")
        picture = picture.getchannel(0) if is_grey else picture
    return picture.convert("L" if is_grey else "RGB")


USUAL = ("gray", "viridis", "magma", "inferno", "plasma", "cividis")
ELSEWHERE = -1  # the level of a colour that is not in the map


def possible_maps(named: Iterable[str]) -> list[str]:
    """Returns the colour maps to try on pictures: those of matplotlib that sidecars name, then the usual."""
    import matplotlib

    return list(dict.fromkeys([*(name for name in named if name in matplotlib.colormaps), *USUAL]))


@lru_cache
def table(name: str) -> np.ndarray:
    """Returns the (256, 3) uint8 colours of a matplotlib map, truncated like matplotlib's own pictures.

    Grey alone is not truncated: its levels are the pixels themselves.

    Raises:
        Fault: matplotlib has no such map.
    """
    import matplotlib

    if name == "gray":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)

    if name not in matplotlib.colormaps:
        raise Fault(
            f"unknown colour map {name!r}, {did_you_mean(name, list(USUAL))} or any other of matplotlib's"
        )
    colours = matplotlib.colormaps[name].resampled(256)(np.arange(256), bytes=True)
    return np.ascontiguousarray(colours[:, :3])


@lru_cache(maxsize=4)
def levels(name: str) -> np.ndarray:
    """Returns for each 24-bit colour its level in the map, else -1; of levels with one colour the lower."""
    of_colour = np.full(1 << 24, ELSEWHERE, np.int16)
    of_colour[_codes(table(name))[::-1]] = np.arange(256)[::-1]
    return of_colour


def to_intensity(picture: np.ndarray, name: str) -> np.ndarray | None:
    """Returns the (height, width) uint8 levels of a picture, or None where a pixel is not in the map."""
    if picture.ndim == 2:
        return picture if name == "gray" else None
    if name == "gray":
        red = picture[..., 0]
        grey = np.array_equal(red, picture[..., 1]) and np.array_equal(red, picture[..., 2])
        return np.ascontiguousarray(red) if grey else None
    intensity = levels(name)[_codes(picture)]
    return None if intensity.min() == ELSEWHERE else intensity.astype(np.uint8)


def _codes(colours: np.ndarray) -> np.ndarray:
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue
