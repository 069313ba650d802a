"""One recording becomes pictures: which ones are wanted, and a note of what came of it."""

from dataclasses import dataclass
from itertools import count, takewhile
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from saec.files import appearing
from saec.preparation.look import Look
from saec.samples import SEGMENT
from saec.sound.listed import Unreadable, load_sound

SHOWN_ALREADY = "the same window as another annotation, which is labelled {!r}; this one {!r}"
TOO_SHORT = "the recording is shorter than a segment of {:g} s"


@dataclass(frozen=True, order=True)
class Annotation:
    """One sound within a recording."""

    start_s: float
    end_s: float
    label: str

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


class Wanted(NamedTuple):
    """One recording, what the names of its pictures begin with, and the sounds to show (None: all of it)."""

    recording: str
    stub: str
    annotations: tuple[Annotation, ...] | None


# recording, failed (why or None), padded, pictures [name, start, end, label], skipped [start, end, why]
Note = dict[str, Any]


def draw_recording(look: Look, source: Path, folder: Path, wanted: Wanted) -> Note:
    """Writes the pictures of one recording into `folder`; meanwhile its sound lies in a file beside it."""
    scratch = folder.with_name(f"{wanted.stub}.sound")
    note = {"recording": wanted.recording, "failed": None, "padded": False, "pictures": [], "skipped": []}
    try:
        sound = load_sound(source / wanted.recording, look.sample_rate, scratch)
        note |= _draw(sound, look, folder, wanted)
        del sound  # Windows removes no file that is mapped
    except Unreadable as reason:
        note["failed"] = str(reason)
    finally:
        scratch.unlink(missing_ok=True)
    return note


def starts_of(wanted: Wanted, n_samples: int, look: Look) -> list[tuple[float, str]]:
    """Returns second and label of each segment wanted of a recording so many samples long."""
    if n_samples < look.n_samples and look.short == "skip":
        return []
    if wanted.annotations is not None:
        last = (n_samples - look.n_samples) / look.sample_rate
        middles = ((one.middle_s - look.segment_s / 2, one.label) for one in wanted.annotations)
        starts = [(max(0.0, min(start, last)), label) for start, label in middles]
    elif n_samples < look.n_samples:
        starts = [(0.0, "")]
    else:
        starts = [(start, "") for start in _regular_starts(n_samples, look)]
    return starts[: look.max_segments]


def _regular_starts(n_samples: int, look: Look) -> list[float]:
    """Returns the seconds at which segments start: every `step`, as long as a whole segment follows."""
    rate, segment_s = look.sample_rate, look.segment_s
    last = max(floor(n_samples / rate / segment_s), 1) - 1 + 0.01
    starts = [k * segment_s for k in takewhile(lambda k: k <= last, (k * look.step for k in count()))]
    return [start for start in starts if int(rate * start) + look.n_samples <= n_samples]


def _draw(sound: np.ndarray, look: Look, folder: Path, wanted: Wanted) -> Note:
    starts, length_s = starts_of(wanted, len(sound), look), len(sound) / look.sample_rate
    if not starts:
        return {"skipped": [(0.0, length_s, TOO_SHORT.format(look.segment_s))]}
    n_short, sounding = max(0, look.n_samples - len(sound)), slice(None)
    if n_short:
        before = n_short // 2
        sounding = slice(before, before + len(sound))
        sound = np.pad(sound, (before, n_short - before))
    made: dict[str, tuple[float, float, str]] = {}
    skipped = []
    for start_s, label in starts:
        name, end_s = f"{wanted.stub}{SEGMENT}{start_s:08.3f}.png", min(start_s + look.segment_s, length_s)
        first = int(look.sample_rate * start_s)
        if name in made:
            skipped.append((start_s, end_s, SHOWN_ALREADY.format(made[name][2], label)))
            continue
        picture = look.picture(sound[first : first + look.n_samples], sounding)
        if picture is None:
            skipped.append((start_s, end_s, look.drawing.nothing))
            continue
        with appearing(folder / name) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
        made[name] = (start_s, end_s, label)
    return {
        "padded": n_short > 0,
        "pictures": [(name, *what) for name, what in made.items()],
        "skipped": skipped,
    }
