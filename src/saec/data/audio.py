"""Defines the data kind `audio`: recordings, or segments of them, as spectra computed on the device."""

import logging
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from saec.data.batch import Dataset
from saec.data.cutting import Cutting
from saec.data.fronts import SoundFit, SoundFront, Standardise
from saec.data.kind import DATA, Kind, Sizes
from saec.data.listed import Listed, Location, Pattern, piece_name
from saec.data.store import Cache, n_bytes_of
from saec.data.stored import Windows
from saec.faults import Fault, MissingFault, listing
from saec.files import fingerprint
from saec.samples import Samples, Several
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
from saec.sound.spectra import SPECTRA

LOG = logging.getLogger(__name__)
VERSION = 3  # raise it when the same recordings would be stored otherwise: it makes other fingerprints
MOST_WHOLE_S = 120  # of a recording that is one sample
LONG = 4  # times the length that samples are brought to, which makes them something else
NEARLY = 0.98  # of a rate: 22,000 Hz are as good as 22,050


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


@DATA.register("audio")
class Audio(Kind[Recordings]):
    """Reads recordings of a folder (its subfolders are classes), of class folders, or of a table.

    `sample_rate`: what all are resampled to. `channel`: the mean of all, or one by its number. `segment_s`:
    recordings are cut into segments of so many seconds, one every `step_s` (null: one after the other).
    `length_s`: seconds that every sample is brought to, its spectrum stretched or filled up (`fit`).
    `standardise`: values as they are (none), to mean 0 and deviation 1 in each item, or over the set.
    `group`: a regular expression with one group, that finds in a path what groups recordings (a speaker, a
    site). `several: first` takes the first of the rows that a table has of one sound, `all` makes a sample of
    each label. `limit`: take so many recordings. `skip_bad`: leave out those that cannot be used.
    """

    samples_are = "sounds"
    items_are = "recordings"
    session_key = "sounds"
    suffixes = Recordings.suffixes
    from_training_set: ClassVar = {"length_s": ("mean", "longest"), "standardise": ("set",)}
    dtype = np.dtype(np.float32)  # in the recording's own scale, nothing clipped
    shape = ()

    def __init__(
        self,
        location: Location,
        cache: Cache,
        *,
        sample_rate: Annotated[int, Field(ge=100, le=1_000_000)] = 16_000,
        channel: Channel = "mean",
        segment_s: PositiveFloat | None = None,
        step_s: PositiveFloat | None = None,
        length_s: PositiveFloat | Literal["mean", "longest"] = "mean",
        fit: SoundFit = "resize",
        spectrum: Annotated[Any, SPECTRA] = "mel",
        standardise: Standardise = "none",
        group: Pattern | None = None,
        several: Several = "none",
        limit: PositiveInt | None = None,
        skip_bad: bool = False,
    ):
        super().__init__(Recordings(location, limit, group, several), cache, skip_bad)
        self.channel = channel
        self.spectrum = spectrum(sample_rate)
        self.cutting = Cutting(sample_rate, segment_s, step_s, least=self.spectrum.hop_length)
        self.length_s = length_s
        self.fit = fit
        self.standardise = standardise
        self._peaks: dict[int, float] = {}  # of recordings that have been read

    @property
    def state(self) -> list[tuple]:
        """Returns for each listed stretch its file, bytes, time of change, start, end, label and split."""
        return self.listed.state

    @property
    def n_listed(self) -> int:
        return len(self.listed.listed)

    @cached_property
    def n_steps(self) -> list[int]:
        """Returns the largest possible number of samples of each recording, as headers say; 0: of no use."""
        rate, n_steps = self.cutting.rate, []
        for info in self.listed.headers:
            if info is None or not info.frames or why_not(info, rate, self.channel):
                n_steps.append(0)
            else:
                same = info.samplerate == rate
                n_steps.append(info.frames if same else math.ceil(info.frames * rate / info.samplerate) + 1)
        return n_steps

    @cached_property
    def samples(self) -> Samples:
        """Returns the samples that headers promise, without those of recordings that cannot be used."""
        return self._promised[0]

    @cached_property
    def fingerprint(self) -> str:
        """Returns the fingerprint of the recordings in the store, however they are cut."""
        return fingerprint(
            "audio", VERSION, self.cache.name_of(self.folder), self.files, self.cutting.rate, self.channel
        )

    def sizes(self) -> Sizes:
        """Counts samples and their lengths from headers alone.

        Raises:
            Fault: headers that cannot be read, recordings too short or too long.
        """
        samples, windows, bad = self._promised
        self.refuse_early(bad)
        self._require_some(samples)
        seconds = self._seconds(windows.n_steps)
        self._warn_of_long(samples.names[windows.n_steps > LONG * seconds * self.cutting.rate], seconds)
        settled = {"length_s": seconds} if isinstance(self.length_s, str) else {}
        return self.sized(len(samples), n_bytes_of(self), self._front(seconds), from_training_set=settled)

    def open(self) -> Dataset:
        """Decodes the recordings, or finds them decoded; checks those that the cache has no room for.

        Raises:
            Fault: recordings that cannot be used.
        """
        items, facts, bad = self.opened()
        n_there = zip(self.listed.paths, facts["n_steps"], strict=True)
        samples, windows, short = self._cut({file: n for file, n in n_there if file not in bad})
        bad |= short
        self.refuse_bad(bad)
        self._require_some(samples)
        left_out = self.leave_out(bad)
        self._warn_of_doubtful(facts)
        stretches = [(file, start_s, end_s) for file, _, _, start_s, end_s, *_ in self.listed.state]
        return Dataset(
            samples,
            items.cut(windows),
            np.arange(len(samples)),
            self._front(self._seconds(self._promised[1].n_steps)),  # which is what `sizes` settles
            fingerprint(self.fingerprint, self.cutting.segment_s, self.cutting.step_s, stretches),
            {"left_out": left_out, "sample_rate": self.cutting.rate},
            self.samples_are,
        )

    def read(self, item: int, first: int = 0, n: int | None = None) -> Iterator[np.ndarray]:
        """Yields blocks (samples,) float32 of a recording.

        Raises:
            Unusable: it cannot be read, or is not what was listed.
        """
        path, peak = self.paths[item], 0.0
        for block in stream(path, self.cutting.rate, self.channel, first, n):
            peak = max(peak, float(np.abs(block).max(initial=0)))
            yield block.astype(np.float32)
        self.files[item].require_unchanged(path)
        self._peaks[item] = peak

    def facts(self, unusable: dict[int, str]) -> dict[str, Any]:
        """Returns which recordings are silent, and the rates that there are."""
        silent = [item for item, peak in sorted(self._peaks.items()) if peak == 0 and item not in unusable]
        rates = sorted({info.samplerate for info in self.listed.headers if info})
        return {"silent": silent, "rates": rates}

    @cached_property
    def _promised(self) -> tuple[Samples, Windows, dict[str, str]]:
        """Returns the samples that headers promise, where they lie, and why some cannot be used."""
        n_there = dict(zip(self.listed.paths, self.n_steps, strict=True))
        samples, windows, short = self._cut({file: n for file, n in n_there.items() if n})
        infos = zip(n_there, self.listed.headers, strict=True)
        why = {file: "has no samples" if info else "cannot be read as sound" for file, info in infos}
        return samples, windows, {file: why[file] for file, n in n_there.items() if not n} | short

    def _cut(self, n_there: Mapping[str, int]) -> tuple[Samples, Windows, dict[str, str]]:
        """Returns the samples of so long recordings, where they lie in them, and why some give none."""
        rate = self.cutting.rate
        samples, windows, bad = self.cutting.cut(
            self.listed, n_there, lambda name, file, first: piece_name(file, first / rate)
        )
        is_long = windows.n_steps > MOST_WHOLE_S * rate
        long = dict(zip(samples.files[is_long].tolist(), windows.n_steps[is_long] / rate, strict=True))
        if long:
            lines = [f"{file}: {seconds:.0f} s" for file, seconds in long.items()]
            raise Fault(
                f"a sample is at most {MOST_WHOLE_S} s long, {len(lines)} are longer: cut them by "
                f"`data.segment_s`\n{listing(lines)}"
            )
        return samples, windows, bad

    def _seconds(self, n_steps: np.ndarray) -> float:
        """Returns the seconds that samples of so many steps are brought to."""
        if not isinstance(self.length_s, str):
            return self.length_s
        if self.cutting.segment_s is not None:
            return self.cutting.segment_s
        return float(n_steps.mean() if self.length_s == "mean" else n_steps.max()) / self.cutting.rate

    def _front(self, seconds: float) -> SoundFront:
        n_frames = self.spectrum.n_frames(round(seconds * self.cutting.rate))
        return SoundFront(self.spectrum, n_frames, self.fit, self.standardise, self.cutting.segment_s)

    def _require_some(self, samples: Samples) -> None:
        if not len(samples):
            raise MissingFault(f"none of the recordings of {self.folder} can be used")

    def _warn_of_long(self, names: np.ndarray, seconds: float) -> None:
        """Warns of sounds that are whole, and far longer than the length that they are brought to."""
        if isinstance(self.length_s, str) or self.cutting.segment_s is not None:
            return
        if len(names):
            words = "%d sounds are more than %d times as long as the %.3g s that all are %s to, "
            words += "which makes them other sounds: cut them by `segment_s: %.3g`\n%s"
            how = "compressed" if self.fit == "resize" else "cut off"
            LOG.warning(words, len(names), LONG, seconds, how, seconds, listing(names.tolist()))

    def _warn_of_doubtful(self, facts: dict[str, Any]) -> None:
        """Warns of usable recordings that look as if something had gone wrong when they were made."""
        silent = [self.files[item].name for item in facts["silent"]]
        if silent:
            words = "%d recordings are silent, all their samples are 0:\n%s"
            LOG.warning(words, len(silent), listing(silent))
        rates, rate = facts["rates"], self.cutting.rate
        if set(rates) - {rate}:
            LOG.info("resampled to %d Hz, recordings have %s Hz", rate, ", ".join(map(str, rates)))
        if rates and min(rates) < NEARLY * rate:
            words = "some recordings were made at %d Hz: at `sample_rate: %d` they hold nothing above %d Hz"
            LOG.warning(words, min(rates), rate, min(rates) // 2)
