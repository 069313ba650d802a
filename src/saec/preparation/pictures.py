"""Makes pictures and a note of one recording; the notes become the tables beside the pictures."""

import json
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from saec.data.png import SIDECAR
from saec.documents import read_mapping
from saec.faults import Fault, Unusable, differences
from saec.files import appearing, remove, write_json, write_text
from saec.preparation.look import PreparationSession
from saec.samples import PREPARED, SEGMENT, Samples
from saec.sound.files import load_sound
from saec.tables import write_table

ABOUT, FAILED, SKIPPED = "prepared.json", "failed.csv", "skipped.csv"
PICTURES, PACKED, NOTES = "pictures", "packed", "notes"  # folders of the part folder

# recording, failed (why or None), padded, pictures [name, start, end, label], skipped [start, end, why]
Note = dict[str, Any]


class Wanted(NamedTuple):
    """Names one recording, the start of its pictures' names, and the sounds to show (None: all of it)."""

    recording: str
    stub: str
    annotations: tuple | None


def draw_recording(
    settings: PreparationSession, source: Path, part: Path, stop: Event, wanted: Wanted
) -> Note:
    """Writes the pictures of one recording, then a note; meanwhile its sound lies in a file beside them."""
    scratch = part / f"{wanted.stub}.sound"
    note: Note = {
        "recording": wanted.recording,
        "failed": None,
        "padded": False,
        "pictures": [],
        "skipped": [],
    }
    try:  # no variable here holds the sound: Windows removes no file that is mapped
        sound = source / wanted.recording, settings.sample_rate, scratch
        _draw(load_sound(*sound), settings, part / PICTURES, stop, wanted, note)
    except Unusable as reason:
        note["failed"] = str(reason)
    finally:
        remove(scratch)
    if not stop.is_set():
        write_text(part / NOTES / f"{wanted.stub}.json", json.dumps(note))
    return note


