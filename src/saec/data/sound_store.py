"""Recordings in the cache: 16-bit samples one after the other, and pieces taken from them by row."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from saec.data.ahead import ahead
from saec.data.store import Cache
from saec.faults import listing
from saec.progress import progress
from saec.sound.listed import Channel, Unreadable, header, stream
from saec.sound.pieces import Piece

LOG = logging.getLogger(__name__)
FULL_SCALE = 32_767
NOTHING = -32_768  # stands where a piece is over: no sample has this value
NEARLY = 0.98  # of a rate: 22,000 Hz are as good as 22,050
N_AHEAD = 64  # recordings decoded before the first of them is looked at


@dataclass(frozen=True)
class Source:
    """A recording as it is listed: every piece of it is cut from the same samples."""

    name: str
    path: Path
    n_bytes: int
    mtime_ns: int


class Cut:
    """(pieces, samples) int16 by arrays of row numbers; `NOTHING` fills up those that are shorter."""

    dtype = np.dtype(np.int16)

    def __init__(self, sound: np.ndarray, first: Sequence[int], n: Sequence[int]):
        self.sound = sound
        self.first = np.asarray(first, dtype=np.int64)
        self.n = np.asarray(n, dtype=np.int64)
        self.shape = (len(self.n), int(self.n.max(initial=1)))
        self.nbytes = 2 * self.shape[0] * self.shape[1]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = np.full((len(rows), self.shape[1]), NOTHING, np.int16)
        for place, row in enumerate(rows.tolist()):
            n, first = self.n[row], self.first[row]
            found[place, :n] = self.sound[first : first + n]
        return found


def n_at_rate(n_frames: int, from_rate: int, rate: int) -> int:
    """Samples that so many frames of another rate become, at most."""
    return n_frames if from_rate == rate else ceil(n_frames * rate / from_rate) + 1


def decoded(
    sources: Sequence[Source], rate: int, channel: Channel, cache: Cache, key: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """All recordings (samples,) int16, and of each its place, length and peak, or why it cannot be used."""
    known = cache.find(key)
    if known:
        return known
    headers = [header(source.path) for source in sources]
    rooms = [n_at_rate(found.frames, found.samplerate, rate) if found else 0 for found in headers]
    ends = np.cumsum(rooms)

    def fill(array: np.ndarray) -> dict[str, Any]:
        def one(place: int) -> tuple[int, float, str]:
            return _decode(sources[place], rate, channel, array[ends[place] - rooms[place] : ends[place]])

        with closing(ahead(one, range(len(sources)), N_AHEAD, max(1, cache.n_workers))) as found:
            notes = list(progress(found, "decoding", len(sources), " recordings"))
        n, peaks, reasons = (list(column) for column in zip(*notes, strict=True))
        rates = sorted({found.samplerate for found in headers if found})
        facts = {"n": n, "peak": peaks, "why_not": reasons, "rates": rates}
        return {"first": (ends - rooms).tolist()} | facts

    return cache.build(key, (max(1, int(ends[-1])),), np.int16, fill)


def say_odd(sources: Sequence[Source], about: dict[str, Any], rate: int) -> None:
    """Recordings that can be used and look as if something had gone wrong when they were made."""
    peaks = list(zip(sources, about["peak"], about["why_not"], strict=True))
    silent = [source.name for source, peak, why_not in peaks if peak == 0 and not why_not]
    loud = [f"{source.name}, up to {peak:.2f}" for source, peak, _ in peaks if peak > 1]
    if silent:
        LOG.warning("%d recordings are silent, all their samples are 0:\n%s", len(silent), listing(silent))
    if loud:
        LOG.warning("%d recordings exceed full scale (1.0) and are clipped:\n%s", len(loud), listing(loud))
    rates = about["rates"]
    if set(rates) - {rate}:
        LOG.info("resampled to %d Hz, recordings have %s Hz", rate, ", ".join(map(str, rates)))
    if rates and min(rates) < NEARLY * rate:
        LOG.warning(
            "some recordings were made at %d Hz: at `data.sample_rate: %d` they hold nothing above %d Hz",
            min(rates),
            rate,
            min(rates) // 2,
        )


def placed_in(sound: np.ndarray, first: Mapping[str, int], pieces: Sequence[Piece]) -> Cut:
    """The pieces as rows; `first` is where each recording begins in the store."""
    return Cut(
        sound, [first[piece.recording] + piece.first for piece in pieces], [piece.n for piece in pieces]
    )


def _decode(source: Source, rate: int, channel: Channel, room: np.ndarray) -> tuple[int, float, str]:
    """Number of samples, largest magnitude, and why it cannot be used, if it cannot."""
    n, peak = 0, 0.0
    try:
        for block in stream(source.path, rate, channel):
            block = block[: len(room) - n]
            room[n : n + len(block)] = np.rint(block.clip(-1, 1) * FULL_SCALE)
            n, peak = n + len(block), max(peak, float(np.abs(block).max(initial=0)))
    except Unreadable as reason:
        return 0, 0.0, str(reason)
    stat = source.path.stat()
    if (stat.st_size, stat.st_mtime_ns) != (source.n_bytes, source.mtime_ns):
        return 0, 0.0, "was changed after the folder was listed: call again"
    return n, peak, ""
