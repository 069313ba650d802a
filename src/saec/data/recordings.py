"""Lists recordings, and cuts them into pieces."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from saec.data.listed import Listed, piece_name
from saec.faults import Fault, Unusable, listing
from saec.samples import Samples, numbered
from saec.sound.files import (
    SUFFIXES,
    Channel,
    Header,
    find_recordings,
    header,
    stream,
    warn_of_unsure,
    why_not,
)

MOST_WHOLE_S = 120  # of a recording that is one sample
ANY_RATE = 8_000  # of a file that cannot be opened
LEAST_STEP_S = 0.001  # names of pieces tell milliseconds apart
TEXTS = ("label", "group", "split")


@dataclass(frozen=True)
class Cutting:
    """Says how recordings become samples."""

    rate: int
    segment_s: float | None
    step_s: float | None
    least: int  # steps that a piece must have

    def __post_init__(self):
        if self.segment_s is not None and round(self.segment_s * self.rate) < self.least:
            raise Fault(
                f"segment_s: {self.segment_s:g} s are {round(self.segment_s * self.rate)} samples at "
                f"{self.rate} Hz, {self.least} are needed"
            )
        if self.step_s is not None and self.step_s < LEAST_STEP_S:
            raise Fault(f"step_s must be at least {LEAST_STEP_S:g} s, got {self.step_s:g}")

    def pieces(self, n: int, start_s: float = math.nan, end_s: float = math.nan) -> list[tuple[int, int]]:
        """Returns first step and number of steps of each piece of a recording of n steps.

        A stretch from `start_s` to `end_s` is cut within itself; NaN is the beginning or the end. The last
        piece ends where the stretch does, but for less than 1 ms. A stretch shorter than a segment is one
        piece; without `segment_s` nothing is cut.
        """
        first = 0 if math.isnan(start_s) else min(round(start_s * self.rate), n)
        n = (n if math.isnan(end_s) else min(round(end_s * self.rate), n)) - first
        if self.segment_s is None:
            return [(first, n)]
        size, step = min(round(self.segment_s * self.rate), n), (self.step_s or self.segment_s) * self.rate
        starts = list(range(0, n - size, max(1, round(step))))
        if not starts or n - size - starts[-1] >= math.ceil(LEAST_STEP_S * self.rate):
            starts.append(n - size)
        return [(first + start, size) for start in starts]


class Recordings(Listed):
    """Lists recordings, of which a table may name several stretches."""

    items_are = "recordings"
    suffixes = SUFFIXES
    has_stretches = True

    def find(self, folder: Path) -> list[str]:
        return find_recordings(folder)

    @cached_property
    def headers(self) -> list[Header | None]:
        """Returns what is told of each recording, None where it cannot be opened."""
        headers = {name: header(path) for name, path in self._each("looking")}
        warn_of_unsure(headers)
        return list(headers.values())

    @cached_property
    def state(self) -> list[tuple]:
        """Returns for each listed stretch its file, bytes, time of change, start, end, label and split."""
        of = {source.name: source for source in self.sources}
        columns = (
            self.labelled.table[key].tolist() for key in ("file", "start_s", "end_s", "label", "split")
        )
        rows = [
            (*of[file], *(None if math.isnan(s) else s for s in times), label, split)
            for file, *times, label, split in zip(*columns, strict=True)
        ]
        return sorted(rows, key=lambda row: (row[0], row[3] or 0.0))

    def announced(self, rate: int, channel: Channel) -> tuple[dict[str, int], dict[str, str]]:
        """Returns by recording the samples at that rate as headers say, and why some cannot be used."""
        n, bad = {}, {}
        for (file, path), info in zip(self.paths.items(), self.headers, strict=True):
            if info is None:
                bad[file] = _why_closed(path)
            elif not info.frames:
                bad[file] = "has no samples"
            elif reason := why_not(info, rate, channel):
                bad[file] = reason
            else:
                n[file] = n_at_rate(info, rate)
        return n, bad

    def pieces(self, n_there: Mapping[str, int], how: Cutting) -> tuple[Samples, dict[str, str]]:
        """Returns the pieces of recordings with so many samples, and why some recordings give none."""
        pieces, bad, long = [], {}, {}
        keys = ("start_s", "end_s", "file", *TEXTS, *self.labelled.others)
        for start_s, end_s, file, *rest in zip(*(self.labelled.table[key] for key in keys), strict=True):
            cut = how.pieces(n_there[file], start_s, end_s) if file in n_there else []
            whole = math.isnan(start_s) and math.isnan(end_s)
            if cut and cut[0][1] < how.least:
                start = "" if whole else f" from {np.nan_to_num(start_s):g} s on"
                bad[f"{file}{start}"] = f"has {cut[0][1]} samples at {how.rate} Hz, {how.least} are needed"
                continue
            for first, n in cut:
                if n > MOST_WHOLE_S * how.rate:
                    long[file] = f"{file}: {n / how.rate:.0f} s"
                start_s, end_s = first / how.rate, (first + n) / how.rate
                name = file if whole and how.segment_s is None else piece_name(file, start_s)
                pieces.append((name, start_s, end_s, file, *rest))
        if long:
            raise Fault(
                f"a sample is at most {MOST_WHOLE_S} s long, {len(long)} are longer: cut them by "
                f"`data.segment_s`\n{listing(list(long.values()))}"
            )
        names, *columns = zip(*pieces, strict=True) if pieces else [()] * (1 + len(keys))
        names = numbered(names) if self.several == "all" else names
        return Samples.of(names, **dict(zip(keys, columns, strict=True))), bad


def n_at_rate(info: Header | None, rate: int) -> int:
    """Returns the samples that a recording of this header becomes at that rate, at most."""
    if info is None or why_not(info, rate, "mean"):
        return 0
    same = info.samplerate == rate
    return info.frames if same else math.ceil(info.frames * rate / info.samplerate) + 1


def _why_closed(path: Path) -> str:
    try:
        for _ in stream(path, ANY_RATE):
            pass
    except Unusable as reason:
        return str(reason)
    return "cannot be read as sound"
