"""Recordings are looked through: how long, how fast sampled and how loud each one is."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from saec.progress import progress
from saec.sound.listed import Listed, Unreadable, header, stream

FULL = 1 - 2**-15  # of full scale: the largest value of 16 bits
N_FULL = 3  # samples in a row at full scale, from which sound is clipped
AT_ONCE = 64  # recordings in flight


@dataclass(frozen=True)
class Heard:
    """What one recording holds; `peak` and `clipped` are of the mean of its channels, full scale is 1."""

    duration_s: float
    rate_hz: int
    n_channels: int
    format: str
    peak: float
    clipped: bool

    @property
    def silent(self) -> bool:
        return self.peak == 0


@dataclass
class Durations:
    """What is in recordings, by name; those that cannot be read with the reason."""

    heard: dict[str, Heard] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # of those that can be read, "" where unknown
    unreadable: dict[str, str] = field(default_factory=dict)


def look_through(listed: Sequence[Listed], n_workers: int = 0) -> Durations:
    """Every recording is decoded once, block by block; nothing is kept of the sound."""
    recordings = list({one.name: one for one in listed}.values())
    found = Durations()
    for one, heard in progress(_listened(recordings, n_workers), "listening", len(recordings)):
        if isinstance(heard, str):
            found.unreadable[one.name] = heard
        else:
            found.heard[one.name], found.labels[one.name] = heard, one.label
    return found


def _listened(recordings: list[Listed], n_workers: int) -> Iterator[tuple[Listed, Heard | str]]:
    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        for start in range(0, len(recordings), AT_ONCE):
            some = recordings[start : start + AT_ONCE]
            yield from zip(some, pool.map(listened, [one.path for one in some]), strict=True)


def listened(path: Path) -> Heard | str:
    """What the recording holds, or why it cannot be read."""
    about = header(path)
    n, peak, clipped = 0, 0.0, False
    try:
        for piece in stream(path, about.samplerate if about else 1):  # where it cannot be opened it says why
            size = np.abs(piece)
            n += len(size)
            peak = max(peak, float(size.max(initial=0)))
            clipped = clipped or _is_clipped(size)
    except (Unreadable, OSError) as error:
        return str(error)
    if n == 0:
        return "has no samples"
    kind = f"{about.format} {about.subtype}"
    return Heard(n / about.samplerate, about.samplerate, about.channels, kind, peak, clipped)


def _is_clipped(size: np.ndarray) -> bool:
    full = size >= FULL
    return bool(full.any()) and bool(np.convolve(full, np.ones(N_FULL), "valid").max(initial=0) >= N_FULL)
