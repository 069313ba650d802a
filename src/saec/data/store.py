"""Decoded samples lie in the cache, one memory-mapped array per folder, never read half-built."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np

from saec.config import Config
from saec.files import GB, free_bytes, require_writable, write_json

LOG = logging.getLogger(__name__)
ARRAY, ABOUT, PART = "samples.npy", "about.json", ".part_"
CHECKED = "_checked"  # ends the name of a folder that holds facts alone
DAY_S = 86_400


@dataclass(frozen=True)
class Cache:
    """Where stores lie, how much room they may take together, and how many threads fill them."""

    folder: Path
    gigabytes: float = 20
    n_workers: int = 0

    @classmethod
    def of(cls, config: Config) -> "Cache":
        return cls(config.cache, config.cache_gb, config.n_workers)

    def find(self, fingerprint: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        """The array and the facts of a finished store, marked as used just now."""
        store = self.folder / fingerprint
        if not (store / ABOUT).is_file():
            return None
        os.utime(store)
        about = json.loads((store / ABOUT).read_text(encoding="utf-8"))
        return np.load(store / ARRAY, mmap_mode="r"), about

    def build(
        self,
        fingerprint: str,
        shape: tuple[int, ...],
        dtype: type,
        fill: Callable[[np.ndarray], dict[str, Any]],
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Lets `fill` write into a new array; what it returns is kept beside the array.

        Whether there is room for it (`no_room`) is to be asked before.
        """
        require_writable(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{PART}{fingerprint}_{os.getpid()}"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            array = np.lib.format.open_memmap(part / ARRAY, "w+", dtype, shape)
            about = fill(array)
            array.flush()
            del array
            write_json(part / ABOUT, about)
            self._take(part, self.folder / fingerprint)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._make_room(keep=fingerprint)
        return self.find(fingerprint)

    def no_room(self, n_bytes: int) -> str:
        """Why an array of that size is not kept here, with the remedy; nothing where it can be."""
        if n_bytes > self.gigabytes * GB:
            return f"the cache may hold {self.gigabytes:g} GB (raise `cache_gb` in the config to keep them)"
        free = free_bytes(self.folder)
        if n_bytes > free:
            return f"the disk of {self.folder} has {free / GB:.2f} GB free (make room on it to keep them)"
        return ""

    def facts(self, fingerprint: str) -> dict[str, Any] | None:
        """What an earlier look at samples found that are not kept here."""
        store = self.folder / f"{fingerprint}{CHECKED}"
        if not (store / ABOUT).is_file():
            return None
        os.utime(store)
        return json.loads((store / ABOUT).read_text(encoding="utf-8"))

    def keep_facts(self, fingerprint: str, about: dict[str, Any]) -> None:
        require_writable(self.folder)
        store = self.folder / f"{fingerprint}{CHECKED}"
        store.mkdir(parents=True, exist_ok=True)
        write_json(store / ABOUT, about)
        self._make_room(keep=store.name)

    def _take(self, part: Path, store: Path) -> None:
        """Puts a finished part in place, unless another process was faster."""
        try:
            part.rename(store)
        except OSError:
            if self.find(store.name) is None:  # a torn removal is in the way
                shutil.rmtree(store)
                part.rename(store)

    def _make_room(self, keep: str) -> None:
        """Removes the least recently used stores until the rest fits, and what was left half-built."""
        stores = [f for f in self.folder.iterdir() if f.is_dir()]
        for part in stores:
            unfinished = part.name.startswith(PART) or not (part / ABOUT).is_file()
            if unfinished and part.stat().st_mtime < time.time() - DAY_S:
                shutil.rmtree(part, ignore_errors=True)
        total = 0
        finished = [f for f in stores if (f / ABOUT).is_file()]
        for store in sorted(finished, key=lambda f: (f.name == keep, f.stat().st_mtime), reverse=True):
            total += sum(file.stat().st_size for file in store.iterdir())
            if total > self.gigabytes * GB and store.name != keep:
                LOG.info("cache: removing %s, the least recently used", store)
                (store / ABOUT).unlink(missing_ok=True)  # first, so that a torn removal is no store
                shutil.rmtree(store, ignore_errors=True)


Take = Callable[[int, np.ndarray], None]  # puts a sample into its row
Fill = Callable[[np.ndarray], dict[str, Any]]  # puts all of them into an array, returns what is known of them


class Left(Exception):
    """Nobody waits for the rest any more."""


class Arriving:
    """(n, ...) uint8 by arrays of row numbers, while a thread of its own fills the array in their order.

    `build` makes the array, lets the function it is given fill it, and returns the array as it is kept;
    `decode` calls back with each sample. What either raises comes to whoever waits for a row.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        shape: tuple[int, ...],
        build: Callable[[Fill], tuple[np.ndarray, dict[str, Any]]],
        decode: Callable[[Take], dict[str, Any]],
    ):
        self.shape = shape
        self.nbytes = int(np.prod(shape))
        self._build = build
        self._decode = decode
        self._array: np.ndarray | None = None
        self._n_there = 0
        self._error: BaseException | None = None
        self._left = False
        self._changed = Condition()
        self._thread: Thread | None = None  # once somebody asks

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self._begin()
        last = int(rows.max(initial=-1))
        with self._changed:
            self._changed.wait_for(lambda: self._error or (self._array is not None and self._n_there > last))
            if self._error:
                raise self._error
            return self._array[rows]

    def settle(self) -> None:
        """Waits until all is there and kept; raises what went wrong."""
        self._begin()
        self._thread.join()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Ends the thread, whatever is still to come."""
        self._left = True
        if self._thread:
            self._thread.join()

    def _begin(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="arriving")
                self._thread.start()

    def _run(self) -> None:
        try:
            array, _ = self._build(self._fill)
            self._set(array, len(array))
        except BaseException as error:  # raised again by whoever waits
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _fill(self, array: np.ndarray) -> dict[str, Any]:
        """Lends the array to those who wait; Windows moves no file that is mapped, so not for longer."""
        self._set(array, 0)
        try:
            return self._decode(self._take)
        finally:
            self._set(None, self._n_there)

    def _take(self, row: int, sample: np.ndarray) -> None:
        """Rows that cannot be used never come: after them no other counts as there."""
        if self._left:
            raise Left
        self._array[row] = sample
        if row == self._n_there:
            self._set(self._array, row + 1)

    def _set(self, array: np.ndarray | None, n_there: int) -> None:
        with self._changed:
            self._array, self._n_there = array, n_there
            self._changed.notify_all()
