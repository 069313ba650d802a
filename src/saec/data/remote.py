"""Copies folders of other machines into the cache, once, through the file systems that fsspec knows."""

import logging
import os
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from math import ceil
from pathlib import Path
from posixpath import splitext
from typing import Any, NamedTuple, TypeVar

from saec.config import LONGEST_NAME, Config, require_no_secret, shown
from saec.data.ahead import ahead
from saec.data.store import ABOUT, MIRROR, Cache
from saec.disk import require_room
from saec.faults import Fault, MissingFault, listing
from saec.files import GB, appearing, as_file_name, fingerprint, locked, write_json
from saec.progress import progress
from saec.samples import LABELS, TABLES

T = TypeVar("T")
LOG = logging.getLogger(__name__)
MB = 10**6
WAITS_S = (1, 4)  # before an object is tried again
LONGEST_REMOTE = LONGEST_NAME - 30  # bytes, as half-written files have longer names
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
MARKS = ["etag", "md5hash", "contentmd5", "sha"]  # what file systems call that by which a change is seen
MARKS += ["lastmodified", "mtime", "updated", "modified", "modify", "created"]
FIRST_S = 315_619_200  # 1980, before which some disks have no time
KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
LASTING = {  # by the class of an exception: what trying again does not change
    "ImportError": "needs a package that is not installed (for s3:// `pip install s3fs`)",
    "ValueError": "cannot be opened",
    "FileNotFoundError": "is not there: look at the names of its bucket and folders",
    "PermissionError": "may not be {}, access is denied: look at the credentials and what they allow",
    "NoCredentialsError": f"needs credentials: set {KEYS}, or FSSPEC_S3='{{\"anon\": true}}' for public data",
    "NotImplementedError": "cannot be {}: its file system does not do that",
    "PartialCredentialsError": f"needs credentials: set both {KEYS}",
}
PASSING = {
    "ConnectionError": "cannot be reached: look at the network, and at AWS_ENDPOINT_URL where that is set",
}
_WAITING: ContextVar[list[str] | None] = ContextVar("waiting", default=None)


class Object(NamedTuple):
    """Holds what is listed of a remote file."""

    name: str  # as its file system has it
    n_bytes: int
    time_s: int  # stands for its ETag, or else its time of change

    @classmethod
    def of(cls, name: str, info: dict[str, Any]) -> "Object":
        of = {key.lower().replace("_", "").replace("-", ""): value for key, value in info.items()}
        mark = next((str(of[key]) for key in MARKS if of.get(key)), "")
        return cls(name, int(of.get("size") or 0), FIRST_S + 2 * int(fingerprint(mark)[:7], 16))

    def is_at(self, path: Path) -> bool:
        """Returns whether this very object was copied there."""
        with suppress(OSError):
            stat = path.stat()
            return (stat.st_size, int(stat.st_mtime)) == (self.n_bytes, self.time_s)
        return False


@contextmanager
def only_listed() -> Iterator[list[str]]:
    """Lets nothing be copied or listed in files in the block; the list takes what would be copied first."""
    waiting: list[str] = []
    token = _WAITING.set(waiting)
    try:
        yield waiting
    finally:
        _WAITING.reset(token)


def is_only_check() -> bool:
    """Returns whether nothing may be written now, as inside `only_listed`."""
    return _WAITING.get() is not None


def require_to_copy(words: str) -> None:
    """Raises a `Fault` with what would be copied first where nothing may be."""
    if (waiting := _WAITING.get()) is not None:
        waiting.append(f"first {words}")
        raise Fault(waiting[-1])


