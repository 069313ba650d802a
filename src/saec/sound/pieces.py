"""Recordings are cut into pieces: whole, or windows of one length in regular steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from saec.sound.listed import Listed

SEGMENT = "_segm_"  # stands between a recording's name and the start of a piece of it
NAMED_PER_S = 1000  # starts that names tell apart


@dataclass(frozen=True)
class Piece:
    """So many samples of a recording, from `first` on."""

    place: int  # in the list of what there is
    recording: str
    name: str
    first: int
    n: int


def cut(
    place: int, listed: Listed, n_there: int, rate: int, segment_s: float | None, step_s: float
) -> list[Piece]:
    """The pieces of a recording of so many samples; the last one ends where the sound does, but for 1 ms.

    A recording shorter than a segment is one piece, shorter than the others. Nothing is cut without
    `segment_s`.
    """
    first = min(round((listed.start_s or 0.0) * rate), n_there)
    end = n_there if listed.end_s is None else min(round(listed.end_s * rate), n_there)
    n = end - first
    whole = listed.start_s is None and listed.end_s is None and segment_s is None
    size = n if segment_s is None else min(round(segment_s * rate), n)
    return [
        Piece(
            place,
            listed.name,
            listed.name if whole else piece_name(listed.name, (first + start) / rate),
            first + start,
            size,
        )
        for start in _starts(n, size, round(step_s * rate), math.ceil(rate / NAMED_PER_S))
    ]


def piece_name(recording: str, start_s: float) -> str:
    """`song.wav` at 1.5 s: `song_segm_0001.500.wav`, as pictures of it are called."""
    path = PurePosixPath(recording)
    return str(path.with_name(f"{path.stem}{SEGMENT}{start_s:08.3f}{path.suffix}"))


def _starts(n: int, size: int, step: int, least: int) -> Sequence[int]:
    """What is left after the last step is no piece where less than `least` of it is new."""
    steps = [k * step for k in range(math.ceil((n - size) / max(1, step)))]
    return steps if steps and n - size - steps[-1] < least else [*steps, n - size]
