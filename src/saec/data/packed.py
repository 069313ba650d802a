"""Reads files within shards, tar or Parquet with bytes, as if each lay in the folder of its shard."""

import errno
import json
import re
import tarfile
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from posixpath import splitext
from threading import Lock
from typing import Any, NamedTuple

from saec.faults import Fault, Unusable, counted, listing
from saec.files import appearing
from saec.folders import files_below
from saec.progress import pieces, progress
from saec.samples import Samples, Several, join, nearest_labels, of_cells

TAR, PARQUET = SHARDS = (".tar", ".parquet")
COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tar\.\w+)$", re.IGNORECASE)
HIDDEN = re.compile(r"\.(?!\.?$)")  # how parts of a name begin that systems hide
CLASS, ABOUT = ".cls", ".json"  # files beside a picture in a tar: its label, or a mapping of labels
NAMES = ("name", "path", "file", "file_name", "filename")  # columns of a Parquet; the first that is there
BYTES = ("bytes", "image")  # the second is a mapping of bytes and path, as data sets have it
UNCOMPRESSED = "write its files into a tar that is not compressed"
BLOCK = 512  # bytes of a tar's header, and of its end
N_GROUPS = 2  # of rows of a Parquet that are kept in memory
_LOCK = Lock()
About = dict[str, Any]  # what a shard says of a file: its label, and whatever else


class Member(NamedTuple):
    """Says where a file lies within a shard."""

    shard: Path
    at: int  # in a tar the offset of its bytes, in a Parquet its row
    n_bytes: int  # in a Parquet the mean of all rows


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
            if name.lower().endswith(TAR) or _column_of_bytes(_opened(folder / name)):
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
    if member and member.shard.suffix.lower() == PARQUET:
        return _of_row(member.shard, member.at)[: None if n < 0 else n]
    with (member.shard if member else path).open("rb") as file:
        if member:
            file.seek(member.at)
            n = member.n_bytes if n < 0 else min(n, member.n_bytes)
        return file.read(n)


def labels_beside(
    samples: Samples, folder: Path, *, what: str, several: Several | None = None
) -> tuple[Samples, list[str]]:
    """Joins the nearest table of labels as `nearest_labels` does, else what the shards say of their files."""
    joined, remarks = nearest_labels(samples, folder, what=what, several=several)
    abouts = _LISTED[folder].abouts if folder in _LISTED else {}
    own = {*samples.files.tolist()}
    rows = [(file, {**about, "file": file}) for file, about in abouts.items() if file in own]
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
            for name, member, about in _in_tar(shard) if shard.suffix.lower() == TAR else _in_parquet(shard):
                n_of[name] += 1
                packed.members[name] = member
                about = {key: one for key, one in about.items() if not isinstance(one, dict | list | bytes)}
                packed.abouts.update({name: about} if about else {})
        except Unusable as reason:
            faults.append(f"{shard.name} {reason}")
    unsafe = [ascii(name) for name in packed.members if _leads_out(name)]
    twice = sorted(name for name, n in n_of.items() if n > 1)
    faults += counted(unsafe, "names are outside the folder, or no text, rename them")
    faults += counted(twice, "names are there more than once, rename all but one of each")
    if faults:
        raise Fault(f"shards in {folder} cannot be used:\n{listing(faults)}")
    _LISTED[folder] = packed
    return packed


def _leads_out(name: str) -> bool:
    is_text = name == name.encode(errors="replace").decode()
    return not is_text or "\\" in name or bool({"", ".", ".."} & {*name.split("/")} or Path(name).anchor)


def _in_tar(shard: Path) -> Iterator[tuple[str, Member, About]]:
    """Yields the name of each file in a tar, where it lies, and what the files called like it say of it.

    As WebDataset has it, `song.cls` and `song.json` are of all files that are called `song` up to a dot.
    """
    members: dict[str, Member] = {}
    abouts: dict[str, About] = defaultdict(dict)
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while info := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # which would keep each of millions
                name, member = info.name.removeprefix("./"), Member(shard, info.offset_data, info.size)
                stem, suffix = splitext(name)
                if any(HIDDEN.match(part) for part in name.split("/")):
                    continue
                if info.islnk() and info.linkname.removeprefix("./") in members:
                    members[name] = members[info.linkname.removeprefix("./")]
                elif not info.isfile() and not info.isdir() or info.issparse():
                    raise Unusable(f"holds the link or device {name}: write it with `tar --dereference`")
                elif info.isfile() and suffix in (CLASS, ABOUT):
                    file.seek(member.at)
                    abouts[stem] |= _said(name, file.read(member.n_bytes))
                elif info.isfile():
                    members[name] = member
            file.seek(tar.offset)
            if file.read(BLOCK) != bytes(BLOCK):
                raise Unusable(f"is truncated or damaged at byte {tar.offset:,}: copy or write it again")
    except (tarfile.TarError, OSError, EOFError) as error:
        words = f"if it is compressed, {UNCOMPRESSED}, else copy it again"
        raise Unusable(f"cannot be read as a tar ({error}): {words}") from error
    for name, member in members.items():
        folder, _, last = name.rpartition("/")
        short = f"{folder}/{last.partition('.')[0]}".removeprefix("/")
        yield name, member, abouts.get(short, {}) | abouts.get(splitext(name)[0], {})