def local_copy(url: str, config: Config, suffixes: Container[str]) -> Path:
    """Returns where a remote folder, file or table lies in the cache, as it is there at this moment.

    Of a folder, and of that of a table, files with these suffixes and tables are copied, and the `labels.csv`
    up to two folders above. What has changed is copied again, what is gone there is removed.

    Raises:
        MissingFault: it is not there, or has no such file.
        Fault: it cannot be read, there is no room, or names are not safe; or inside `only_listed`.
    """
    require_no_secret(url)
    url = url.rstrip("/")
    require_remote(url)
    base = config.cache / f"{MIRROR}{fingerprint(url)}"
    remote, root = tried(partial(connected, url), url)
    path, wanted, n_others = _listed(remote, root.rstrip("/"), url, suffixes, max(1, config.n_workers))
    left = {name: one for name, one in wanted.items() if not one.is_at(base / name)}
    there = [file for file in base.rglob("*") if file.is_file() and not file.name.startswith("unusable_")]
    gone = [file for file in there if file.relative_to(base).as_posix() not in {*wanted, ABOUT}]
    if left or gone:
        n_bytes = sum(one.n_bytes for one in left.values())
        words = f"{len(left):,} files ({n_bytes / GB:.2f} GB) of {url} are copied into {base}"
        words += f" ({n_others:,} others, or hidden ones, are of no use here)" if n_others else ""
        _require_room(sum(one.n_bytes for one in wanted.values()), n_bytes, url, config)
        require_to_copy(words)
        base.mkdir(parents=True, exist_ok=True)
        with locked(base.with_suffix(".lock"), url):
            _require_distinct(wanted, base, url)
            write_json(base / ABOUT, {"url": url})
            _remove(gone, base)
            LOG.info("%s", words)
            copy_objects(remote, left, base, url, config.n_workers)
        Cache.of(config).make_room(base)
    if not is_only_check():
        os.utime(base)  # in use: not removed to make room
    return base / path


def require_remote(url: str) -> None:
    """Raises a `Fault` where an address is none of another machine."""
    if "://" not in url or url.startswith(("file:", "local:")):
        raise Fault(f"{url} names no remote folder: give a folder of this machine by its path")


def connected(url: str) -> tuple[Any, str]:
    """Returns the file system of an address, and what it calls the folder."""
    import fsspec

    return fsspec.core.url_to_fs(url, skip_instance_cache=True)  # which may have other credentials by now


def _listed(
    remote: Any, root: str, url: str, suffixes: Container[str], n_threads: int
) -> tuple[str, dict[str, Object], int]:
    """Returns the path of the copy and the objects to copy by theirs, both from the mirror's folder, and the
    number of others.
    """
    is_table = splitext(url)[1].lower() in TABLES
    folder = root.rpartition("/")[0] if is_table else root
    found = tried(lambda: remote.find(folder, detail=True), url)
    is_file = is_table or [*found] == [root]
    folder = root.rpartition("/")[0] if is_file else root
    *above, last = url.partition("://")[2].split("/")[: -1 if is_file else None]
    above = [*map(as_file_name, above), last]
    stem = "/".join(above[-2:])
    files = [name for name, info in found.items() if info.get("type") == "file" and not name.endswith("/")]
    own = {name: name.removeprefix(f"{folder}/") for name in files}
    of_kind = {name for name in files if splitext(name)[1].lower() in suffixes}
    useful = [name for name in files if name in of_kind or splitext(name)[1].lower() in TABLES]
    if not of_kind or (is_file and root not in found):
        raise MissingFault(f"{url} holds no file that can be used, there are {len(files):,} others")
    unsafe = [f"{name!r} {why}" for name in useful if (why := why_unsafe(own[name]))]
    unsafe += [f"{name!r} {why}" for name in above[-2:] if (why := why_unsafe(name))]
    if unsafe:
        raise Fault(f"{url} has names that no file here can have, rename them there:\n{listing(unsafe)}")
    useful = [name for name in useful if not any(part.startswith(".") for part in own[name].split("/"))]

    def about(name: str) -> Object:
        info = found[name]
        if info.get("size") is None:  # HTTP lists names alone
            info = tried(lambda: remote.info(name), name)
        return Object.of(name, info)

    with closing(ahead(about, useful, 2 * n_threads, n_threads)) as objects:
        wanted = {f"{stem}/{own[one.name]}": one for one in objects}
    for _ in () if is_file else above[:-1][-2:]:  # folders above, where a `labels.csv` may lie
        stem, folder = stem.rpartition("/")[0], folder.rpartition("/")[0]
        with suppress(MissingFault):  # none, or not to be read
            name = f"{folder}/{LABELS}"
            wanted[f"{stem}/{LABELS}".lstrip("/")] = Object.of(name, tried(partial(remote.info, name), name))
    path = "/".join(above[-2:] + [root.rpartition("/")[2]] * is_file)
    return path, wanted, len(files) - len(useful)


