"""What went wrong outside the program: one clear message for the user, exit code 2, no traceback."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")


class Fault(Exception):
    """A fault of the user's or of the data: what was expected, what came, where, and what to do."""


class MissingFault(Fault, FileNotFoundError):
    """A folder or file that is not there, or a folder without the files that belong in it."""


def listing(items: Sequence[object], most: int = 10) -> str:
    """The first items, one an indented line, and a count of those left out."""
    rest = [f"  ... and {len(items) - most:,} more"] if len(items) > most else []
    return "\n".join([*(f"  {item}" for item in items[:most]), *rest])


def collect_faults(faults: list[str], key: str, ask: Callable[..., T], *given: Any) -> T | None:
    """The answer, or None with the fault noted under its key, so that all faults can be said at once."""
    try:
        return ask(*given)
    except Fault as fault:
        faults.append(f"{key}: {fault}")
        return None


def did_you_mean(name: object, names: Sequence[str]) -> str:
    """A hint at the name that was probably meant, else the names there are."""
    close = get_close_matches(str(name), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(names)}"
