"""Recordings as they are listed, and the pieces that they are cut into, each of which is a sample."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from saec.data.files import File, evenly
from saec.faults import Fault, listing
from saec.progress import progress
from saec.samples import SEGMENT, Samples, nearest_labels
from saec.sound.listed import (
    Channel,
    Listed,
    Place,
    Unreadable,
    header,
    home_of,
    lacks_channel,
    list_sound,
    stream,
)

LOG = logging.getLogger(__name__)
MOST_WHOLE_S = 120  # of a recording that is one sample
ANY_RATE = 8_000  # of a file that cannot be opened
LEAST_STEP_S = 0.001  # names of pieces tell milliseconds apart
NAMED_PER_S = 1000  # starts that names tell apart


@dataclass(frozen=True)
class Cutting:
    """How recordings become samples."""

    rate: int
    segment_s: float | None
    step_s: float | None
    least: int  # samples that a piece must have

    def __post_init__(self):
        if self.segment_s is not None and round(self.segment_s * self.rate) < self.least:
            raise Fault(
                f"segment_s: {self.segment_s:g} s are {round(self.segment_s * self.rate)} samples at "
                f"{self.rate} Hz, {self.least} are needed"
            )
        if self.step_s is not None and self.step_s < LEAST_STEP_S:
            raise Fault(f"step_s must be at least {LEAST_STEP_S:g} s, got {self.step_s:g}")


@dataclass(frozen=True)
class Piece:
    """So many samples of a recording, from `first` on."""

    row: int  # in the list of what there is
    recording: str
    name: str
    first: int
    n: int


def cut(row: int, listed: Listed, n_there: int, how: Cutting) -> list[Piece]:
    """Cuts a recording of so many samples; the last piece ends where the sound does, but for 1 ms.

    A recording shorter than a segment is one piece, shorter than the others. Nothing is cut without
    `segment_s`.
    """
    rate, segment_s, step_s = how.rate, how.segment_s, how.step_s or how.segment_s or 1.0
    first = min(round((listed.start_s or 0.0) * rate), n_there)
    end = n_there if listed.end_s is None else min(round(listed.end_s * rate), n_there)
    n = end - first
    whole = listed.start_s is None and listed.end_s is None and segment_s is None
    size = n if segment_s is None else min(round(segment_s * rate), n)
    return [
        Piece(
            row,
            listed.name,
            listed.name if whole else piece_name(listed.name, (first + start) / rate),
            first + start,
            size,
        )
        for start in _starts(n, size, round(step_s * rate), math.ceil(rate / NAMED_PER_S))
    ]


def piece_name(recording: str, start_s: float) -> str:
    """Returns for `song.wav` at 1.5 s `song_segm_0001.500.wav`, as pictures of it are called."""
    path = PurePosixPath(recording)
    return str(path.with_name(f"{path.stem}{SEGMENT}{start_s:08.3f}{path.suffix}"))


def _starts(n: int, size: int, step: int, least: int) -> Sequence[int]:
    """What is left after the last step is no piece where less than `least` of it is new."""
    steps = [k * step for k in range(math.ceil((n - size) / max(1, step)))]
    return steps if steps and n - size - steps[-1] < least else [*steps, n - size]


class Recordings:
    """Recordings of a folder, of class folders or of a table, which may list several stretches of one."""

    def __init__(self, location: Place, limit: int | None = None):
        listed = list_sound(location)
        self.location = location
        self.folder = home_of(location)
        self.listed = evenly(listed, limit) if limit else listed

    @cached_property
    def paths(self) -> list[Path]:
        """Of the recordings, each once, sorted by name."""
        return list({one.name: one.path for one in self.listed}.values())

    @cached_property
    def sources(self) -> list[File]:
        """The recordings, each once, sorted by name."""
        names = dict.fromkeys(one.name for one in self.listed)
        stats = [path.stat() for path in progress(self.paths, "listing", len(self.paths), " recordings")]
        return [File(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(names, stats, strict=True)]

    @cached_property
    def headers(self) -> list[Any]:
        """`soundfile.info` of each recording, None where it cannot be opened."""
        return [header(path) for path in progress(self.paths, "looking", len(self.paths), " recordings")]

    @cached_property
    def state(self) -> list[tuple]:
        """Of each stretch that is listed: file, bytes, time of change, start, end, label and split."""
        of = {source.name: source for source in self.sources}
        return [
            (one.name, of[one.name].n_bytes, of[one.name].mtime_ns, one.start_s, one.end_s, label, one.split)
            for one, label in zip(self.listed, self.labels_and_groups[0].tolist(), strict=True)
        ]

    @cached_property
    def labels_and_groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Of what is listed: by the table, else by a `labels.csv`, by class folders and recordings."""
        labels = np.array([one.label for one in self.listed], dtype=str)
        if isinstance(self.location, Path) and self.location.is_dir():
            samples = Samples.of([one.name for one in self.listed], label=labels)
            samples, remarks = nearest_labels(samples, self.folder, what="recordings")
            for remark in remarks:
                LOG.warning("%s", remark)
            return samples.labels, samples.groups
        return labels, np.array([one.group or one.name.split(SEGMENT)[0] for one in self.listed], dtype=str)

    def announced(self, rate: int, channel: Channel) -> tuple[dict[str, int], dict[str, str]]:
        """By recording: samples at that rate as headers say, and why some cannot be used."""
        n, bad = {}, {}
        for source, path, info in zip(self.sources, self.paths, self.headers, strict=True):
            if info is None or not info.frames:
                bad[source.name] = _why_closed(path) if info is None else "has no samples"
            elif channel != "mean" and channel >= info.channels:
                bad[source.name] = lacks_channel(info.channels, channel)
            else:
                n[source.name] = n_at_rate(info, rate)
        return n, bad

    def pieces(self, n_there: Mapping[str, int], how: Cutting) -> tuple[list[Piece], dict[str, str]]:
        """Returns pieces, sorted by name, of recordings with so many samples; and why some give none."""
        pieces, bad = [], {}
        for row, one in enumerate(self.listed):
            if one.name not in n_there:
                continue
            found = cut(row, one, n_there[one.name], how)
            if found[0].n < how.least:
                start = (
                    "" if one.start_s is None and one.end_s is None else f" from {one.start_s or 0:g} s on"
                )
                bad[f"{one.name}{start}"] = (
                    f"has {found[0].n} samples at {how.rate} Hz, {how.least} are needed"
                )
                continue
            pieces += found
        self._refuse(pieces, how)
        return sorted(pieces, key=lambda piece: piece.name), bad

    def samples(self, pieces: Sequence[Piece], rate: int) -> Samples:
        """Returns the pieces with what is known of each."""
        rows = [piece.row for piece in pieces]
        labels, groups = self.labels_and_groups
        return Samples.of(
            [piece.name for piece in pieces],
            file=[piece.recording for piece in pieces],
            start_s=[piece.first / rate for piece in pieces],
            end_s=[(piece.first + piece.n) / rate for piece in pieces],
            label=labels[rows],
            group=groups[rows],
            split=[self.listed[row].split for row in rows],
        )

    def _refuse(self, pieces: Sequence[Piece], how: Cutting) -> None:
        long = {self.listed[p.row].name: p.n / how.rate for p in pieces if p.n > MOST_WHOLE_S * how.rate}
        if long:
            lines = [f"{name}: {seconds:.0f} s" for name, seconds in long.items()]
            raise Fault(
                f"a sample is at most {MOST_WHOLE_S} s long, {len(long)} are longer: cut them by "
                f"`data.segment_s`\n{listing(lines)}"
            )
        twice = [name for name, n in Counter(piece.name for piece in pieces).items() if n > 1]
        if twice:
            raise Fault(
                "pieces start less than 0.001 s apart and would share a name: list stretches of a recording "
                f"that do not overlap\n{listing(twice)}"
            )


def n_at_rate(info: Any, rate: int) -> int:
    """Returns the samples that a recording of this header becomes at that rate, at most."""
    if info is None:
        return 0
    same = info.samplerate == rate
    return info.frames if same else math.ceil(info.frames * rate / info.samplerate) + 1


def _why_closed(path: Path) -> str:
    try:
        next(stream(path, ANY_RATE), None)
    except Unreadable as reason:
        return str(reason)
    return "cannot be read as sound"
