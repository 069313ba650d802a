"""Long work shows its progress: a bar on a terminal, else a line a minute in the log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG = logging.getLogger(__name__)
LINE_EVERY_S = 60


def progress(
    items: Iterable[T],
    what: str,
    total: int | None = None,
    unit: str = "",
) -> Iterator[T]:
    """Passes the items on and shows how many have passed."""
    if sys.stderr.isatty():
        with tqdm(items, what, total, leave=False, unit=unit or "it", dynamic_ncols=True) as bar:
            yield from bar
        return
    started = shown = time.monotonic()
    for count, item in enumerate(items):
        if time.monotonic() - shown >= LINE_EVERY_S:
            shown = time.monotonic()
            LOG.info("%s: %s", what, _standing(count, total, shown - started))
        yield item


def duration(seconds: float) -> str:
    """Returns a length of time for people: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _standing(count: int, total: int | None, seconds: float) -> str:
    if not total or not count:
        return f"{count:,} after {duration(seconds)}"
    return f"{count:,} of {total:,}, {duration(seconds * (total - count) / count)} left"
