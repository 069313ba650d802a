"""What a picture looks like: its settings, its size and axes, and the bytes that a segment becomes."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from saec.data.colormaps import table
from saec.faults import Fault
from saec.preparation import levels, spectrogram
from saec.registry import Strict
from saec.sound.spectra import SPECTRA, Spectrum

BY_SPECTRUM = ("n_fft", "hop_length", "equalize")  # what a spectrum replaces


class Depiction(Strict):
    """The settings that decide what a picture looks like.

    Without a `spectrum` a picture shows the power of windows that lie within the segment, from its least to
    its largest. With one it shows what the data kind `audio` sees: the spectrum's levels, from its floor up.
    `n_fft` and `hop_length` are then the spectrum's options, and `equalize` must be false.
    """

    sample_rate: int = Field(24000, ge=100, le=1_000_000)
    segment_s: float = Field(0.394, gt=0, le=600)
    step: float = Field(0.8, gt=0)  # from start to start, in segments
    spectrum: SPECTRA.field | None = None
    n_fft: int = Field(256, ge=4)
    hop_length: int = Field(36, ge=1)
    colormap: str = "gray"
    equalize: bool = True
    max_segments: int | None = Field(None, ge=1)  # of each recording
    short: Literal["pad", "skip"] = "pad"

    @property
    def n_samples(self) -> int:
        """Of one segment."""
        return int(self.sample_rate * self.segment_s)

    @property
    def named_spectrum(self) -> Spectrum | None:
        """The spectrum that was chosen, at the pictures' rate."""
        return None if self.spectrum is None else levels.pictured(self.spectrum, self.sample_rate)

    @property
    def windows(self) -> "Spectrum | Depiction":
        """Whose `n_fft` and `hop_length` are used."""
        return self.named_spectrum or self

    @property
    def unused(self) -> set[str]:
        """Fields that say nothing: files leave them out.

        Folders made before there was a choice are known again, as nothing is said of it.
        """
        return {"spectrum"} if self.spectrum is None else set(BY_SPECTRUM)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a picture."""
        if self.named_spectrum:
            return levels.size(self.named_spectrum, self.n_samples)
        return spectrogram.size(self.n_samples, self.n_fft, self.hop_length)

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Ascending frequencies in Hz, and the middles of the columns in seconds."""
        if self.spectrum is not None:
            return levels.axes(self.spectrum, self.sample_rate, self.n_samples)
        return spectrogram.axes(self.n_samples, self.sample_rate, self.n_fft, self.hop_length)

    def picture(self, segment: np.ndarray, sounding: slice) -> np.ndarray | None:
        """(height, width[, 3]) bytes of (samples,), or None where there is nothing to see.

        `sounding` says which samples are not padding.
        """
        if self.named_spectrum:
            return levels.picture(segment, self.named_spectrum, self.colormap)
        look = self.model_dump(include={"n_fft", "hop_length", "colormap", "equalize"})
        return spectrogram.picture(segment, self.sample_rate, **look, sounding=sounding)

    def __reduce__(self) -> tuple[Callable, tuple[Any, ...]]:
        """On the way to a worker process: the class of a component cannot be pickled, what it says can."""
        return type(self).model_validate, (self.model_dump(),)

    @field_validator("spectrum")
    @classmethod
    def _at_this_rate(cls, spectrum: Any, info: ValidationInfo) -> Any:
        if spectrum is not None and "sample_rate" in info.data:
            try:
                levels.pictured(spectrum, info.data["sample_rate"])
            except Fault as fault:
                raise ValueError(str(fault)) from None
        return spectrum

    @field_validator("n_fft", "hop_length")
    @classmethod
    def _said_by_the_spectrum(cls, n: int, info: ValidationInfo) -> int:
        key = info.field_name
        if _has_spectrum(info) and n != cls.model_fields[key].default:
            raise ValueError(f"is the spectrum's to say, got {n}: give `spectrum.{key}: {n}` instead")
        return n

    @field_validator("equalize")
    @classmethod
    def _even_without_a_spectrum(cls, equalize: bool, info: ValidationInfo) -> bool:
        if equalize and _has_spectrum(info):
            raise ValueError(
                "must be false with a spectrum, whose levels are shown as they are: set `equalize: false` or "
                "`spectrum: null`"
            )
        return equalize

    @field_validator("n_fft")
    @classmethod
    def _even(cls, n_fft: int) -> int:
        if n_fft % 2:
            raise ValueError(f"must be even, got {n_fft}: a picture is n_fft / 2 high")
        return n_fft

    @field_validator("colormap")
    @classmethod
    def _known(cls, colormap: str) -> str:
        try:
            table(colormap)
        except Fault as fault:
            raise ValueError(str(fault)) from None
        return colormap

    @model_validator(mode="after")
    def _fit_together(self) -> "Depiction":
        n_fft, hop_length = self.windows.n_fft, self.windows.hop_length
        key = "n_fft" if self.spectrum is None else "spectrum.n_fft"
        if hop_length > n_fft:
            raise ValueError(
                f"hop_length must be at most n_fft = {n_fft}, got {hop_length}: the sound between "
                "two windows would be lost"
            )
        if self.n_samples < n_fft:
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


def _has_spectrum(info: ValidationInfo) -> bool:
    """A right one or a faulty one, so that the faults of both are said at once."""
    return "spectrum" not in info.data or info.data["spectrum"] is not None
