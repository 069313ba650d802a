"""The folder that pictures come into: where it is, how it appears, and the tables beside the pictures."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from saec.data.decoding import SIDECAR
from saec.documents import read_mapping
from saec.faults import Fault
from saec.files import write_json, write_text
from saec.preparation.depiction import Note
from saec.preparation.look import Depiction
from saec.preparation.spectrogram import EPS
from saec.sound.spectra import LEAST

ABOUT = "prepared.json"
PREPARED, FAILED, SKIPPED = "prepared.csv", "failed.csv", "skipped.csv"


@dataclass(frozen=True)
class Place:
    """`out`, or a new folder `<parent>/<stem>_<date>_<time>`."""

    parent: Path
    stem: str
    out: Path | None

    def finished(self, fingerprint: str) -> Path | None:
        """The folder where this very work was done already.

        Raises:
            Fault: `out` holds something else, or nothing can be written beside it.
        """
        known = [self.out] if self.out else sorted(self.parent.glob(f"{self.stem}_*"), reverse=True)
        for folder in known:
            if _holds(folder, fingerprint):
                return folder
        if self.out and self.out.exists() and not (self.out.is_dir() and not any(self.out.iterdir())):
            raise Fault(
                f"{self.out} exists and was not prepared from these recordings with these settings: give "
                "another `out`, or delete it"
            )
        _require_permission(self.part(fingerprint).parent)
        return None

    def part(self, fingerprint: str) -> Path:
        """The hidden folder beside the result in which the same work always goes on."""
        parent, stem = (self.out.parent, self.out.name) if self.out else (self.parent, self.stem)
        return parent / f".{stem}_{fingerprint[:12]}.part"

    def take(self, pictures: Path, now: str | None) -> Path:
        """Moves the finished pictures to where they belong, in one step."""
        folder = self.out or self._new(datetime.strptime(now, "%Y%m%d_%H%M%S") if now else datetime.now())
        if folder.exists():
            folder.rmdir()  # empty, else it would have been refused; Windows does not replace it
        pictures.rename(folder)
        return folder

    def _new(self, moment: datetime) -> Path:
        while (folder := self.parent / f"{self.stem}_{moment:%Y%m%d_%H%M%S}").exists():
            moment += timedelta(seconds=1)
        return folder


def write_beside(
    folder: Path,
    notes: list[Note],
    settings: Depiction,
    labels: dict[str, tuple[str, str]] | None,
    fingerprint: str,
) -> None:
    """The sidecar, the tables of what was made, failed and was skipped, and what it was made from."""
    write_json(folder / SIDECAR, _sidecar(settings))
    _write_prepared(folder / PREPARED, notes, labels)
    failed = [(note["recording"], note["failed"]) for note in notes if note["failed"]]
    _write_table(folder / FAILED, ("recording", "reason"), failed)
    skipped = [(note["recording"], _s(a), _s(b), why) for note in notes for a, b, why in note["skipped"]]
    _write_table(folder / SKIPPED, ("recording", "start", "end", "reason"), skipped)
    about = {"pictures": sum(len(note["pictures"]) for note in notes), "recordings": len(notes)}
    chosen = settings.model_dump(mode="json", exclude={"out"} | settings.unused)
    write_json(folder / ABOUT, {"fingerprint": fingerprint, **about, "settings": chosen})


def _holds(folder: Path, fingerprint: str) -> bool:
    """Whether the folder was prepared so and still has all its pictures."""
    if not (folder / ABOUT).is_file():
        return False
    try:
        about = read_mapping(folder / ABOUT)
    except Fault:
        return False
    n_pictures = sum(1 for file in os.scandir(folder) if file.name.endswith(".png"))
    return about.get("fingerprint") == fingerprint and about.get("pictures") == n_pictures


def _require_permission(folder: Path) -> None:
    """Looks without writing at the nearest folder that exists."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise Fault(f"cannot write into {there}: give an `out` in another folder")


def _sidecar(settings: Depiction) -> dict[str, object]:
    """What readers of such pictures look for, in the words of xeno_canto_organizer; a spectrum's options."""
    n_fft, hop_length = settings.windows.n_fft, settings.windows.hop_length
    frequencies, times = settings.axes()
    chosen = settings.spectrum
    return {
        "sampling_frequency": settings.sample_rate,
        "segment_duration_sec": settings.segment_s,
        "segment_step_size": settings.step,
        "fft_window_size_bins": n_fft,
        "fft_window_overlap_bins": n_fft - hop_length,
        "colormap": settings.colormap,
        "equalize": settings.equalize,
        "max_segm_per_file": settings.max_segments,
        "eps": EPS if chosen is None else LEAST,
        **({} if chosen is None else {"spectrum": chosen.model_dump(mode="json")}),
        "frequency_axis": frequencies.tolist(),
        "time_axis": times.tolist(),
    }


def _write_prepared(path: Path, notes: list[Note], labels: dict[str, tuple[str, str]] | None) -> None:
    """With labels where there are any: the annotation's, else the recording's; groups are the recording's."""
    known = labels or {}
    rows = []
    for note in notes:
        label, group = known.get(note["recording"], ("", note["recording"]))
        rows += [
            (name, note["recording"], _s(start), _s(end), own or label, group)
            for name, start, end, own in note["pictures"]
        ]
    columns = ("file", "recording", "start", "end", "label", "group")
    n_columns = len(columns) if labels or any(row[4] for row in rows) else 4
    _write_table(path, columns[:n_columns], sorted(row[:n_columns] for row in rows))


def _write_table(path: Path, columns: Iterable[str], rows: Iterable[tuple]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(
        path, text.getvalue().encode("utf-8", "backslashreplace").decode()
    )  # names that are no Unicode


def _s(seconds: float) -> float:
    return round(seconds, 6)
