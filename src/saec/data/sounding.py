"""The recordings of a data kind, what is known of them, and the pieces that they are cut into."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from saec.data.decoding import evenly
from saec.data.labels import known_of, recording
from saec.data.sound_store import Source, n_at_rate
from saec.faults import Fault, MissingFault, listing
from saec.progress import progress
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
from saec.sound.pieces import Piece, cut

MOST_WHOLE_S = 120  # of a recording that is one sample
ANY_RATE = 8_000  # of a file that cannot be opened
LEAST_STEP_S = 0.001  # names of pieces tell milliseconds apart


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


class Recordings:
    """Recordings of a place, sorted by name; a table may list several stretches of one."""

    def __init__(self, place: Place, limit: int | None = None):
        listed = list_sound(place)
        self.place = place
        self.folder = home_of(place)
        self.listed = evenly(listed, limit) if limit else listed

    @cached_property
    def sources(self) -> list[Source]:
        """The recordings themselves, each once."""
        paths = {one.name: one.path for one in self.listed}
        stats = [path.stat() for path in progress(paths.values(), "listing", len(paths), " recordings")]
        return [
            Source(name, path, stat.st_size, stat.st_mtime_ns)
            for (name, path), stat in zip(paths.items(), stats, strict=True)
        ]

    @cached_property
    def files(self) -> list[tuple]:
        """Of each stretch that is listed: file, bytes, time of change, start, end, label and split."""
        of = {source.name: source for source in self.sources}
        known = [(one, of[one.name]) for one in self.listed]
        return [
            (one.name, at.n_bytes, at.mtime_ns, one.start_s, one.end_s, label, one.split)
            for (one, at), label in zip(known, self.known[0].tolist(), strict=True)
        ]

    @cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels ("" where unknown) and groups of what is listed: by the table, else by a `labels.csv`, by
        class folders, and recording by recording.
        """
        names = np.array([one.name for one in self.listed], dtype=str)
        labels = np.array([one.label for one in self.listed], dtype=str)
        if isinstance(self.place, Path) and self.place.is_dir():
            said, groups = known_of(names, self.folder)
            return np.where(said != "", said, labels), groups
        return labels, np.array([one.group or recording(one.name) for one in self.listed], dtype=str)

    @cached_property
    def splits(self) -> np.ndarray:
        return np.array([one.split for one in self.listed], dtype=str)

    def announced(self, rate: int, channel: Channel) -> tuple[dict[str, int], dict[str, str]]:
        """By recording: samples at that rate as headers say, and why some cannot be used."""
        n, bad = {}, {}
        for source in progress(self.sources, "looking", len(self.sources), " recordings"):
            found = header(source.path)
            if found is None or not found.frames:
                bad[source.name] = _why_closed(source.path) if found is None else "has no samples"
            elif channel != "mean" and channel >= found.channels:
                bad[source.name] = lacks_channel(found.channels, channel)
            else:
                n[source.name] = n_at_rate(found.frames, found.samplerate, rate)
        return n, bad

    def pieces(self, n_there: Mapping[str, int], how: Cutting) -> tuple[list[Piece], dict[str, str]]:
        """Sorted by name, of recordings with so many samples; and what gives none, with the reason."""
        pieces, bad = [], {}
        for place, one in enumerate(self.listed):
            if one.name not in n_there:
                continue
            n = n_there[one.name]
            found = cut(place, one, n, how.rate, how.segment_s, how.step_s or how.segment_s or 1.0)
            if found[0].n < how.least:
                bad[f"{one.name}{_where(one)}"] = (
                    f"has {found[0].n} samples at {how.rate} Hz, {how.least} are needed"
                )
                continue
            pieces += found
        self._refuse(pieces, how)
        return sorted(pieces, key=lambda piece: piece.name), bad

    def _refuse(self, pieces: Sequence[Piece], how: Cutting) -> None:
        long = {self.listed[p.place].name: p.n / how.rate for p in pieces if p.n > MOST_WHOLE_S * how.rate}
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


def _why_closed(path: Path) -> str:
    try:
        next(stream(path, ANY_RATE), None)
    except Unreadable as reason:
        return str(reason)
    return "cannot be read as sound"


def require_some(pieces: Sequence[Piece], folder: Path) -> None:
    if not pieces:
        raise MissingFault(f"none of the recordings of {folder} can be used")


def _where(one: Listed) -> str:
    return "" if one.start_s is None and one.end_s is None else f" from {one.start_s or 0:g} s on"
