"""Cuts files of many steps, recordings or traces, into samples."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from saec.data.listed import Listed
from saec.data.stored import Windows
from saec.faults import Fault
from saec.samples import Samples, numbered

LEAST_STEP_S = 0.001  # names of pieces tell milliseconds apart


@dataclass(frozen=True)
class Cutting:
    """Says how files of many steps, recordings or traces, become samples."""

    rate: int  # steps a second
    segment_s: float | None
    step_s: float | None
    least: int  # steps that a piece must have

    def __post_init__(self) -> None:
        if self.segment_s is not None and round(self.segment_s * self.rate) < self.least:
            raise Fault(
                f"segment_s: {self.segment_s:g} s are {round(self.segment_s * self.rate)} samples at "
                f"{self.rate} Hz, {self.least} are needed"
            )
        if self.step_s is not None and self.step_s < LEAST_STEP_S:
            raise Fault(f"step_s must be at least {LEAST_STEP_S:g} s, got {self.step_s:g}")

    def pieces(self, n: int, start_s: float = math.nan, end_s: float = math.nan) -> list[tuple[int, int]]:
        """Returns first step and number of steps of each piece of a file of n steps.

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

    def cut(
        self, listed: Listed, n_there: Mapping[str, int], called: Callable[[str, str, int], str]
    ) -> tuple[Samples, Windows, dict[str, str]]:
        """Returns the samples of files of so many steps, where they lie in them, and why some give none.

        `called` makes a piece's name of the name and the file of what is cut, and of its first step.
        """
        labelled, item_of = listed.labelled, {file: item for item, file in enumerate(listed.paths)}
        columns, pieces, bad = (labelled.table[key] for key in ("file", "start_s", "end_s")), [], {}
        for row, (file, *stretch) in enumerate(zip(*columns, strict=True)):
            stretch = stretch if listed.has_stretches else [math.nan, math.nan]
            name, is_whole = labelled.table.index[row], all(map(math.isnan, stretch))
            parts = self.pieces(n_there[file], *stretch) if file in n_there else []
            if parts and parts[0][1] < self.least:
                start = "" if is_whole else f" from {np.nan_to_num(stretch[0]):g} s on"
                reason = f"has {parts[0][1]} samples at {self.rate} Hz, {self.least} are needed"
                bad[f"{file}{start}"] = reason
                continue
            for first, n in parts:
                is_all = is_whole and self.segment_s is None
                pieces.append((name if is_all else called(name, file, first), row, item_of[file], first, n))
        names, *numbers = zip(*pieces, strict=True) if pieces else [()] * 5
        names = tuple(numbered(names)) if listed.several == "all" else names
        rows, items, firsts, counts = (np.array(one, dtype=np.int64) for one in numbers)
        columns = labelled.table.iloc[rows].to_dict("list")
        if listed.has_stretches:
            columns |= {"start_s": firsts / self.rate, "end_s": (firsts + counts) / self.rate}
        order = sorted(range(len(names)), key=names.__getitem__)
        return Samples.of(names, **columns), Windows(*(one[order] for one in (items, firsts, counts))), bad
