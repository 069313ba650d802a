"""Mends headers of WAV files that do not say how long the sound is, for libsndfile to read it to its end.

Programs leave them so that stream, or are killed.
"""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from saec.faults import Unusable

NOT_STATED = 0, 0xFFFFFFFF  # sizes of the chunk of samples
NOTHING = {4: (8).to_bytes(4, "little")}  # a size of the file with which libsndfile reads it to its end


class Mended(FileIO):
    """Reads a file with other bytes at some offsets."""

    def __init__(self, path: Path, mends: dict[int, bytes]):
        super().__init__(path)
        self.mends = mends

    def readinto(self, buffer: Any) -> int:
        at = self.tell()
        end = at + super().readinto(buffer)
        for offset, content in self.mends.items():
            low, high = max(offset, at), min(offset + len(content), end)
            if low < high:
                buffer[low - at : high - at] = content[low - offset : high - offset]
        return end - at


def mends_of(path: Path) -> dict[int, bytes]:
    """Returns what other bytes a header needs, by offset, to be read to its end; none where nothing is wrong.

    Raises:
        Unusable: a CAF announces more than there is, of which libsndfile says nothing.
    """
    with path.open("rb") as file:
        form, n_bytes = file.read(4), os.fstat(file.fileno()).st_size
        if form == b"caff":
            for name, start, size in _chunks(file, 8, 8, "big", n_bytes):
                if name == b"data" and size > n_bytes - start:
                    raise Unusable(f"is truncated: {size:,} bytes announced, {n_bytes - start:,} there")
        if form != b"RIFF":
            return {}
        chunks = list(_chunks(file, 12, 4, "little", n_bytes))
    start, size = next((chunk[1:] for chunk in chunks if chunk[0] == b"data"), (n_bytes, 0))
    _, *last = chunks[-1] if chunks else (b"", start, 0)
    has_samples = start < n_bytes and (last[0] == start or abs(sum(last) - n_bytes) > 1)  # no further chunks
    return NOTHING | {start - 4: bytes(4)} if size in NOT_STATED and has_samples else {}


def _chunks(
    file: BinaryIO, start: int, n: int, order: Literal["little", "big"], n_bytes: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, start and size of chunks, whose sizes have n bytes, as far as there are any."""
    while start + 4 + n <= n_bytes:
        file.seek(start)
        name, size = file.read(4), int.from_bytes(file.read(n), order, signed=n == 8)
        if min(name) < ord(" "):
            return
        start += 4 + n
        yield name, start, size
        start += max(0, size) + size % 2 * (n == 4)
