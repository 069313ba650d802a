"""Defines faults of the user's or of the data: one clear message, exit code 2, no traceback."""

import errno
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
MANY = r"^(?!series\b|species\b)(\w+?)(?:(?<=ss)es|s)\b"  # the first word, where it is of several things
OF_ONE = dict(are="is", have="has", were="was", lie="lies", do="does", get="gets", tell="tells")
VERBS = rf"(^(?:[^:,]|,\d)*?\b|(?<= and ))({'|'.join(OF_ONE)})\b"  # the first one, and others after `and`
DISK_IS_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
GONE = ("ENODEV", "ENXIO", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ESTALE")
DISK_IS_GONE = {getattr(errno, name) for name in GONE if hasattr(errno, name)}


class Fault(Exception):
    """Is raised for a mistake of the user or in the data: what was expected, what came, where, what to do."""


class BusyFault(Fault):
    """Is raised when another process holds what is needed."""


class KeptFault(Fault):
    """Is raised where what was computed so far stays of use."""


class MissingFault(KeptFault, FileNotFoundError):
    """Is raised when a folder or file does not exist, or a folder lacks the files that belong in it."""


class NoRoom(KeptFault, OSError):
    """Is raised when a disk has no room for a file."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(
            f"{path} cannot be written ({error.strerror}): free some room on its disk, or choose a folder on "
            "another one; what was complete is kept"
        )


class InUse(KeptFault, PermissionError):
    """Is raised when a file cannot be replaced, most often as another program has it open on Windows."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(
            f"{path} cannot be replaced ({error.strerror}): close what has it open, or look at the "
            "permissions of its folder, then call again; what was complete is kept"
        )


class Unusable(Exception):
    """Is raised when a picture or recording cannot be used, and says why."""


def listing(items: Sequence[object], most: int = 10) -> str:
    """Returns the first items, one an indented line, and the number of those left out."""
    rest = [f"  ... and {len(items) - most:,} more"] if len(items) > most else []
    return "\n".join([*(f"  {item}" for item in items[:most]), *rest])


def first_lines(remark: str, most: int = 11) -> str:
    """Returns a remark for the log, of a long list the first lines and the number of those left out."""
    lines = remark.split("\n")
    rest = [f"  ... and {len(lines) - most:,} more"] if len(lines) > most else []
    return "\n".join(lines[:most] + rest)


def number_of(n: int, words: str) -> str:
    """Returns a number and the words for what it counts, which are made those of one thing where it is 1."""
    if n == 1:
        words = re.sub(VERBS, lambda verb: verb[1] + OF_ONE[verb[2]], re.sub(MANY, r"\1", words))
    return f"{n:,} {words}"


def counted(items: Sequence[object], words: str, most: int = 10) -> list[str]:
    """Returns one remark that counts and lists the items, or none where there are none."""
    return [f"{number_of(len(items), words)}:\n{listing(items, most)}"] if items else []


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns a line for each setting that is another than before, with values as a session file has them."""
    changed = [key for key, value in now.items() if before.get(key) != value]
    of = {key: [json.dumps(one.get(key), ensure_ascii=False) for one in (before, now)] for key in changed}
    return [f"{key}: there {there}, here {here}" for key, (there, here) in of.items()]


def suffixes_of(names: Iterable[str]) -> str:
    """Returns in words how many files there are of each of the usual suffixes."""
    there = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in names)
    return ", ".join(f"{n:,} x {suffix}" for suffix, n in there.most_common(5)) or "no file at all"


def collect_faults(faults: list[str], key: str, call: Callable[..., T], *given: Any) -> T | None:
    """Returns what the call gives, or None after adding its fault under the key to `faults`."""
    try:
        return call(*given)
    except Fault as fault:
        faults.append(f"{key}: {fault}")
        return None


def did_you_mean(name: object, names: Sequence[str]) -> str:
    """Returns a hint at the name that was probably meant, else the names there are."""
    close = get_close_matches(str(name), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(names)}"
