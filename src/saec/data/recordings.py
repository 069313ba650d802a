"""Lists recordings, and says what their headers promise."""

import math
from functools import cached_property
from pathlib import Path

from saec.data.listed import Listed
from saec.sound.files import (
    SUFFIXES,
    Channel,
    Header,
    find_recordings,
    header,
    warn_of_unsure,
    why_not,
)

MOST_WHOLE_S = 120  # of a recording that is one sample


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


def n_at_rate(info: Header | None, rate: int, channel: Channel) -> int:
    """Returns the samples that a recording becomes at that rate, at most; 0 where it is of no use."""
    if info is None or not info.frames or why_not(info, rate, channel):
        return 0
    same = info.samplerate == rate
    return info.frames if same else math.ceil(info.frames * rate / info.samplerate) + 1
