"""Log lines go to the terminal's error stream, and into a run's own log file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LINE = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
DATED_LINE = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
OURS = logging.getLogger("saec")


def to_terminal() -> None:
    """Sends all lines to stderr; stdout carries nothing but paths."""
    OURS.handlers = [handler for handler in OURS.handlers if not isinstance(handler, _Terminal)]
    handler = _Terminal()
    handler.setFormatter(LINE)
    OURS.addHandler(handler)
    OURS.setLevel(logging.INFO)


@contextmanager
def also_into(file: Path) -> Iterator[None]:
    """Adds the lines that are logged inside the block to the file, too."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(DATED_LINE)
    level = OURS.level
    OURS.addHandler(handler)
    OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        OURS.setLevel(level)
        OURS.removeHandler(handler)
        handler.close()


class _Terminal(logging.StreamHandler):
    """Writes to whatever `sys.stderr` is at that moment."""

    def __init__(self):
        logging.Handler.__init__(self)

    @property
    def stream(self):
        return sys.stderr
