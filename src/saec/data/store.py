"""Stores decoded samples once in the cache, never half-built, or streams them if there is no room."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saec.config import Config
from saec.data.ahead import ahead
from saec.data.packed import position_of
from saec.data.stored import Mapped, Reader, Streamed, Windows
from saec.disk import free_bytes, new_map
from saec.documents import read_cached, write_cached
from saec.faults import BusyFault, Unusable
from saec.files import (
    DAMAGE,
    DAY_S,
    GB,
    LOCK,
    TEMPORARY,
    appearing_folder,
    flush,
    locked,
    remove,
    require_writable,
)
from saec.processes import local_world_size
from saec.progress import progress

LOG = logging.getLogger(__name__)
VERSION = 3  # of how samples lie in the cache: older stores are not used, and are removed when room is needed
ARRAY, ABOUT = "samples.npy", "about.json"
MIRROR = "remote_"  # begins the name of a copy of a remote folder
MIRROR_S = 7 * DAY_S  # since its last use in which a copy is not removed to make room
CHECKED = "_checked"  # ends the name of a folder that holds facts alone
WAIT_S = 0.5  # until it is looked again whether another process has read them
N_AHEAD = 256  # items read before the first of them is looked at


@dataclass(frozen=True)
class Cache:
    """Holds the folder of stores, how much room they may take together, and the threads that fill them."""

    folder: Path
    gigabytes: float = 20
    n_workers: int = 0

    @classmethod
    def of(cls, config: Config) -> "Cache":
        return cls(config.cache, config.cache_gb, config.n_workers)

    def path(self, key: str, ending: str = "") -> Path:
        return self.folder / f"{key}_{VERSION}{ending}"

    def holds(self, key: str) -> bool:
        """Returns whether there is a finished store."""
        return (self.path(key) / ABOUT).is_file()

    def find(self, key: str) -> tuple[Mapped, dict[str, Any]] | None:
        """Returns the items and the facts of a finished store, which counts as used just now."""
        if not self.holds(key):
            return None
        about = self.path(key) / ABOUT
        try:
            facts, array = self._facts_in(about.parent) or {}, np.load(about.with_name(ARRAY), mmap_mode="r")
            if facts.get("array") == _described(array):
                if "starts" not in facts:
                    return Mapped(array), facts
                starts, n_steps = (np.array(facts[name], np.int64) for name in ("starts", "n_steps"))
                return Mapped(array, (starts, n_steps)), facts
            LOG.warning("%s is damaged: its samples are decoded anew", about.parent)
        except DAMAGE as error:
            LOG.warning("%s is damaged (%r): its samples are decoded anew", about.parent, error)
        about.unlink(missing_ok=True)  # which makes it no store
        return None

    def facts(self, key: str) -> dict[str, Any] | None:
        """Returns the facts of a finished store, or of items that were only checked."""
        folders = (self.path(key), self.path(key, CHECKED))
        every = (self._facts_in(folder) for folder in folders if (folder / ABOUT).is_file())
        return next(filter(None, every), None)

    def name_of(self, folder: Path) -> str:
        """Returns a folder's path, from the cache on for what lies there, so that machines call it alike."""
        return folder.relative_to(self.folder).as_posix() if self.folder in folder.parents else str(folder)

    def no_room(self, n_bytes: int) -> str:
        """Returns why an array of that size is not kept here, with the remedy; "" where it can be."""
        copies = sum(_n_bytes_in(folder) for folder in self.folder.glob(f"{MIRROR}*/") if _is_used(folder))
        if n_bytes > self.gigabytes * GB - copies:
            beside = f", and holds {copies / GB:.2f} GB of remote folders" if copies else ""
            remedy = "raise `cache_gb` in the config to keep them"
            return f"the cache may hold {self.gigabytes:g} GB{beside} ({remedy})"
        free = free_bytes(self.folder)
        if n_bytes > free:
            return f"the disk of {self.folder} has {free / GB:.2f} GB free (make room on it to keep them)"
        return ""

    def keep(self, key: str, fill: Callable[[Path], dict[str, Any]], ending: str = "") -> None:
        """Makes a folder that appears when `fill` has put everything else into it and returned the facts."""
        require_writable(self.folder)
        folder = self.path(key, ending)
        if folder.exists() and not (folder / ABOUT).is_file():  # a torn removal
            remove(folder)
        with appearing_folder(folder) as part:
            write_cached(part / ABOUT, fill(part))
        self.make_room(folder)

    def _facts_in(self, folder: Path) -> dict[str, Any] | None:
        os.utime(folder)
        facts = read_cached(folder / ABOUT)
        if facts is None:
            (folder / ABOUT).unlink(missing_ok=True)  # which makes it no store
        return facts

    def make_room(self, kept: Path) -> None:
        """Removes the least recently used stores, and copies of remote folders, until the rest fits, and what
        is left of torn removals. What may be in use stays.
        """
        for folder in self.folder.iterdir():
            is_torn = folder.is_dir() and not (folder / ABOUT).is_file()
            if is_torn and folder.stat().st_mtime < time.time() - DAY_S:
                remove(folder)
        finished = [folder for folder in self.folder.iterdir() if (folder / ABOUT).is_file()]
        finished = [folder for folder in finished if not folder.name.startswith(TEMPORARY)]
        used, total = {folder for folder in finished if folder == kept or _is_used(folder)}, 0
        for folder in sorted(finished, key=lambda f: (f in used, f.stat().st_mtime), reverse=True):
            total += _n_bytes_in(folder)
            if total > self.gigabytes * GB and folder not in used:
                LOG.info("cache: removing %s, the least recently used", folder)
                (folder / ABOUT).unlink(missing_ok=True)  # first, so that a torn removal is no store
                remove(folder)