def starts_of(wanted: Wanted, n_samples: int, settings: PreparationSession) -> list[tuple[float, str]]:
    """Returns second and label of each segment wanted of a recording so many samples long.

    Without annotations they start every `step`, as long as a whole segment follows.
    """
    rate, segment_s = settings.sample_rate, settings.segment_s
    if n_samples < settings.n_samples and settings.short == "skip":
        return []
    if wanted.annotations is not None:
        last = (n_samples - settings.n_samples) / rate
        middles = [((one.start_s + one.end_s) / 2, one.label) for one in wanted.annotations]
        starts = [(max(0.0, min(middle - segment_s / 2, last)), label) for middle, label in middles]
    elif n_samples < settings.n_samples:
        starts = [(0.0, "")]
    else:
        last = max(n_samples / rate / segment_s // 1, 1) - 1 + 0.01  # in segments
        steps = np.arange(int(last / settings.step) + 2) * settings.step
        seconds = steps[steps <= last] * segment_s
        whole = (rate * seconds).astype(int) + settings.n_samples <= n_samples
        starts = [(start_s, "") for start_s in seconds[whole].tolist()]
    return starts[: settings.max_segments]


def _draw(
    sound: np.ndarray, settings: PreparationSession, folder: Path, stop: Event, wanted: Wanted, note: Note
) -> None:
    """Writes pictures of the segments and adds them to the note; short sound is padded on both sides."""
    starts, length_s = starts_of(wanted, len(sound), settings), len(sound) / settings.sample_rate
    if not starts:
        why = f"the recording is shorter than a segment of {settings.segment_s:g} s"
        note["skipped"].append((0.0, round(length_s, 6), why))
    n_short, drawing = max(0, settings.n_samples - len(sound)), settings.drawing
    before = n_short // 2
    sounding = slice(before, before + len(sound))
    sound = np.pad(sound, (before, n_short - before)) if n_short else sound
    note["padded"] = n_short > 0 and bool(starts)
    labels_of: dict[str, list[str]] = defaultdict(list)
    for start_s, label in starts:
        if stop.is_set():
            return
        name = f"{wanted.stub}{SEGMENT}{start_s:08.3f}"
        labels = labels_of[name]
        name += f"-{len(labels) + 1}.png" if labels else ".png"
        times = round(start_s, 6), round(min(start_s + settings.segment_s, length_s), 6)
        if label in labels or (labels and settings.several == "first"):
            other = f"labelled {labels[0]!r}; this one {label!r}"
            more = "more labels than one, " if label not in labels else ""
            note["skipped"].append((*times, f"{more}the same window as another annotation, which is {other}"))
            continue
        first = int(settings.sample_rate * start_s)
        picture = settings.picture(sound[first : first + settings.n_samples], sounding)
        if picture is None:
            note["skipped"].append((*times, drawing.nothing))
            continue
        with appearing(folder / name) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
        labels.append(label)
        note["pictures"].append((name, *times, label))


def write_beside(
    folder: Path, notes: list[Note], settings: PreparationSession, samples: Samples, fingerprint: str
) -> None:
    """Writes the sidecar, the tables of what was made, failed and was skipped, and what it was made from.

    `samples` are the recordings, with their labels and groups; a picture's label is its annotation's first.
    """
    of = {name: (label, group) for name, label, group in samples.table[["label", "group"]].itertuples()}
    made = [
        (name, note["recording"], start, end, label or of[note["recording"]][0], of[note["recording"]][1])
        for note in notes
        for name, start, end, label in note["pictures"]
    ]
    labelled = any(row[4] for row in made) or any(group != name for name, (_, group) in of.items())
    columns = ["file", "recording", "start", "end", "label", "group"][: 6 if labelled else 4]
    failed = [(note["recording"], note["failed"]) for note in notes if note["failed"]]
    skipped = [(note["recording"], *rest) for note in notes for rest in note["skipped"]]
    for table, heads, rows in (
        (PREPARED, columns, sorted(row[: len(columns)] for row in made)),
        (FAILED, ["recording", "reason"], failed),
        (SKIPPED, ["recording", "start", "end", "reason"], skipped),
    ):
        write_table(folder / table, pd.DataFrame(rows, columns=heads))
    write_json(folder / SIDECAR, _sidecar(settings))
    about = {"fingerprint": fingerprint, "pictures": len(made), "recordings": len(notes)}
    write_json(folder / ABOUT, {**about, "settings": _kept(settings)})


def changes_of(folder: Path, session: PreparationSession, n_recordings: int) -> list[str]:
    """Returns in what a folder is not what the session makes of so many recordings."""
    try:
        about = read_mapping(folder / ABOUT)
        changed = differences(about["settings"], _kept(session))
    except (Fault, KeyError, AttributeError):
        return [f"it has no {ABOUT} of a preparation"]
    changed += differences(about, {"recordings": n_recordings})
    return changed or ["recordings or labels were changed, or pictures removed"]


def seconds_for(settings: PreparationSession, source: Path, wanted: Wanted) -> float:
    """Returns how long the pictures of one recording take one thread, the second time, with all imported."""
    with TemporaryDirectory(prefix="saec_check_", ignore_cleanup_errors=True) as part:
        for folder in (PICTURES, NOTES):
            (Path(part) / folder).mkdir()
        for _ in range(2):
            started = time.perf_counter()
            draw_recording(settings, source, Path(part), Event(), wanted)
    return time.perf_counter() - started


def _kept(session: PreparationSession) -> dict[str, object]:
    """Returns what a folder of pictures keeps of the session that it was made by."""
    return session.look | session.model_dump(mode="json", include={"recordings", "annotations"})


def _sidecar(settings: PreparationSession) -> dict[str, object]:
    """Returns what readers of such pictures look for, in the words of xeno_canto_organizer."""
    drawing = settings.drawing
    frequencies, times = drawing.axes(settings.n_samples)
    spectrum = settings.spectrum and {"spectrum": settings.spectrum.model_dump(mode="json")}
    return {
        "sampling_frequency": settings.sample_rate,
        "segment_duration_sec": settings.segment_s,
        "segment_step_size": settings.step,
        "fft_window_size_bins": drawing.n_fft,
        "fft_window_overlap_bins": drawing.n_fft - drawing.hop_length,
        "colormap": settings.colormap,
        "equalize": settings.equalize,
        "max_segm_per_file": settings.max_segments,
        "eps": drawing.eps,
        **(spectrum or {}),
        "frequency_axis": frequencies.tolist(),
        "time_axis": times.tolist(),
    }
