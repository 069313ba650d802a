"""The data kind `audio`: recordings, or segments of them, as spectra made on the device."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Dataset, Stored, shades
from saec.data.decoding import refuse_bad
from saec.data.kind import DATA, Sizes
from saec.data.sound_store import FULL_SCALE, NOTHING, decoded, placed_in, say_odd
from saec.data.sounding import Cutting, Recordings, require_some
from saec.data.store import Cache
from saec.faults import Fault, listing
from saec.files import GB, fingerprint
from saec.samples import Samples
from saec.sound.listed import (
    Channel,
    Place,
)
from saec.sound.pieces import Piece
from saec.sound.spectra import SPECTRA, Spectrum

SoundFit = Literal["resize", "pad", "centre"]
Standardise = Literal["none", "item", "set"] | tuple[float, float]
TINY = 1e-6


@dataclass(frozen=True)
class SoundFront:
    """From (batch, samples) int16 to (batch, 1, rows, frames) float, high frequencies on top.

    `fit` says how an item becomes so many frames: stretched by bicubic interpolation, or cut off and filled
    up with the floor on the right (pad) or on both sides (centre).
    """

    spectrum: Spectrum
    n_frames: int  # that come out
    fit: SoundFit = "resize"
    standardise: Standardise = "none"  # (mean, standard deviation) once a set has decided them

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, self.spectrum.n_rows, self.n_frames)

    @property
    def in_units(self) -> bool:
        """Whether values lie in [0, 1]."""
        return self.spectrum.in_units and self.standardise == "none"

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "SoundFront":
        """The same with so many frames that a model can take them.

        Raises:
            Fault: the spectrum has other rows than the model takes.
        """
        if height is not None and height != self.spectrum.n_rows:
            raise Fault(
                f"the spectrum has {self.spectrum.n_rows} rows, the model takes {height}: choose "
                f"`data.spectrum.n_mels: {height}` of a mel spectrum, or another model"
            )
        steps = self.n_frames / time_pool
        n_steps = round(steps) if self.fit == "resize" else ceil(steps)
        return replace(self, n_frames=width or max(1, n_steps) * time_pool)

    def from_training_set(self, batches: Iterable[Tensor]) -> dict[str, Any]:
        """The options that the training set decides: mean and standard deviation of all its values."""
        if self.standardise != "set":
            return {}
        plain = replace(self, standardise="none")
        n, total, squares = 0, 0.0, 0.0
        for raw in batches:
            x = plain(raw).cpu().double()  # Apple GPUs have no float64
            n, total, squares = n + x.numel(), total + float(x.sum()), squares + float(x.square().sum())
        mean = total / n
        return {"standardise": (mean, max(squares / n - mean**2, TINY**2) ** 0.5)}

    def __call__(self, raw: Tensor) -> Tensor:
        there = raw != NOTHING
        n_samples = there.sum(dim=1)
        longest = int(n_samples.max())
        sound = torch.where(there, raw.float() / FULL_SCALE, 0.0)[:, :longest]
        spectra = self.spectrum(sound, n_samples)  # (batch, rows, frames)
        n_frames = self.spectrum.n_frames(n_samples).tolist()
        x = self._stretched(spectra, n_frames) if self.fit == "resize" else self._filled(spectra, n_frames)
        return self._standardised(x)[:, None]

    def show(self, values: Tensor, like: Tensor | None = None) -> np.ndarray:
        """Returns spectra as shades: as they are, or their range (that of `like`) stretched to [0, 1]."""
        if self.in_units:
            return shades(values)
        low, high = (values if like is None else like).float().aminmax()
        return shades(values, float(low), float(high))

    def _stretched(self, spectra: Tensor, n_frames: list[int]) -> Tensor:
        """Each item's own frames to as many as come out: bicubic, with antialiasing where it gets shorter."""
        out = spectra.new_zeros(*spectra.shape[:2], self.n_frames)
        size = (spectra.shape[1], self.n_frames)
        for n in set(n_frames):  # items of one length together
            rows = [place for place, own in enumerate(n_frames) if own == n]
            items = spectra[rows, :, :n][:, None]
            out[rows] = F.interpolate(items, size, mode="bicubic", antialias=True)[:, 0]
        return out.clamp(0, 1) if self.spectrum.in_units else out

    def _filled(self, spectra: Tensor, n_frames: list[int]) -> Tensor:
        out = spectra.new_zeros(*spectra.shape[:2], self.n_frames)
        for item, spectrum, n in zip(out, spectra, n_frames, strict=True):
            before, first = (self.n_frames - n) // 2 if self.fit == "centre" else 0, 0
            if before < 0:
                before, first = 0, -before
            kept = min(n - first, self.n_frames)
            item[:, before : before + kept] = spectrum[:, first : first + kept]
        return out

    def _standardised(self, x: Tensor) -> Tensor:
        if self.standardise == "none":
            return x
        if self.standardise == "item":
            mean, deviation = x.mean(dim=(1, 2), keepdim=True), x.std(dim=(1, 2), keepdim=True, correction=0)
            return (x - mean) / deviation.clamp(min=TINY)
        if self.standardise == "set":
            raise RuntimeError("a set's mean and deviation are to be decided before they are used")
        mean, deviation = self.standardise
        return (x - mean) / deviation


