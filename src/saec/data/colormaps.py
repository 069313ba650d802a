"""Colour maps and their inverse: a colour-mapped picture carries one byte of information per pixel."""

from functools import lru_cache

import numpy as np

from saec.faults import Fault, did_you_mean

USUAL = ("gray", "viridis", "magma", "inferno", "plasma", "cividis")
ELSEWHERE = -1  # the level of a colour that is not in the map


@lru_cache
def table(name: str) -> np.ndarray:
    """The (256, 3) uint8 colours of a matplotlib map, truncated like matplotlib's own pictures.

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
    """For each 24-bit colour its level in the map, else -1; of levels with one colour the lower."""
    found = np.full(1 << 24, ELSEWHERE, np.int16)
    found[_codes(table(name))[::-1]] = np.arange(256)[::-1]
    return found


def to_intensity(picture: np.ndarray, name: str) -> np.ndarray | None:
    """The (height, width) uint8 levels of a grey or RGB picture, or None where a pixel is not in the map."""
    if picture.ndim == 2:
        return picture if name == "gray" else None
    if name == "gray":
        red = picture[..., 0]
        grey = np.array_equal(red, picture[..., 1]) and np.array_equal(red, picture[..., 2])
        return np.ascontiguousarray(red) if grey else None
    found = levels(name)[_codes(picture)]
    return None if found.min() == ELSEWHERE else found.astype(np.uint8)


def _codes(colours: np.ndarray) -> np.ndarray:
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue
