"""What is said of files finds the files of predictions, called by their path or by their name alone."""

from collections import Counter
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def matched(said: dict[str, T], files: np.ndarray) -> tuple[dict[str, T], list[str]]:
    """What is said of files, which are called by path or by name alone; and what is said of no file."""
    plain = {plain_path(name): value for name, value in said.items()}
    names = np.unique(files).tolist()
    short = [PurePosixPath(name).name for name in names]
    alike = Counter(short)
    found, used = {}, set()
    for name, last in zip(names, short, strict=True):
        called = last if name not in plain and alike[last] == 1 else name
        if called in plain:
            found[name] = plain[called]
            used.add(called)
    return found, sorted(plain.keys() - used)


def such_as(said: dict[str, T], files: np.ndarray) -> str:
    """The end of a fault: one name of each side."""
    there = f"{next(iter(said))!r} there, " if said else ""
    return f" of the predictions: {there}{str(files[0])!r} among the predictions; write them alike"


def plain_path(name: str) -> str:
    """A relative path as predictions have it, whatever system it was written on."""
    return name.strip().replace("\\", "/").removeprefix("./")