LOG = logging.getLogger(__name__)
VERSION = 2  # of the store's contents: raise it when the same recordings would be stored otherwise


@DATA.register("audio")
class Audio:
    """Recordings of a folder (its subfolders are classes), of class folders, or of a table.

    `sample_rate`: what all are resampled to. `channel`: the mean of all, or one by its number. `segment_s`:
    recordings are cut into segments of so many seconds, one every `step_s` (null: one after the other).
    `length_s`: seconds that every sample is brought to, its spectrum stretched or filled up (`fit`).
    `standardise`: values as they are (none), to mean 0 and deviation 1 in each item, or over the set.
    `limit`: take so many recordings. `skip_bad`: leave out those that cannot be used.
    """

    samples_are = "sounds"
    session_key = "sounds"
    from_training_set: ClassVar = {"length_s": ("mean", "longest"), "standardise": ("set",)}
    undecided = from_training_set

    def __init__(
        self,
        place: Place,
        cache: Cache,
        *,
        sample_rate: Annotated[int, Field(ge=100, le=1_000_000)] = 16_000,
        channel: Channel = "mean",
        segment_s: PositiveFloat | None = None,
        step_s: PositiveFloat | None = None,
        length_s: PositiveFloat | Literal["mean", "longest"] = "mean",
        fit: SoundFit = "resize",
        spectrum: SPECTRA.field = "mel",
        standardise: Standardise = "none",
        limit: PositiveInt | None = None,
        skip_bad: bool = False,
    ):
        self.recordings = Recordings(place, limit)
        self.folder = self.recordings.folder
        self.cache = cache
        self.channel = channel
        self.spectrum = spectrum(sample_rate)
        self.cutting = Cutting(sample_rate, segment_s, step_s, least=self.spectrum.hop_length)
        self.length_s = length_s
        self.fit = fit
        self.standardise = standardise
        self.skip_bad = skip_bad

    @property
    def state(self) -> list[tuple]:
        """Of each stretch that is listed: file, bytes, time of change, start, end, label and split."""
        return self.recordings.files

    files = state

    @cached_property
    def samples(self) -> Samples:
        """The samples that headers promise, without those of recordings that cannot be used."""
        n_there, _ = self.recordings.announced(self.cutting.rate, self.channel)
        return self._samples(self.recordings.pieces(n_there, self.cutting)[0])

    @property
    def labels(self) -> np.ndarray:
        """Of what is listed, "" where unknown."""
        return self.recordings.known[0]

    @cached_property
    def fingerprint(self) -> str:
        """Of the samples in the store."""
        states = [(source.name, source.n_bytes, source.mtime_ns) for source in self.recordings.sources]
        return fingerprint("audio", VERSION, str(self.folder), states, self.cutting.rate, self.channel)

    def sizes(self) -> Sizes:
        """Counts and lengths, from headers alone.

        Raises:
            Fault: headers that cannot be read, recordings too short or too long, no room in the cache.
        """
        n_there, bad = self.recordings.announced(self.cutting.rate, self.channel)
        pieces, short = self.recordings.pieces(n_there, self.cutting)
        self._refuse(bad | short)
        require_some(pieces, self.folder)
        n_bytes = 2 * sum(n_there.values())
        no_room = "" if self.cache.find(self.fingerprint) else self.cache.no_room(n_bytes)
        if no_room:
            raise Fault(f"recordings are kept decoded, these take {n_bytes / GB:.2f} GB: {no_room}")
        seconds = self._seconds(pieces)
        settled = {"length_s": seconds} if isinstance(self.length_s, str) else {}
        return Sizes(
            len(pieces),
            n_bytes,
            self._front(seconds),
            samples_are=self.samples_are,
            from_training_set=settled,
        )

    survey = sizes  # its former name

    def open(self, early: bool = False) -> Dataset:
        """The samples, decoded now or on an earlier day.

        Raises:
            Fault: recordings that cannot be used.
        """
        sources = self.recordings.sources
        sound, about = decoded(sources, self.cutting.rate, self.channel, self.cache, self.fingerprint)
        bad = {s.name: why for s, why in zip(sources, about["why_not"], strict=True) if why}
        n_there = {s.name: n for s, n in zip(sources, about["n"], strict=True) if s.name not in bad}
        pieces, short = self.recordings.pieces(n_there, self.cutting)
        self._refuse(bad | short)
        require_some(pieces, self.folder)
        if bad | short:
            lines = [f"{name} {reason}" for name, reason in (bad | short).items()]
            LOG.warning("%s: left out, unusable:\n%s", self.folder, listing(lines))
        say_odd(sources, about, self.cutting.rate)
        first = {source.name: n for source, n in zip(sources, about["first"], strict=True)}
        return self._dataset(pieces, placed_in(sound, first, pieces), list(bad | short))

    def _dataset(self, pieces: list[Piece], stored: Stored, left_out: list[str]) -> Dataset:
        stretches = [(one.name, one.start_s, one.end_s) for one in self.recordings.listed]
        how = (self.cutting.segment_s, self.cutting.step_s, stretches)
        return Dataset(
            self._samples(pieces),
            stored,
            np.arange(len(pieces)),
            self._front(self._seconds(pieces)),
            fingerprint(self.fingerprint, *how),
            {"left_out": left_out, "sample_rate": self.cutting.rate},
            self.samples_are,
        )

    def _samples(self, pieces: list[Piece]) -> Samples:
        places = [piece.place for piece in pieces]
        labels, groups = self.recordings.known
        return Samples.of(
            [piece.name for piece in pieces],
            file=[piece.recording for piece in pieces],
            start_s=[piece.first / self.cutting.rate for piece in pieces],
            end_s=[(piece.first + piece.n) / self.cutting.rate for piece in pieces],
            label=labels[places],
            group=groups[places],
            split=self.recordings.splits[places],
        )

    def _seconds(self, pieces: list[Piece]) -> float:
        """That samples are brought to."""
        if not isinstance(self.length_s, str):
            return self.length_s
        if self.cutting.segment_s is not None:
            return self.cutting.segment_s
        n = [piece.n for piece in pieces]
        return float(np.mean(n) if self.length_s == "mean" else max(n)) / self.cutting.rate

    def _front(self, seconds: float) -> SoundFront:
        n_frames = self.spectrum.n_frames(round(seconds * self.cutting.rate))
        return SoundFront(self.spectrum, n_frames, self.fit, self.standardise)

    def _refuse(self, bad: dict[str, str]) -> None:
        n_all = len(self.recordings.listed)
        refuse_bad(bad, self.folder, n_all, self.skip_bad, "recordings", listed=n_all > 1)
