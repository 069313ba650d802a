"""Reads files within shards, tar or Parquet with bytes, as if each lay in the folder of its shard."""

import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from pathlib import Path
from posixpath import splitext
from typing import NamedTuple

from saec.data.shards import (
    ABOUT,
    BYTES,
    CLASS,
    SHARDS,
    TAR,
    UNCOMPRESSED,
    About,
    Member,
    bytes_in,
    files_of,
    has_files,
)
from saec.faults import Fault, Unusable, counted, listing
from saec.files import appearing
from saec.folders import files_below
from saec.progress import pieces, progress
from saec.samples import Samples, Several, join, nearest_labels, of_cells

COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tar\.\w+)$", re.IGNORECASE)
TABLES_WITHIN = (CLASS, ABOUT, ".csv")


class Packed(NamedTuple):
    """Holds what the shards in a folder hold: the files by their names, and what is said of them."""

    state: list[tuple]  # of the shards: path, bytes, time of change
    members: dict[str, Member]
    abouts: dict[str, About]


# By the folder, as it was listed last; kept until the process ends, as readers are given paths alone
_LISTED: dict[Path, Packed] = {}


def names_below(
    folder: Path, suffixes: Container[str], recursive: bool = True, others: list[str] | None = None
) -> list[str]:
    """Returns the files in a folder, and below it, as `files_below` does; shards are as the files in them.

    Raises:
        Fault: as `files_below`; a shard cannot be read, or there are such files beside shards of them.
    """
    rest: list[str] = []
    names, packed = list(files_below(folder, suffixes, recursive, rest)), []
    shards, damaged, tables = defaultdict(list), [], []
    for name in (name for name in rest if name.lower().endswith(SHARDS)):
        try:
            if has_files(folder / name):
                shards[(folder / name).parent].append(folder / name)
            else:
                tables.append(f"{name} has no column {' or '.join(BYTES)} with bytes")
        except Unusable as reason:
            damaged.append(f"{name} {reason}")
    if folder not in shards:
        _LISTED.pop(folder, None)
    for parent, paths in shards.items():
        stem = "" if parent == folder else f"{parent.relative_to(folder).as_posix()}/"
        packed += [stem + name for name in _packed(parent, paths).members if recursive or "/" not in name]
    chosen = [name for name in packed if splitext(name)[1].lower() in suffixes]
    if chosen and names:
        both = f"{names[0]} and shards with {chosen[0]}"
        raise Fault(f"{folder} holds {both}: put shards into a folder of their own")
    wrong = [f"{name} is compressed: {UNCOMPRESSED}" for name in rest if COMPRESSED.search(name)] + damaged
    wrong = wrong if chosen else (wrong + tables) * recursive  # else folders below may hold files
    if wrong and not names:
        raise Fault(f"shards in {folder} cannot be used:\n{listing(wrong)}")
    if others is not None:
        own = {path.relative_to(folder).as_posix() for paths in shards.values() for path in paths}
        others += [name for name in rest if name not in own] + sorted({*packed} - {*chosen})
    return sorted(chosen) or names


def member_at(path: Path) -> Member | None:
    """Returns where a file lies within a shard that was listed; None for a file of its own."""
    for parent in path.parents if _LISTED else ():
        if parent in _LISTED:
            name = path.relative_to(parent).as_posix()
            if member := _LISTED[parent].members.get(name):
                return member
    return None


def file_of(path: Path) -> Path:
    """Returns the file in which another lies: its shard, or itself."""
    member = member_at(path)
    return member.shard if member else path


def position_of(path: Path) -> tuple[str, int]:
    """Returns a key by which files are sorted so that shards are read from their beginning to their end."""
    member = member_at(path)
    return (str(member.shard), member.at) if member else ("", 0)


def state_of(path: Path) -> tuple[int, int]:
    """Returns bytes and time of change of a file; within a shard the time is that of the shard."""
    member = member_at(path)
    stat = (member.shard if member else path).stat()
    return member.n_bytes if member else stat.st_size, stat.st_mtime_ns


def bytes_of(path: Path, n: int = -1) -> bytes:
    """Returns the first n bytes of a file, or all, also of one within a shard; raises an `OSError`."""
    member = member_at(path)
    if member:
        return bytes_in(member, n)
    with path.open("rb") as file:
        return file.read(n)


def labels_beside(
    samples: Samples, folder: Path, *, what: str, several: Several | None = None
) -> tuple[Samples, list[str]]:
    """Joins the nearest table of labels as `nearest_labels` does, else what the shards say of their files."""
    joined, remarks = nearest_labels(samples, folder, what=what, several=several)
    packed = _LISTED.get(folder, Packed([], {}, {}))
    loose = [name for name in packed.members if name.endswith(TABLES_WITHIN)]
    remarks += counted(loose, "files in shards are of no picture, tables belong beside shards")
    own = {*samples.files.tolist()}
    rows = [(file, {**about, "file": file}) for file, about in packed.abouts.items() if file in own]
    heads = list(dict.fromkeys(head for _, about in rows for head in about))
    if joined is samples and "label" in heads:
        table = of_cells(folder, (heads, rows, "."))
        joined, more = join(samples, table, f"shards in {folder}", named=False, what=what, several=several)
        remarks = remarks + more
    return joined, remarks


def write_shards(files: Sequence[Path], folder: Path, n: int) -> None:
    """Writes files into tars of n files each, `000000.tar` and so on, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, some in enumerate(pieces(len(files), n, "packing", " shards")):
        with appearing(folder / f"{number:06d}{TAR}") as temporary, tarfile.open(temporary, "w") as tar:
            for path in files[some]:
                info = tarfile.TarInfo(path.name)
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)


def _packed(folder: Path, shards: list[Path]) -> Packed:
    """Returns what shards hold, read anew where one has changed since they were listed."""
    state = [(path, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sorted(shards)]
    if folder in _LISTED and _LISTED[folder].state == state:
        return _LISTED[folder]
    packed, faults, n_of = Packed(state, {}, {}), [], Counter[str]()
    for shard, *_ in progress(state, "listing", len(state), " shards"):
        try:
            for name, member, about in files_of(shard):
                n_of[name] += 1
                packed.members[name] = member
                nested = {key for key, one in about.items() if isinstance(one, dict | list | bytes)}
                about = {key: one for key, one in about.items() if key not in nested}
                about |= {"label": ""} if "label" in nested else {}
                packed.abouts.update({name: about} if about else {})
        except Unusable as reason:
            faults.append(f"{shard.name} {reason}")
    unsafe = [ascii(name) for name in packed.members if _leads_out(name)]
    twice = sorted(name for name, n in n_of.items() if n > 1 and not name.endswith(TABLES_WITHIN))
    faults += counted(unsafe, "names are outside the folder, or no text, rename them")
    faults += counted(twice, "names are there more than once, rename all but one of each")
    if faults:
        raise Fault(f"shards in {folder} cannot be used:\n{listing(faults)}")
    _LISTED[folder] = packed
    return packed


def _leads_out(name: str) -> bool:
    is_text = name == name.encode(errors="replace").decode()
    return not is_text or "\\" in name or bool({"", ".", ".."} & {*name.split("/")} or Path(name).anchor)
