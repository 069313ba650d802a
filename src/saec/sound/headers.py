"""Mends headers of sound files that do not say how long the sound is, for libsndfile to read it to its end.

Programs leave them so that stream, or are killed.
"""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from saec.faults import Unusable


class Layout(NamedTuple):
    """Says how the chunks of a format are laid out, and what its chunk of samples is called."""

    order: Literal["little", "big"]
    n: int  # bytes of a size
    first: int  # where the first chunk begins
    samples: bytes
    empty: int = 0  # size of a chunk of samples that has none


WAV = Layout("little", 4, 12, b"data")
LAYOUTS = {b"RIFF": WAV, b"RF64": WAV, b"BW64": WAV}
LAYOUTS |= {b"FORM": Layout("big", 4, 12, b"SSND", 8), b"caff": Layout("big", 8, 8, b"data", 4)}
AU = {b".snd": "big", b"dns.": "little"}
NOT_STATED = 0xFFFFFFFF
LARGE = 1 << 31  # AU: libsndfile takes such sizes for negative ones


class Mended(FileIO):
    """Reads a file with other bytes at some offsets."""

    def __init__(self, path: Path, mends: dict[int, bytes]):
        super().__init__(path)
        self.mends = mends

    def readinto(self, buffer) -> int:
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
        Unusable: it announces more than there is, of which libsndfile says nothing.
    """
    with path.open("rb") as file:
        form, n_bytes = file.read(4), os.fstat(file.fileno()).st_size
        if form in AU:
            start, size = (int.from_bytes(file.read(4), AU[form]) for _ in range(2))
            unstated = (size == 0 or size >= LARGE) and start < n_bytes
            return {8: NOT_STATED.to_bytes(4)} if unstated else {}
        if form not in LAYOUTS:
            return {}
        layout, rename = LAYOUTS[form], {0: b"RF64"} if form == b"BW64" else {}  # the same by another name
        sizes = {chunk: (at, size) for chunk, at, size in _chunks(file, layout, layout.first, n_bytes)}
        at, size = sizes.get(layout.samples, (0, 0))
        start = at + layout.n
        if b"ds64" in sizes:  # sizes of the file, of samples and their number, which are too large elsewhere
            at = sizes[b"ds64"][0] + 12
            file.seek(at)
            size = int.from_bytes(file.read(8), "little", signed=True)
        if layout.n == 8 and size > n_bytes - start > 0:
            raise Unusable(f"is truncated: {size:,} bytes announced, {n_bytes - start:,} there")
        if not at or size not in (-1, 0, layout.empty, NOT_STATED) or start + layout.empty >= n_bytes:
            return rename
        if size in (0, layout.empty) and _only_chunks(file, layout, start + size, n_bytes):
            return rename
    there = n_bytes - start
    if b"ds64" in sizes:
        return rename | {at - 8: b"".join(n.to_bytes(8, "little") for n in (n_bytes - 8, there))}
    if layout is WAV:  # this is how libsndfile leaves a file, and reads it to its end
        return {4: (8).to_bytes(4, "little"), at: bytes(4)}
    return {at: there.to_bytes(8) if layout.n == 8 else bytes(4)}


def _chunks(file: BinaryIO, layout: Layout, start: int, n_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, offset of the size, and size of chunks from there on, up to the samples or to no chunk."""
    chunk = b""
    while chunk != layout.samples and start + 4 + layout.n <= n_bytes:
        file.seek(start)
        chunk, size = file.read(4), file.read(layout.n)
        if min(chunk) < ord(" "):
            return
        size = int.from_bytes(size, layout.order, signed=layout.n == 8)
        yield chunk, start + 4, size
        start += 4 + layout.n + max(0, size) + size % 2 * (layout.n == 4)


def _only_chunks(file: BinaryIO, layout: Layout, start: int, n_bytes: int) -> bool:
    """Returns whether what follows is chunks to the very end."""
    for chunk, at, size in _chunks(file, layout, start, n_bytes):
        if not chunk.strip().isalnum():
            return False
        start = at + layout.n + max(0, size)
    return n_bytes - 1 <= start <= n_bytes + 1  # some end at an odd byte