def _said(name: str, content: bytes) -> About:
    """Returns what a file beside a picture says of it."""
    try:
        said = {"label": content.decode().strip()} if name.endswith(CLASS) else json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"holds {name}, which is no text or no JSON ({error})") from error
    if not isinstance(said, dict):
        raise Unusable(f"holds {name}, which must be a mapping such as {{'label': ...}}")
    return said


def _in_parquet(shard: Path) -> Iterator[tuple[str, Member, About]]:
    """Yields the name of each row of a Parquet, its number, and what its other columns say."""
    file = _opened(shard)
    from pyarrow import types

    column, heads = _column_of_bytes(file), file.schema_arrow.names
    named = next((head for head in NAMES if head in heads), None)
    nested = f"{column}.path"
    is_nested = named is None and nested in {one.path for one in file.schema}
    if column is None or not (named or is_nested):
        wanted = f"{' or '.join(BYTES)} (with bytes), and {' or '.join(NAMES)} (of each)"
        raise Unusable(f"needs the columns {wanted}, it has {', '.join(heads)}")
    is_large = (types.is_nested, types.is_binary, types.is_large_binary)
    others = [one.name for one in file.schema_arrow if not any(check(one.type) for check in is_large)]
    rows, classes = file.read(columns=others + [nested] * is_nested).to_pylist(), []
    n_bytes = shard.stat().st_size // max(1, len(rows))
    with suppress(KeyError, ValueError, TypeError):  # names of classes, as Hugging Face's datasets keep them
        about = json.loads(file.schema_arrow.metadata[b"huggingface"])
        classes = about["info"]["features"]["label"]["names"]
    for number, row in enumerate(rows):
        name = row.pop(named) if named else row.pop(column)["path"]
        if classes and row["label"] is not None:
            row["label"] = classes[row["label"]] if row["label"] >= 0 else ""
        yield str(name).removeprefix("./"), Member(shard, number, n_bytes), row


def _opened(shard: Path) -> Any:
    """Returns a Parquet, of which nothing but its schema is read."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise Unusable('needs pyarrow: pip install -e ".[parquet]"') from error
    try:
        return parquet.ParquetFile(shard)
    except (ArrowException, OSError, ValueError) as error:
        raise Unusable(f"cannot be read as Parquet: {error}") from error


def _column_of_bytes(file: Any) -> str | None:
    """Returns the column that has the bytes of files, None where a table has none."""
    from pyarrow import types

    for head in BYTES:
        if head in file.schema_arrow.names:
            kind = file.schema_arrow.field(head).type
            kinds = [part.type for part in kind if part.name == "bytes"] if types.is_struct(kind) else [kind]
            if any(types.is_binary(one) or types.is_large_binary(one) for one in kinds):
                return head
    return None


def _of_row(shard: Path, row: int) -> bytes:
    """Returns the bytes in a row, of which the whole group is read and kept for the next ones."""
    from pyarrow import ArrowException

    try:
        with _LOCK:  # of threads that want rows of one group, one reads it
            state = shard, shard.stat().st_mtime_ns
            ends = _ends(*state)
            group = bisect_right(ends, row)
            value = _group(*state, group)[row - (ends[group - 1] if group else 0)].as_py()
    except (ArrowException, ValueError, IndexError) as error:
        raise OSError(errno.EIO, f"damaged: {error}") from error
    return (value["bytes"] if isinstance(value, dict) else value) or b""


@lru_cache(maxsize=1024)
def _ends(shard: Path, mtime_ns: int) -> list[int]:
    """Returns how many rows each group ends before."""
    about = _opened(shard).metadata
    return list(accumulate(about.row_group(number).num_rows for number in range(about.num_row_groups)))


@lru_cache(maxsize=N_GROUPS)
def _group(shard: Path, mtime_ns: int, group: int) -> Any:
    """Returns the column of bytes of a group of rows."""
    file = _opened(shard)
    return file.read_row_group(group, columns=[_column_of_bytes(file)]).column(0)
