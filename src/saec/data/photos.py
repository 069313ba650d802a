"""Defines the data kind `photos`: pictures of any size and format, fitted to one size."""

import io
import logging
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from pydantic import BeforeValidator, Field, PositiveInt

from saec.data.batch import Dataset
from saec.data.fronts import PictureFront
from saec.data.kind import DATA, Kind, Sizes
from saec.data.listed import Location, Pattern, content_of
from saec.data.png import DAMAGE, Pictures, find_pictures
from saec.data.png import SUFFIXES as PNG
from saec.data.shards import SHARDS
from saec.data.store import Cache, n_bytes_of
from saec.faults import Unusable, listing
from saec.files import fingerprint
from saec.registry import as_list
from saec.samples import Several

LOG = logging.getLogger(__name__)
VERSION = 1  # raise it when the same pictures would be stored otherwise: it makes other fingerprints
Format = Literal["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES = tuple(f".{one}" for one in FORMATS)
OPENED = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # which of them a file is, its content says
Fit = Literal["resize", "crop", "pad"]
Side = Annotated[int, Field(ge=1, le=8192)]
Size = Annotated[tuple[Side, Side], BeforeValidator(lambda raw: (raw, raw) if type(raw) is int else raw)]
SOFT = Image.Resampling.BICUBIC
FINER = 2  # times the size that is wanted, a JPEG is decoded at least
MIDDLE = 128  # the grey around a picture with `fit: pad`, and of what libjpeg adds to a JPEG that was cut
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # of a JPEG, before what has a length
END, SCAN, HEADS = 0xD9, 0xDA, {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers; a head has the colours
HOW = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90".split()
TURNED = {turn: Image.Transpose[how] for turn, how in enumerate(HOW, start=2)}  # by EXIF's number
SIDEWAYS = 5  # the first of these numbers by which height and width change places
FRAMES, ALPHA = "hold several frames, of which the first is taken", "are transparent in parts, put on white"
DEEP, TURNS = "have 16 bits a channel, of which the higher 8 are taken", "are turned as their EXIF says"
TRUNCATED = "is truncated: copy it again"
CALLED = {"1": "grey", "L": "grey", "LA": "grey", "P": "of a palette", "PA": "of a palette"}  # modes


class Picture(NamedTuple):
    """Holds a decoded picture, and what its file holds."""

    pixels: np.ndarray  # (height, width, 3) uint8, or (height, width)
    size: tuple[int, int]  # height and width of the whole picture, upright
    mode: str  # of the file, as Pillow calls it
    form: str  # as Pillow calls it
    changes: list[str]  # in words: what was left out or computed


def picture_of(
    path: Path, size: tuple[int, int], fit: str | None = None, mode: Literal["RGB", "L"] = "RGB"
) -> Picture:
    """Decodes a picture of any format that is supported, upright, and fits it to (height, width).

    Of several frames the first, of 16 bits the higher 8, transparent parts on white, colours as Pillow
    converts them. A JPEG is decoded at a half, quarter or eighth where that is fine enough for the size;
    without `fit` pixels stay as they are decoded.

    Raises:
        Unusable: gone, no picture, too large, damaged or truncated: half a picture is none.
    """
    content = content_of(path)
    try:
        with Image.open(io.BytesIO(content), formats=OPENED) as picture:
            return _decoded(picture, content, size, fit, mode)
    except UnidentifiedImageError as error:
        forms = ", ".join(OPENED)
        raise Unusable(f"is none of {forms}, whatever its name says, or damaged: save it anew") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        words = f"claims too many pixels, at most {Image.MAX_IMAGE_PIXELS:,} are read: cut it"
        raise Unusable(words) from error
    except DAMAGE as error:
        raise Unusable(f"is truncated or damaged ({error}): copy or make it again") from error


def _decoded(
    picture: ImageFile.ImageFile, content: bytes, size: tuple[int, int], fit: str | None, mode: str
) -> Picture:
    form, own = picture.format or "", picture.mode
    is_jpeg = form in ("JPEG", "MPO")
    if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # None is no limit
        raise Image.DecompressionBombError
    changes = [FRAMES] if getattr(picture, "is_animated", False) else []
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # whatever another package has set
    if not is_jpeg:
        picture.load()  # of some formats, EXIF lies behind the pixels
        if form in ("PNG", "WEBP") and content.endswith(bytes(16)):  # as broken downloads leave files
            raise Unusable(TRUNCATED)
    turn = _orientation(picture)
    swap = -1 if turn >= SIDEWAYS else 1
    whole = picture.size[::-swap]
    if is_jpeg:
        wide, high = (FINER * side for side in size[::-swap])
        draft = mode, (wide, high)
        picture.draft(*draft)
        picture.load()
        if not _is_whole(picture, content, draft):
            raise Unusable(TRUNCATED)
    upright: Image.Image = picture
    if turn in TURNED:
        upright, changes = picture.transpose(TURNED[turn]), [*changes, TURNS]
    plain, more = _plain(upright, own, mode)
    plain = _fitted(plain, size[::-1], fit) if fit else plain
    height, width = whole
    return Picture(np.asarray(plain), (height, width), own, form, changes + more)


def _orientation(picture: Image.Image) -> int:
    """Returns how EXIF says that a picture is turned, 1 where it is upright or EXIF is damaged."""
    with suppress(*DAMAGE):
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _is_whole(picture: Image.Image, content: bytes, draft: tuple[str, tuple[int, int]]) -> bool:
    """Returns whether a JPEG that is decoded was not cut, also where it got an end: libjpeg says nothing.

    Of one that was cut, libjpeg takes what stands before its end for pixels, whatever it is; of a whole one
    for nothing. So it is decoded once more, where grey is in its last corner or scans refine each other.
    """
    end, n_scans, missing = _scans(content)
    refined = n_scans > 1 or "progressive" in picture.info
    if end is None or (refined and missing):
        return False
    corner = np.array(picture.getpixel((picture.width - 1, picture.height - 1)), dtype=np.int64)
    if not refined and (np.abs(corner - MIDDLE) > 1).any():
        return True
    one = content[:end] + b"\x5a" * 4096 + content[end:]
    with Image.open(io.BytesIO(one), formats=OPENED) as other:
        other.draft(*draft)
        return picture.tobytes() == other.tobytes()


def _scans(content: bytes) -> tuple[int | None, int, set[tuple[int, int]]]:
    """Returns where the first picture of a JPEG ends, its number of scans, and each (colour, frequency) of
    which no scan has the last bit.
    """
    n_scans, missing, at = 0, set[tuple[int, int]](), 2
    while marker := MARKER.search(content, at):
        if (kind := marker[1][0]) == END:
            return marker.start(), n_scans, missing
        at = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
        body = content[marker.end() + 2 : at]
        if kind in HEADS:
            missing = {(colour, frequency) for colour in body[6::3] for frequency in range(64)}
        if kind == SCAN:
            n_scans, n = n_scans + 1, 2 * body[0]
            first, last, bits = body[1 + n : 4 + n]
            if bits % 16 == 0:
                missing -= {(colour, one) for colour in body[1 : 1 + n : 2] for one in range(first, last + 1)}
    return None, n_scans, missing


def _plain(picture: Image.Image, own: str, mode: str) -> tuple[Image.Image, list[str]]:
    """Returns a picture as RGB or L without alpha, and what was changed for that."""
    changes = []
    if own in ("I", "F"):
        raise Unusable("has pixels of 32 bits, 8 or 16 bits a channel are expected: save it so")
    if own.startswith("I;16"):
        picture, changes = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)), [DEEP]
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            changes.append(ALPHA)
    called = CALLED.get(own, own).removesuffix("A")
    if mode == called == "RGB" or DEEP in changes or mode == "L":
        return picture.convert(mode), changes
    return picture.convert(mode), [*changes, f"are {called}, taken as RGB"]


