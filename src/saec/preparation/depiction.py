"""One recording becomes pictures: how they are made is `Depiction`, what came of it is a `Note`."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field, field_validator, model_validator

from saec.data.colormaps import table
from saec.faults import Fault
from saec.files import appearing
from saec.preparation.annotations import Annotation
from saec.preparation.spectrogram import centred_start, padded, picture, regular_starts, size
from saec.registry import Strict
from saec.sound.pieces import SEGMENT
from saec.sound.recordings import Unreadable, load_sound

SHOWN_ALREADY = "the same window as another annotation, which is labelled {!r}; this one {!r}"
NOTHING_TO_SEE = "nothing to see: constant, or not a number after the equalizer"
TOO_SHORT = "the recording is shorter than a segment of {:g} s"


class Depiction(Strict):
    """The settings that decide what a picture looks like."""

    sample_rate: int = Field(24000, ge=100, le=1_000_000)
    segment_s: float = Field(0.394, gt=0, le=600)
    step: float = Field(0.8, gt=0)  # from start to start, in segments
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
    def size(self) -> tuple[int, int]:
        """(width, height) of a picture."""
        return size(self.n_samples, self.n_fft, self.hop_length)

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
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length must be at most n_fft = {self.n_fft}, got {self.hop_length}: the sound between "
                "two windows would be lost"
            )
        if self.n_samples < self.n_fft:
            raise ValueError(
                f"a segment must hold a window of n_fft = {self.n_fft} samples, but {self.segment_s:g} s at "
                f"{self.sample_rate} Hz are {self.n_samples}: raise segment_s or lower n_fft"
            )
        if self.step * self.segment_s < 0.001:
            raise ValueError(
                f"segments must start at least 0.001 s apart, as names tell no more, got step = "
                f"{self.step:g} of segment_s = {self.segment_s:g} s"
            )
        return self


class Job(NamedTuple):
    """One recording, what the names of its pictures begin with, and which are wanted (None: regular ones)."""

    recording: str
    stub: str
    wanted: tuple[Annotation, ...] | None


Note = dict[
    str, Any
]  # recording, failed, padded, pictures [name, start, end, label], skipped [start, end, why]


def depict(settings: Depiction, source: Path, part: Path, job: Job) -> Note:
    """Writes the pictures of one recording into `part`; meanwhile its sound lies in a file beside it."""
    scratch = part.with_name(f"{job.stub}.sound")
    note = {"recording": job.recording, "failed": None, "padded": False, "pictures": [], "skipped": []}
    try:
        sound = load_sound(source / job.recording, settings.sample_rate, scratch)
        note |= _write(sound, settings, part, job)
        del sound  # Windows removes no file that is mapped
    except Unreadable as reason:
        note["failed"] = str(reason)
    finally:
        scratch.unlink(missing_ok=True)
    return note


def starts_of(job: Job, n_samples: int, settings: Depiction) -> list[tuple[float, str]]:
    """Second and label of each segment wanted of a recording so many samples long."""
    rate, segment_s = settings.sample_rate, settings.segment_s
    if n_samples < settings.n_samples and settings.short == "skip":
        return []
    if job.wanted is not None:
        starts = [(centred_start(a.middle_s, n_samples, rate, segment_s), a.label) for a in job.wanted]
    elif n_samples < settings.n_samples:
        starts = [(0.0, "")]
    else:
        starts = [(start, "") for start in regular_starts(n_samples, rate, segment_s, settings.step)]
    return starts[: settings.max_segments]


def _write(sound: np.ndarray, settings: Depiction, folder: Path, job: Job) -> Note:
    starts, length_s = starts_of(job, len(sound), settings), len(sound) / settings.sample_rate
    if not starts:
        return {"skipped": [(0.0, length_s, TOO_SHORT.format(settings.segment_s))]}
    short, sounding = len(sound) < settings.n_samples, slice(None)
    if short:
        sound, sounding = padded(sound, settings.n_samples)
    made: dict[str, tuple[float, float, str]] = {}
    skipped = []
    for start_s, label in starts:
        name, end_s = f"{job.stub}{SEGMENT}{start_s:08.3f}.png", min(start_s + settings.segment_s, length_s)
        first = int(settings.sample_rate * start_s)
        if name in made:
            skipped.append((start_s, end_s, SHOWN_ALREADY.format(made[name][2], label)))
        elif _save(folder / name, sound[first : first + settings.n_samples], sounding, settings):
            made[name] = (start_s, end_s, label)
        else:
            skipped.append((start_s, end_s, NOTHING_TO_SEE))
    return {"padded": short, "pictures": [(name, *what) for name, what in made.items()], "skipped": skipped}


def _save(path: Path, segment: np.ndarray, sounding: slice, settings: Depiction) -> bool:
    """Whether there was something to see."""
    look = settings.model_dump(include={"n_fft", "hop_length", "colormap", "equalize"})
    shown = picture(segment, settings.sample_rate, **look, sounding=sounding)
    if shown is None:
        return False
    with appearing(path) as temporary:
        Image.fromarray(shown).save(temporary, format="PNG")
    return True
