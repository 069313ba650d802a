"""Reads shards, which are tars or Parquet with bytes: what files they hold, and what is said of each."""

import errno
import json
import re
import tarfile
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from io import BufferedReader, FileIO
from itertools import accumulate
from pathlib import Path
from posixpath import splitext
from threading import Lock
from typing import Any, NamedTuple

from saec.faults import Unusable
from saec.files import GB

TAR, PARQUET = SHARDS = (".tar", ".parquet")
HIDDEN = re.compile(r"\.(?!\.?$)")  # how parts of a name begin that systems hide
CLASS, ABOUT = ".cls", ".json"  # files beside a picture in a tar: its label, or a mapping of labels
NAMES = ("name", "path", "file", "file_name", "filename")  # columns of a Parquet; the first that is there
BYTES = ("bytes", "image")  # the second is a mapping of bytes and path, as data sets have it
BINARY = re.compile(r"(large_|fixed_size_)?binary")  # how names of types of bytes begin
UNCOMPRESSED = "write its files into a tar that is not compressed"
BLOCK, END = 512, 1 << 16  # bytes of a tar's header, and those behind its last file that must be zeros
MOST_AT_ONCE = 1 << 24  # bytes of a header, or of what is said of a file
N_GROUPS = 2  # of rows of a Parquet that are kept in memory,
MOST_IN_GROUP = 1 << 31  # bytes each
_LOCK = Lock()
About = dict[str, Any]  # what a shard says of a file: its label, and whatever else


class Member(NamedTuple):
    """Says where a file lies within a shard."""

    shard: Path
    at: int  # in a tar the offset of its bytes, in a Parquet its row
    n_bytes: int  # in a Parquet the mean of all rows


def has_files(shard: Path) -> bool:
    """Returns whether it has files with their bytes; a Parquet without them is a table.

    Raises:
        Unusable: it cannot be read as what its name says.
    """
    if not shard.is_file():
        raise Unusable("leads nowhere or is no file: remove it")
    return shard.suffix.lower() == TAR or _column_of_bytes(_opened(shard)) is not None


def files_of(shard: Path) -> Iterator[tuple[str, Member, About]]:
    """Yields the name of each file, where it lies, and what is said of it; raises `Unusable`."""
    yield from _in_tar(shard) if shard.suffix.lower() == TAR else _in_parquet(shard)


def bytes_in(member: Member, n: int = -1) -> bytes:
    """Returns the first n bytes of a file, or all; raises an `OSError`."""
    if member.shard.suffix.lower() == PARQUET:
        return _of_row(member.shard, member.at)[: None if n < 0 else n]
    with member.shard.open("rb") as file:
        file.seek(member.at)
        return file.read(member.n_bytes if n < 0 else min(n, member.n_bytes))


def _in_tar(shard: Path) -> Iterator[tuple[str, Member, About]]:
    """Yields the name of each file in a tar, where it lies, and what the files called like it say of it.

    As WebDataset has it, `song.cls` and `song.json` are of all files that are called `song` up to a dot.
    """
    members, notes = _read_tar(shard)
    abouts: dict[str, About] = defaultdict(dict)
    for name, said in notes.items():
        about = abouts[splitext(name)[0]]
        if different := [key for key in said if key in about and about[key] != said[key]]:
            raise Unusable(f"holds {name}, whose {different[0]} another file denies: remove one of both")
        about |= said
    used: set[str] = set()
    for name, member in members.items():
        if name not in notes:
            folder, _, last = name.rpartition("/")
            stems = f"{folder}/{last.partition('.')[0]}".removeprefix("/"), splitext(name)[0]
            used.update(stems)
            yield name, member, abouts.get(stems[0], {}) | abouts.get(stems[1], {})
    yield from ((name, members[name], {}) for name in notes if splitext(name)[0] not in used)


