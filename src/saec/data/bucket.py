"""Keeps features in a folder of another machine: lists them, fetches what is needed, replaces them as one."""

import fnmatch
import logging
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from saec.config import Config
from saec.data.remote import (
    Object,
    connected,
    copy_objects,
    is_only_check,
    require_remote,
    require_to_copy,
    tried,
    why_unsafe,
)
from saec.data.store import ABOUT, MIRROR, Cache
from saec.faults import Fault, KeptFault, MissingFault
from saec.files import GB, TEMPORARY, fingerprint, write_json
from saec.progress import progress

LOG = logging.getLogger(__name__)


@dataclass
class Bucket:
    """Is a remote folder with sets of files, and a folder of the cache in which they are made and read."""

    url: str
    config: Config
    objects: dict[str, Object] = field(default_factory=dict)  # by name

    def __post_init__(self) -> None:
        require_remote(self.url)
        self.url = self.url.rstrip("/")
        self.folder = self.config.cache / f"{MIRROR}{fingerprint('bucket', self.url)}"
        self._remote, root = tried(partial(connected, self.url), self.url)
        self._root = root.rstrip("/")
        self.look()

    def look(self) -> None:
        """Lists the folder and fetches its JSON files; copies of what is not there any more are removed."""
        self._remote.invalidate_cache()
        self.objects = {one.name.rpartition("/")[2]: one for one in tried(self._listed, self.url)}
        if not is_only_check():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / ABOUT, {"url": self.url})  # so that it is in use: it is not removed
            copies = [file for file in self.folder.glob("*saec_*.[jn]*") if not file.name.startswith(".")]
            for file in copies:
                if not self._has(file):
                    with suppress(OSError):  # Windows removes no file that is mapped
                        file.unlink()
        self.fetch(fnmatch.filter(self.objects, "saec_*.json"))

    def fetch(self, names: Iterable[str]) -> None:
        """Copies files into the cache, but those that lie there already or whose names lead out; raises
        a `Fault` in a check.
        """
        there = {*names} & self.objects.keys()
        left = {name: self.objects[name] for name in there if not why_unsafe(name)}
        left = {name: one for name, one in left.items() if not one.is_at(self.folder / name)}
        if left:
            n_bytes = sum(one.n_bytes for one in left.values())
            words = f"{len(left):,} files ({n_bytes / GB:.2f} GB) of {self.url} are copied into {self.folder}"
            require_to_copy(words)
            copy_objects(self._remote, left, self.folder, self.url, self.config.n_workers)
            Cache.of(self.config).make_room(self.folder)

    def copies(self, pattern: str) -> list[Path]:
        """Fetches what a pattern stands for, with reductions of the same id, and returns the copies, sorted.

        Raises:
            MissingFault: no file matches it.
        """
        whole = sorted(name for name in self.objects if not name.startswith("."))
        names = fnmatch.filter(whole, pattern)
        if not names:
            raise MissingFault(f"no file matches {self.url}/{pattern}")
        ids = tuple("_saec_" + name.rpartition("_saec_")[2] for name in names)
        self.fetch([*names, *(name for name in whole if name.endswith(ids) and "dimred" in name)])
        return [self.folder / name for name in names]

    def left_of(self, id: str) -> list[str]:
        """Returns the names of files that were written but not moved: a process is at work, or was killed."""
        return [name for name in self.objects if name.startswith(f".{id}.made.")]

    def require_writable(self) -> None:
        """Writes a small file, moves and removes it, but in a check; raises a `Fault` where that fails."""
        if signs := {*"*?["} & {*self.url}:
            words = f"{' '.join(sorted(signs))} in the names of its folders would stand for others"
            raise Fault(f"{self.url} cannot be written to: {words}")
        if not is_only_check():
            first, second = (f"{TEMPORARY}{secrets.token_hex(4)}" for _ in range(2))
            tried(partial(self._remote.makedirs, self._root, exist_ok=True), self.url, "written")
            pipe = partial(self._remote.pipe_file, self._path(first), b"saec")
            tried(pipe, f"{self.url}/{first}", "written")
            self._move(first, second)
            self.remove([second])

    def replace(self, id: str, files: list[Path], old: Iterable[str]) -> None:
        """Writes files, of which the last is `<id>.json`, in place of those that an older one lists: first
        under other names, and when all are there, the old JSON goes first and the new one comes last.

        Raises:
            KeptFault: that cannot be done.
        """
        left = {file.name: file for file in files if not self._has(file)}
        n_bytes = sum(file.stat().st_size for file in left.values())
        LOG.info("%d files (%.2f GB) are written to %s", len(left), n_bytes / GB, self.url)
        try:
            for name in progress(left, "uploading", len(left), " files"):  # each in parts that go together
                tried(partial(self._upload, id, left[name]), f"{self.url}/{name}", "written")
            replaced = {*old, *left} - ({file.name for file in files} - left.keys())
            self.remove([files[-1].name, *replaced])
            for name in left:
                self._move(f".{id}.made.{name}", name)
        except Fault as fault:
            raise KeptFault(f"{fault}\nwhat was computed is kept in {self.folder}: call again") from fault
        self.look()

    def remove(self, names: Iterable[str]) -> None:
        """Removes files, of which some may be gone already."""

        def remove(path: str) -> None:
            with suppress(FileNotFoundError):
                self._remote.rm_file(path)

        for name in names:
            tried(partial(remove, self._path(name)), f"{self.url}/{name}", "removed")

    def _listed(self) -> list[Object]:
        try:
            listed = self._remote.ls(self._root, detail=True)
        except FileNotFoundError:  # nothing lies there, or there is no such bucket, which `find` says
            listed = self._remote.find(self._root, detail=True).values()
        return [Object.of(info["name"], info) for info in listed if info["type"] == "file"]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _has(self, file: Path) -> bool:
        """Returns whether a file of this machine is the one that lies there."""
        return file.name in self.objects and self.objects[file.name].is_at(file)

    def _upload(self, id: str, file: Path) -> None:
        path, n_bytes = self._path(f".{id}.made.{file.name}"), file.stat().st_size
        self._remote.put_file(str(file), path)
        if (n := self._remote.info(path)["size"]) != n_bytes:
            raise OSError(f"{n:,} of {n_bytes:,} bytes arrived")

    def _move(self, source: str, name: str) -> None:
        old, new = self._path(source), self._path(name)

        def move() -> None:
            if self._remote.exists(old) or not self._remote.exists(new):  # else only the answer was lost
                self._remote.mv(old, new)

        tried(move, f"{self.url}/{name}", "written")