def _fitted(picture: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """Returns a picture of (width, height)."""
    if fit == "resize":
        return picture.resize(size, SOFT)
    if fit == "crop":
        return ImageOps.fit(picture, size, SOFT)
    scale = min(wanted / side for wanted, side in zip(size, picture.size, strict=True))
    inner = [max(1, round(side * scale)) for side in picture.size]
    canvas = Image.new(picture.mode, size, "#808080")
    left, top = ((wanted - side) // 2 for wanted, side in zip(size, inner, strict=True))
    canvas.paste(picture.resize(inner, SOFT), (left, top))
    return canvas


def pictures_below(folder: Path) -> tuple[list[str], bool]:
    """Returns the pictures directly in a folder, or below it where there is none or some are no PNG, and
    whether all are PNG, which are taken as they are.
    """
    names = find_pictures(folder, None, SUFFIXES)
    if all(name.lower().endswith(PNG) for name in names):
        return names, True
    return find_pictures(folder, True, SUFFIXES), False


@DATA.register("photos")
class Photos(Kind[Pictures]):
    """Reads pictures of any size and format, fitted to one size; of a folder, class folders, or a table.

    `size`: height and width, or one number for both. `fit`: resize both axes; crop the middle, of which the
    shorter side is all; pad with grey around the whole picture. `colour`: rgb or grey. `formats`: suffixes of
    the files. `recursive`, `group`, `several`, `limit` and `skip_bad` are as those of `images`.
    """

    samples_are = items_are = "pictures"
    session_key = "images"
    suffixes = (*SUFFIXES, *SHARDS)
    dtype = np.dtype(np.uint8)
    n_steps = None  # a picture is one step

    def __init__(
        self,
        location: Location,
        cache: Cache,
        *,
        size: Size = (256, 256),
        fit: Fit = "resize",
        colour: Literal["rgb", "grey"] = "rgb",
        formats: Annotated[tuple[Format, ...], BeforeValidator(as_list), Field(min_length=1)] = FORMATS,
        recursive: bool = True,
        group: Pattern | None = None,
        several: Several = "none",
        limit: PositiveInt | None = None,
        skip_bad: bool = False,
    ):
        suffixes = tuple(f".{one}" for one in formats)
        super().__init__(Pictures(location, recursive, suffixes, limit, group, several), cache, skip_bad)
        self.size, self.fit, self.colour, self.recursive = size, fit, colour, recursive
        self.changes: dict[int, list[str]] = {}  # of pictures that have been read

    @cached_property
    def fingerprint(self) -> str:
        how = ("photos", VERSION, self.size, self.fit, self.colour, self.skip_bad)
        return fingerprint(*how, self.cache.name_of(self.folder), self.files)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size if self.colour == "grey" else (*self.size, 3)

    @property
    def front(self) -> PictureFront:
        return PictureFront(self.size, "rgb" if self.colour == "rgb" else "intensity", of_any_size=True)

    def sizes(self) -> Sizes:
        """Counts pictures from the listing, and says whether the cache will keep them."""
        return self.sized(len(self.samples), n_bytes_of(self), self.front)

    def open(self) -> Dataset:
        """Decodes the pictures, or finds them decoded; raises a `Fault` where some cannot be read."""
        stored, facts, bad = self.opened()
        if lines := [f"{n:,} {change}" for change, n in facts["changes"].items()]:
            LOG.warning("%s: of %s pictures\n%s", self.folder, f"{len(self.files):,}", listing(lines))
        return self.of_whole_files(stored, bad, self.front)

    def read(self, item: int, first: int = 0, n: int | None = None) -> Iterator[np.ndarray]:
        """Yields (1, height, width[, 3]) of a picture; raises `Unusable` where it cannot be read, or is not
        what was listed.
        """
        picture = picture_of(self.paths[item], self.size, self.fit, "L" if self.colour == "grey" else "RGB")
        self.files[item].require_unchanged(self.paths[item])
        self.changes[item] = picture.changes
        yield picture.pixels[None]

    def facts(self, unusable: dict[int, str]) -> dict[str, Any]:
        """Returns how many pictures were changed in which way; raises a `Fault` where some cannot be read."""
        bad = {self.files[item].name: reason for item, reason in unusable.items()}
        self.refuse_bad(bad)
        return {"changes": Counter(sorted(change for each in self.changes.values() for change in each))}
