"""Defines a preparation's session, and how a segment of sound becomes a picture at its settings."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from saec.data.png import table
from saec.faults import Fault
from saec.registry import Component
from saec.session import Session
from saec.sound.spectra import LEAST, SPECTRA

BY_SPECTRUM = ("n_fft", "hop_length", "equalize")  # keys that a spectrum replaces
SHOWN = ("linear", "mel")  # spectra of levels from 0 to 1, one row a frequency
EPS = 1e-10  # keeps the logarithm finite
Axes = tuple[np.ndarray, np.ndarray]  # ascending frequencies in Hz, the middles of the columns in seconds


class PreparationSession(Session):
    """Holds what a preparation session may say; all but the paths decides what a picture looks like.

    Without a `spectrum` a picture shows the power of windows that lie within the segment, from its least to
    its largest. With one it shows what the data kind `audio` sees: the spectrum's levels, from its floor up.
    `n_fft` and `hop_length` are then the spectrum's options, and `equalize` must be false.
    """

    sample_rate: Annotated[int, Field(ge=100, le=1_000_000)] = 24000
    segment_s: Annotated[float, Field(gt=0, le=600)] = 0.394
    step: Annotated[float, Field(gt=0)] = 0.8  # from start to start, in segments
    spectrum: Annotated[Component, SPECTRA] | None = None
    n_fft: Annotated[int, Field(ge=4)] = 256
    hop_length: Annotated[int, Field(ge=1)] = 36
    colormap: str = "gray"
    equalize: bool = True
    max_segments: Annotated[int, Field(ge=1)] | None = None  # of each recording
    short: Literal["pad", "skip"] = "pad"
    several: Literal["first", "all"] = "first"  # of the labels that annotations give one segment
    recordings: Annotated[str, BeforeValidator(lambda raw: str(raw) if isinstance(raw, Path) else raw)]
    pack: Annotated[int, Field(ge=1)] | None = None  # pictures in each tar; None: each is a file of its own
    out: Path | None = None
    annotations: Path | None = None

    @property
    def folders(self) -> list[str]:
        return [self.recordings]

    @property
    def stem(self) -> str:
        """Returns what the name of a folder without `out` begins with."""
        return f"images_{self.sample_rate}sps"

    @property
    def n_samples(self) -> int:
        """Returns the number of samples in a segment."""
        return int(self.sample_rate * self.segment_s)

    @property
    def drawing(self) -> "Power | Levels":
        """Returns what draws segments at these settings."""
        if self.spectrum is None:
            return Power(self.sample_rate, self.n_fft, self.hop_length, self.equalize)
        return levels_of(self.spectrum, self.sample_rate)

    @property
    def size(self) -> tuple[int, int]:
        """Returns (width, height) of a picture."""
        return self.drawing.n_columns(self.n_samples), self.drawing.n_rows

    @property
    def size_words(self) -> str:
        return "{} x {} (W x H)".format(*self.size)

    @property
    def look(self) -> dict[str, Any]:
        """Returns what decides the pictures; unused fields are left out, so that older folders stay valid."""
        unused = {"spectrum"} if self.spectrum is None else set(BY_SPECTRUM)
        unused |= {"several"} if self.several == "first" else set()
        unused |= {"pack"} if self.pack is None else set()
        return self.model_dump(mode="json", exclude={"recordings", "out", "annotations"} | unused)

    def picture(self, segment: np.ndarray, sounding: slice) -> np.ndarray | None:
        """Returns (height, width[, 3]) bytes of (samples,), or None where there is nothing to see.

        `sounding` says which samples are not padding. High frequencies are on top.
        """
        shade = self.drawing.shade(segment, sounding)  # (height, width) in [0, 1]
        if shade is None or self.colormap == "gray":
            return None if shade is None else (255 * shade).astype(np.uint8)
        return table(self.colormap)[np.minimum((256 * shade).astype(int), 255)]

    @field_validator("spectrum", "colormap")
    @classmethod
    def _can_be_shown(cls, value: Any, info: ValidationInfo) -> Any:
        try:
            if info.field_name == "colormap":
                table(value)
            elif value is not None and "sample_rate" in info.data:
                levels_of(value, info.data["sample_rate"])
        except Fault as fault:
            raise ValueError(str(fault)) from None  # which pydantic reports with the key
        return value

    @field_validator(*BY_SPECTRUM)
    @classmethod
    def _is_not_the_spectrums(cls, value: Any, info: ValidationInfo) -> Any:
        key = str(info.field_name)
        chosen = "spectrum" not in info.data or info.data["spectrum"] is not None  # faulty ones count, too
        if chosen and key == "equalize" and value:
            remedy = "set `equalize: false` or `spectrum: null`"
            raise ValueError(f"must be false with a spectrum, whose levels are shown as they are: {remedy}")
        if chosen and key != "equalize" and value != cls.model_fields[key].default:
            raise ValueError(f"is the spectrum's to say, got {value}: give `spectrum.{key}: {value}` instead")
        if key == "n_fft" and value % 2:
            raise ValueError(f"must be even, got {value}: a picture is n_fft / 2 high")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> "PreparationSession":
        n_fft, hop_length = self.drawing.n_fft, self.drawing.hop_length
        if hop_length > n_fft:
            lost = "the sound between two windows would be lost"
            raise ValueError(f"hop_length must be at most n_fft = {n_fft}, got {hop_length}: {lost}")
        if self.n_samples < n_fft:
            key = "n_fft" if self.spectrum is None else "spectrum.n_fft"
            raise ValueError(
                f"a segment must hold a window of n_fft = {n_fft} samples, but {self.segment_s:g} s at "
                f"{self.sample_rate} Hz are {self.n_samples}: raise segment_s or lower {key}"
            )
        if self.step * self.segment_s < 0.001:
            raise ValueError(
                f"segments must start at least 0.001 s apart, as names tell no more, got step = "
                f"{self.step:g} of segment_s = {self.segment_s:g} s"
            )
        return self


@dataclass(frozen=True)
class Power:
    """Draws the power of windows within a segment; equalized, each frequency is held against its median."""

    rate: int
    n_fft: int
    hop_length: int
    equalize: bool
    eps = EPS
    nothing = "nothing to see: constant, or not a number after the equalizer"

    @property
    def n_rows(self) -> int:
        return self.n_fft // 2

    def n_columns(self, n_samples: int) -> int:
        return (n_samples - self.n_fft + self.hop_length) // self.hop_length

    def axes(self, n_samples: int) -> Axes:
        """Returns the axes of a picture; frequencies come with the Nyquist row, which no picture shows."""
        middles = np.arange(self.n_fft / 2, n_samples - self.n_fft / 2 + 1, self.hop_length)
        return np.fft.rfftfreq(self.n_fft, 1 / self.rate), middles / self.rate

    def shade(self, sound: np.ndarray, sounding: slice) -> np.ndarray | None:
        """Returns (height, width) in [0, 1]; None where sound is constant or no number when equalized."""
        from scipy.signal import spectrogram

        *_, power = spectrogram(
            sound - sound.mean(),
            self.rate,
            window="hamming",
            nperseg=self.n_fft,
            noverlap=self.n_fft - self.hop_length,
            detrend="constant",
            scaling="spectrum",
        )
        power = power[-2::-1]  # without the Nyquist row, upside down
        if self.equalize:
            first, stop, _ = sounding.indices(len(sound))
            begin = max(0, (first - self.n_fft) // self.hop_length + 1)
            power = _equalized(power, slice(begin, (stop - 1) // self.hop_length + 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            shade = np.log10(power + EPS)
            shade = shade - shade.min()
            shade = shade / shade.max()
        return shade if np.isfinite(shade).all() else None


def _equalized(power: np.ndarray, sounding: slice) -> np.ndarray:
    """Holds each frequency against its median and minimum over time, nothing below 1, as maad does.

    Where padding makes up most of a segment, its zeros are the median too and the quotient is no number: the
    columns that touch sound then give median and minimum.
    """
    for columns in (slice(None), sounding):
        median = np.median(power[:, columns], axis=1, keepdims=True)
        least = power[:, columns].min(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            even = (power - median) / (median - least)
        if np.isfinite(even).all():
            break
    return np.where(even < 1, 1, even)


class Levels:
    """Draws the levels of a named spectrum, from its floor to its reference."""

    eps = LEAST
    nothing = "nothing to see: constant, or nothing above the spectrum's floor"

    def __init__(self, chosen: Component, rate: int):
        if chosen.name not in SHOWN:
            raise Fault(
                f"{chosen.name} gives no levels from 0 to 1, one row a frequency, that a picture could show: "
                f"choose from {', '.join(SHOWN)}"
            )
        self.chosen = chosen
        self.rate = rate
        self.spectrum = chosen(rate)
        self.n_fft = self.spectrum.n_fft
        self.hop_length = self.spectrum.hop_length
        self.n_rows = self.spectrum.n_rows

    def n_columns(self, n_samples: int) -> int:
        return self.spectrum.n_frames(n_samples)

    def axes(self, n_samples: int) -> Axes:
        """Returns the axes of a picture; linear rows come with the Nyquist row, which no picture shows.

        Mel rows are at the peaks of their filters; pitch classes below them are no frequencies and left out.
        """
        hz = np.fft.rfftfreq(self.n_fft, 1 / self.rate)
        if self.chosen.name == "mel":
            hz = self.spectrum.mel_hertz
        return hz, np.arange(self.n_columns(n_samples)) * self.hop_length / self.rate

    def shade(self, sound: np.ndarray, sounding: slice) -> np.ndarray | None:
        """Returns (height, width) in [0, 1]; None where sound is constant or all below the floor."""
        if np.ptp(sound) == 0:
            return None
        samples = torch.from_numpy(np.array(sound, np.float32))[None]
        shade = self.spectrum(samples, torch.tensor([len(sound)]))[0].numpy()
        return shade if shade.min() < shade.max() else None


levels_of = lru_cache(maxsize=8)(Levels)  # filters are made once
