"""Finds fonts of this machine for letters that the usual one of figures lacks."""

import logging
from contextlib import suppress
from functools import lru_cache

from matplotlib.font_manager import fontManager, get_font

LOG = logging.getLogger(__name__)
BOXES = "Last Resort"  # a font of boxes that matplotlib brings


@lru_cache
def letters_of(file: str) -> frozenset[str]:
    """Returns the letters that a font's file has."""
    return frozenset(map(chr, get_font(file).get_charmap()))


@lru_cache
def _warn_of_boxes() -> None:
    """Warns, once."""
    LOG.warning("no font of this machine has all letters of the names: some are boxes; install one")


@lru_cache
def font_for(letters: frozenset[str]) -> str | None:
    """Returns the font of this machine that has the most of these letters, None where none has any."""
    n_there = {}
    fonts = [font for font in fontManager.ttflist if not font.name.startswith(BOXES)]
    for font in fonts if letters else ():
        with suppress(OSError, RuntimeError):  # gone, or without outlines
            n_there[font.name] = len(letters & letters_of(font.fname))
    best = max(n_there, key=n_there.__getitem__, default=None)
    if letters and not (best and n_there[best] == len(letters)):
        _warn_of_boxes()
    return best if best and n_there[best] else None