def _is_used(folder: Path) -> bool:
    """Returns whether a folder is a copy of a remote one that a process may be reading."""
    return folder.name.startswith(MIRROR) and folder.stat().st_mtime > time.time() - MIRROR_S


def _n_bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _described(array: np.ndarray) -> list[Any]:
    return [list(array.shape), array.dtype.str]


def n_bytes_of(reader: Reader) -> int:
    """Returns the bytes of the decoded items."""
    return int(_n_steps(reader).sum()) * int(np.prod(reader.shape)) * np.dtype(reader.dtype).itemsize


def open_items(
    cache: Cache, key: str, reader: Reader, folder: Path
) -> tuple[Mapped | Streamed, dict[str, Any]]:
    """Returns items and their facts: found, or decoded into the cache, or streamed where it has no room.

    Of several processes one decodes, the others wait for it.

    Raises:
        Fault: as the reader says.
    """
    stored, is_said = cache.find(key), False
    while not stored:
        try:
            cache.folder.mkdir(parents=True, exist_ok=True)
            with locked(cache.path(key, LOCK), folder):
                return cache.find(key) or _made(cache, key, reader, folder)
        except BusyFault:
            if not is_said:
                LOG.info("another process reads the %s of %s: waiting for it", reader.items_are, folder)
            is_said = True
            time.sleep(WAIT_S)
            stored = cache.find(key)
    return stored


def _made(cache: Cache, key: str, reader: Reader, folder: Path) -> tuple[Mapped | Streamed, dict[str, Any]]:
    """Decodes items into the cache, or checks those that it has no room for."""
    n_bytes = n_bytes_of(reader)
    no_room = cache.no_room(n_bytes)
    what = f"{len(reader.paths):,} {reader.items_are} of {folder} ({n_bytes / GB:.2f} GB)"
    if not no_room:
        LOG.info("decoding %s", what)
        cache.keep(key, lambda part: _decoded(reader, cache.n_workers, part / ARRAY))
        if stored := cache.find(key):
            return stored
        no_room = f"{cache.path(key)} cannot be read"
    LOG.info("%s are decoded whenever they are used: %s", what, no_room)
    facts = cache.facts(key)
    if facts is None:
        checked = _facts(reader, check(reader, cache.n_workers))
        cache.keep(key, lambda part: checked, CHECKED)
        facts = cache.facts(key) or checked
    n_steps = np.array(facts.get("n_steps", [1] * len(reader.paths)), dtype=np.int64)
    whole = Windows(np.arange(len(n_steps)), np.zeros_like(n_steps), n_steps)
    return Streamed(reader, whole, cache.n_workers // local_world_size()), facts


def check(reader: Reader, n_workers: int, array: np.ndarray | None = None) -> list[tuple[int, str]]:
    """Reads every item, into its part of the array if there is one; returns its number of steps, or 0 and why
    it cannot be used.
    """
    items = sorted(range(len(reader.paths)), key=lambda item: position_of(reader.paths[item]))
    n_steps = _n_steps(reader)
    read = partial(_read_one, reader, n_steps, np.cumsum(n_steps), array)
    results = ahead(read, items, N_AHEAD, n_workers) if n_workers else map(read, items)
    doing = "checking" if array is None else "decoding"
    each = progress(results, doing, len(items), f" {reader.items_are}")
    of_item = dict(zip(items, each, strict=True))
    return [of_item[item] for item in range(len(items))]


def _n_steps(reader: Reader) -> np.ndarray:
    """Returns the largest possible number of steps of each item."""
    return np.array([1] * len(reader.paths) if reader.n_steps is None else reader.n_steps, dtype=np.int64)


def _decoded(reader: Reader, n_workers: int, path: Path) -> dict[str, Any]:
    """Decodes all items into an array; returns what is kept of them."""
    array = new_map(path, reader.dtype, (max(1, int(_n_steps(reader).sum())), *reader.shape))
    facts = _facts(reader, check(reader, n_workers, np.asarray(array)))
    flush(array)
    return facts | {"array": _described(array)}


def _facts(reader: Reader, results: list[tuple[int, str]]) -> dict[str, Any]:
    """Returns what is kept of all items; raises what the reader raises of them."""
    unusable = {item: reason for item, (_, reason) in enumerate(results) if reason}
    facts = reader.facts(unusable) | {"unusable": list(unusable.items())}
    if reader.n_steps is None:
        return facts
    n_steps = _n_steps(reader)
    return facts | {"starts": (np.cumsum(n_steps) - n_steps).tolist(), "n_steps": [n for n, _ in results]}


def _read_one(
    reader: Reader, n_steps: np.ndarray, ends: np.ndarray, array: np.ndarray | None, item: int
) -> tuple[int, str]:
    """Returns the number of steps of an item, and why it cannot be used, if it cannot."""
    n, at_most = 0, int(n_steps[item])
    part = None if array is None else array[ends[item] - at_most : ends[item]]
    try:
        for block in reader.read(item):
            block = block[: at_most - n]
            if part is not None and block.shape[1:] == part.shape[1:]:
                part[n : n + len(block)] = block
            n += len(block)
    except Unusable as reason:
        return 0, str(reason)
    return n, ""