def _read_tar(shard: Path) -> tuple[dict[str, Member], dict[str, About]]:
    """Returns where each file in a tar lies, and what those beside pictures say, by their names."""
    members: dict[str, Member] = {}
    notes: dict[str, About] = {}
    try:
        with _Headers(FileIO(shard)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while info := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # which would keep each of millions
                name, member = info.name.removeprefix("./"), Member(shard, info.offset_data, info.size)
                if any(HIDDEN.match(part) for part in name.split("/")) or info.isdir():
                    continue
                if name in members:
                    raise Unusable(f"holds {name} more than once: write it with other names")
                if info.islnk() and info.linkname.removeprefix("./") in members:
                    member = members[info.linkname.removeprefix("./")]
                elif not info.isfile() or info.issparse():
                    raise Unusable(f"holds the link or device {name}: write it with `tar --dereference`")
                if name.endswith((CLASS, ABOUT)):
                    file.seek(member.at)
                    notes[name] = _said(name, file.read(member.n_bytes))
                members[name] = member
            file.seek(tar.offset)
            end = file.read(END)
            if len(end) < BLOCK or end.strip(b"\0"):
                words = "copy or write it again, and do not join tars"
                raise Unusable(f"is truncated or damaged at byte {tar.offset:,}: {words}")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        words = f"if it is compressed, {UNCOMPRESSED}, else copy it again"
        raise Unusable(f"cannot be read as a tar ({error}): {words}") from error
    return members, notes


class _Headers(BufferedReader):
    """Reads no more at once than headers take, whatever a damaged one says."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size and size > MOST_AT_ONCE:
            raise tarfile.ReadError(f"{size:,} bytes are no header, label or mapping")
        return super().read(size)


def _said(name: str, content: bytes) -> About:
    """Returns what a file beside a picture says of it."""
    try:
        text = content.decode("utf-8-sig")
        said = {"label": text.strip()} if name.endswith(CLASS) else json.loads(text)
        json.dumps(said, ensure_ascii=False).encode()  # JSON can hold what is no text
    except (ValueError, RecursionError) as error:
        raise Unusable(f"holds {name}, which is no text or no JSON ({error})") from error
    if not isinstance(said, dict):
        raise Unusable(f"holds {name}, which must be a mapping such as {{'label': ...}}")
    return said


def _in_parquet(shard: Path) -> Iterator[tuple[str, Member, About]]:
    """Yields the name of each row of a Parquet, its number, and what its other columns say."""
    file = _opened(shard)
    from pyarrow import ArrowException, types

    column, heads = _column_of_bytes(file), file.schema_arrow.names
    named = next((head for head in NAMES if head in heads), None)
    nested = f"{column}.path"
    if column is None or not (named or nested in {one.path for one in file.schema}):
        wanted = f"{' or '.join(BYTES)} (with bytes), and {' or '.join(NAMES)} (of each)"
        raise Unusable(f"needs the columns {wanted}, it has {', '.join(heads)}")
    plain = [one.name for one in file.schema_arrow if not (types.is_nested(one.type) or _is_binary(one.type))]
    columns = {named or nested, *plain, *({"label"} & {*heads})}
    try:
        rows, classes = file.read(columns=[*columns]).to_pylist(), _classes(file)
    except (ArrowException, OSError, ValueError) as error:
        raise Unusable(f"cannot be read as Parquet: {error}") from error
    n_bytes = shard.stat().st_size // max(1, len(rows))
    for number, row in enumerate(rows):
        name = row.pop(named) if named else (row.pop(column) or {}).get("path")
        if not isinstance(name, str):
            raise Unusable(f"has no name in row {number:,}: {named or nested} is {name!r}")
        if classes and isinstance(label := row.get("label"), int):
            if label >= len(classes):
                raise Unusable(f"has label {label} in row {number:,}, but names {len(classes)} classes")
            row["label"] = classes[label] if label >= 0 else ""
        yield name.removeprefix("./"), Member(shard, number, n_bytes), row


def _classes(file: Any) -> list:
    """Returns the names of classes that Hugging Face's datasets keep in a Parquet."""
    with suppress(KeyError, ValueError, TypeError):
        about = json.loads(file.schema_arrow.metadata[b"huggingface"])
        names = about["info"]["features"]["label"]["names"]
        return names if isinstance(names, list) else []
    return []


def _opened(shard: Path) -> Any:
    """Returns a Parquet, of which nothing but its schema and the sizes of its groups are read."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise Unusable('needs pyarrow: pip install -e ".[parquet]"') from error
    try:
        file = parquet.ParquetFile(shard)
    except (ArrowException, OSError, ValueError) as error:
        raise Unusable(f"cannot be read as Parquet: {error}") from error
    if twice := [head for head, n in Counter(file.schema_arrow.names).items() if n > 1]:
        raise Unusable(f"has more than one column {', '.join(twice)}: rename all but one")
    groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
    if (largest := max((group.total_byte_size for group in groups), default=0)) > MOST_IN_GROUP:
        words = f"has groups of up to {largest / GB:.1f} GB, which are read whole"
        raise Unusable(f"{words}: write it with fewer rows in each (row_group_size=1000)")
    return file


def _column_of_bytes(file: Any) -> str | None:
    """Returns the column that has the bytes of files, None where a table has none."""
    from pyarrow import types

    for head in BYTES:
        if head in file.schema_arrow.names:
            kind = file.schema_arrow.field(head).type
            kinds = [part.type for part in kind if part.name == "bytes"] if types.is_struct(kind) else [kind]
            if any(map(_is_binary, kinds)):
                return head
    return None


def _is_binary(kind: Any) -> bool:
    return BINARY.match(str(kind)) is not None


def _of_row(shard: Path, row: int) -> bytes:
    """Returns the bytes in a row, of which the whole group is read and kept for the next ones."""
    from pyarrow import ArrowException

    try:
        with _LOCK:  # of threads that want rows of one group, one reads it
            state = shard, shard.stat().st_mtime_ns
            ends = _ends(*state)
            group = bisect_right(ends, row)
            value = _group(*state, group)[row - (ends[group - 1] if group else 0)].as_py()
    except (ArrowException, OSError, ValueError, IndexError) as error:
        if getattr(error, "errno", None):  # the disk's own words
            raise
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
