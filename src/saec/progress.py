"""Shows people the progress of work as bars or lines, and writes log lines to the terminal and a file."""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, TypeVar

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of notebooks without ipywidgets, where bars are drawn with letters
    from tqdm.autonotebook import tqdm

from saec.processes import rank

T = TypeVar("T")
LOG = logging.getLogger(__name__)
FIRST_LINE_S, LINE_EVERY_S = 10, 60
LINE = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
DATED_LINE = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
OURS = logging.getLogger("saec")


def progress(
    items: Iterable[T], what: str, total: int | None = None, unit: str = "it", note: Callable[[], str] = str
) -> Iterator[T]:
    """Passes the items on and shows how many have passed, in the first process; a bar ends with the note."""
    if rank():
        yield from items
        return
    if in_notebook() or sys.stderr.isatty():
        with tqdm(items, what, total, leave=False, unit=unit, dynamic_ncols=True) as bar:
            for item in bar:
                yield item
                bar.set_postfix_str(note(), refresh=False)
        return
    started = time.monotonic()
    next_line = started + FIRST_LINE_S
    for count, item in enumerate(items):
        if (now := time.monotonic()) >= next_line:
            next_line, seconds = now + LINE_EVERY_S, now - started
            standing = f"{count:,} after {duration(seconds)}"
            if total and count:
                standing = f"{count:,} of {total:,}, {duration(seconds * (total - count) / count)} left"
            LOG.info("%s: %s", what, standing)
        yield item


def pieces(n: int, size: int, what: str, unit: str = " pieces") -> Iterator[slice]:
    """Yields slices of so many of n rows, one after the other, and shows how many have passed."""
    starts = range(0, n, size)
    for start in progress(starts, what, len(starts), unit):
        yield slice(start, start + size)


def duration(seconds: float) -> str:
    """Returns a length of time for people: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def in_notebook() -> bool:
    """Returns whether this is the kernel of a notebook, which imports IPython before anything else."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def show_in_notebook() -> None:
    """Shows log lines in a notebook, as on a terminal, unless its user has set up logging."""
    if in_notebook() and logging.getLogger().handlers:
        OURS.setLevel(logging.INFO)
    elif in_notebook():
        to_terminal()


def to_terminal() -> None:
    """Sends all lines to stderr, of other processes than the first one warnings alone; stdout has paths."""
    OURS.handlers = [handler for handler in OURS.handlers if not isinstance(handler, _Terminal)]
    handler = _Terminal()
    handler.setFormatter(LINE)
    handler.setLevel(logging.WARNING if rank() else logging.INFO)
    OURS.addHandler(handler)
    OURS.setLevel(logging.INFO)


@contextmanager
def also_into(file: Path) -> Iterator[None]:
    """Adds the lines that are logged inside the block to the file, too."""
    handler = _LogFile(file, encoding="utf-8")
    handler.setFormatter(DATED_LINE)
    level = OURS.level
    OURS.addHandler(handler)
    OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        OURS.setLevel(level)
        OURS.removeHandler(handler)
        with suppress(OSError):  # said before
            handler.close()


class _LogFile(logging.FileHandler):
    """Writes to a file as long as that can be written: the work counts, not its log."""

    def handleError(self, record: logging.LogRecord) -> None:
        OURS.removeHandler(self)
        LOG.warning("%s gets no more lines: %s", self.baseFilename, sys.exc_info()[1])


class _Terminal(logging.StreamHandler):
    """Writes to whatever `sys.stderr` is at that moment, each warning once."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        n_before = len(self.shown)
        self.shown.add(record.getMessage())
        return len(self.shown) > n_before

    @property
    def stream(self) -> TextIO:
        return sys.stderr
