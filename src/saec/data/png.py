"""One PNG file into an array of bytes, or one clear reason why it cannot be used."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

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
