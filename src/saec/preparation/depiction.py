"""One recording becomes pictures: which ones are wanted is a `Job`, what came of it is a `Note`."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from saec.files import appearing
from saec.preparation.annotations import Annotation
from saec.preparation.look import Depiction
from saec.preparation.spectrogram import centred_start, padded, regular_starts
from saec.sound.listed import Unreadable, load_sound
from saec.sound.pieces import SEGMENT

SHOWN_ALREADY = "the same window as another annotation, which is labelled {!r}; this one {!r}"
NOTHING_TO_SEE = "nothing to see: constant, or not a number after the equalizer"
BELOW_THE_FLOOR = "nothing to see: constant, or nothing above the spectrum's floor"
TOO_SHORT = "the recording is shorter than a segment of {:g} s"


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
            skipped.append((start_s, end_s, NOTHING_TO_SEE if settings.spectrum is None else BELOW_THE_FLOOR))
    return {"padded": short, "pictures": [(name, *what) for name, what in made.items()], "skipped": skipped}


def _save(path: Path, segment: np.ndarray, sounding: slice, settings: Depiction) -> bool:
    """Whether there was something to see."""
    shown = settings.picture(segment, sounding)
    if shown is None:
        return False
    with appearing(path) as temporary:
        Image.fromarray(shown).save(temporary, format="PNG")
    return True