def why_unsafe(name: str, on_windows: bool = os.name == "nt") -> str:
    """Returns why no file here can be called by the path of a remote one; "" where it can."""
    parts = name.split("/")
    if {"", ".", ".."} & {*parts} or "\\" in name:
        return "leads out of its folder"
    if not name.isprintable() or name != name.encode(errors="replace").decode():
        return "has signs that are no text"
    if any(len(part.encode()) > LONGEST_REMOTE for part in parts):
        return "is too long"
    devices = any(part.partition(".")[0].strip().lower() in DEVICES for part in parts)
    if on_windows and (devices or set('<>:"|?*') & {*name} or any(part[-1] in ". " for part in parts)):
        return "cannot be on Windows"
    return ""


def _require_distinct(wanted: dict[str, Object], base: Path, url: str) -> None:
    """Raises a `Fault` where a disk would take two names for one, or one is of a file and of a folder."""
    folders = {str(folder) for name in wanted for folder in Path(name).parents}
    twice = sorted(name for name in wanted if str(Path(name)) in folders)
    if base.with_name(base.name.upper()).exists():  # the disk takes A for a
        alike = {name: unicodedata.normalize("NFC", name).casefold() for name in wanted}
        count = Counter(alike.values())
        twice += sorted(name for name in wanted if count[alike[name]] > 1)
    if twice:
        raise Fault(f"{url} has names that are one on this disk, rename them there:\n{listing(twice)}")


def _require_room(n_all: int, n_left: int, url: str, config: Config) -> None:
    if n_all > config.cache_gb * GB:
        raise Fault(
            f"the files of {url} have {n_all / GB:.2f} GB, the cache may hold {config.cache_gb:g} GB: raise "
            "`cache_gb` in the config, or name a smaller folder"
        )
    require_room(config.cache, n_left, f"the files of {url}")


def _remove(gone: list[Path], base: Path) -> None:
    """Removes what is not there any more, and folders that hold nothing then."""
    for file in gone:
        file.unlink(missing_ok=True)
    for folder in sorted(filter(Path.is_dir, base.rglob("*")), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def copy_objects(remote: Any, left: dict[str, Object], base: Path, url: str, n_workers: int) -> None:
    """Copies the objects, several at a time; each file appears whole."""

    def copy(name: str) -> int:
        path, (source, n_bytes, time_s) = base / name, left[name]
        path.parent.mkdir(parents=True, exist_ok=True)

        def get() -> None:
            with appearing(path) as temporary:
                remote.get_file(source, str(temporary))
                n = temporary.stat().st_size
                if n != n_bytes:
                    raise OSError(f"{n:,} of {n_bytes:,} bytes came")
                os.utime(temporary, (time_s, time_s))

        tried(get, f"{url.partition('://')[0]}://{source.partition('://')[2] or source.lstrip('/')}")
        return n_bytes

    n_threads = max(1, n_workers)
    n_mb = ceil(sum(one.n_bytes for one in left.values()) / MB)
    with closing(ahead(copy, left, 2 * n_threads, n_threads)) as sizes:
        for _ in progress(_each_mb(sizes), "copying", n_mb, " MB"):
            pass


def _each_mb(sizes: Iterator[int]) -> Iterator[None]:
    total = 0
    for n_bytes in sizes:
        yield from [None] * ((total + n_bytes) // MB - total // MB)
        total += n_bytes


def tried(call: Callable[[], T], what: str, done: str = "read") -> T:
    """Returns what the call gives, at the third time at last.

    Raises:
        Fault: it cannot be `done`; `what` names the object.
    """
    for wait_s in (*WAITS_S, None):
        try:
            return call()
        except Fault:
            raise
        except Exception as error:  # of whatever package reads such addresses
            names = [one.__name__ for one in type(error).__mro__]
            reason = next((LASTING[name] for name in names if name in LASTING), None)
            if reason is None and wait_s is not None:
                LOG.info("%s: %s, it is tried again in %d s", what, _words_of(error), wait_s)
                time.sleep(wait_s)
                continue
            reason = reason or next((PASSING[name] for name in names if name in PASSING), "cannot be {}")
            reason = reason.replace("{}", done)
            kind = MissingFault if {"FileNotFoundError", "PermissionError"} & {*names} else Fault
            raise kind(f"{what} {reason} ({_words_of(error)})") from error
    raise AssertionError


def _words_of(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(str(error).partition(chr(10))[0][:300])}"
