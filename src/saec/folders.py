"""Lists what lies in folders and below them."""

import os
from collections.abc import Container
from pathlib import Path

from saec.faults import Fault, MissingFault, listing, suffixes_of


def files_below(
    folder: Path,
    suffixes: Container[str] | None = None,
    recursive: bool = True,
    others: list[str] | None = None,
) -> dict[str, os.DirEntry]:
    """Returns the files in a folder, and below it, by relative POSIX path, sorted by code point.

    Hidden ones are left out. Links are followed, but not to a folder on the way to them. Raises a `Fault`
    where a folder cannot be listed, names are no text, or links lead nowhere. `suffixes` are written small;
    `others` gets the names of files with another one.
    """
    listed: dict[str, os.DirEntry] = {}
    left = [(str(folder), "", {os.path.realpath(folder)})]
    while left:
        path, stem, above = left.pop()
        for entry in _visible(path):
            name = stem + entry.name
            if entry.is_dir():
                real = os.path.realpath(entry)
                left += [(entry.path, f"{name}/", above | {real})] if recursive and real not in above else []
            elif suffixes is None or os.path.splitext(entry.name)[1].lower() in suffixes:
                listed[name] = entry
            elif others is not None:
                others.append(name)
    no_text = sorted(ascii(name) for name in listed if name != name.encode(errors="replace").decode())
    if no_text:
        raise Fault(f"{folder} holds names that are no UTF-8 text, rename them:\n{listing(no_text)}")
    no_files = sorted(name for name, entry in listed.items() if not entry.is_file())
    if no_files:
        raise Fault(f"{folder} holds links that lead nowhere, remove or mend them:\n{listing(no_files)}")
    return dict(sorted(listed.items()))


def found_below(folder: Path, suffixes: Container[str], what: str, such: str) -> list[str]:
    """Returns the names of files with these suffixes; `what` and `such` are one of them, and some, in words.

    Raises:
        MissingFault: there is no such folder, or no such file in it.
        Fault: as `files_below`.
    """
    if not folder.is_dir():
        raise MissingFault(f"no folder of {what}s: {folder}")
    names = list(files_below(folder, suffixes))
    if not names:
        found = suffixes_of(files_below(folder))
        raise MissingFault(f"no {what} in {folder} or below it: expected {such}, found {found}")
    return names


def _visible(folder: str) -> list[os.DirEntry]:
    """Returns what is in a folder and not hidden, as systems hide it: by a dot."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise Fault(f"{folder} cannot be listed ({error.strerror}): look at its permissions") from error
