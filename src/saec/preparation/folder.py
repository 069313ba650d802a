"""The folder that pictures come into: where it is, how it appears, and the tables beside the pictures."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from saec.data.png import SIDECAR
from saec.documents import read_mapping
from saec.faults import Fault
from saec.files import write_json, write_text
from saec.preparation.look import Look
from saec.preparation.pictures import Note
from saec.samples import Samples

ABOUT = "prepared.json"
PREPARED, FAILED, SKIPPED = "prepared.csv", "failed.csv", "skipped.csv"


@dataclass(frozen=True)
class PictureFolder:
    """A finished folder of spectrogram pictures."""

    folder: Path

    @property
    def paths(self) -> list[Path]:
        return [self.folder]


@dataclass(frozen=True)
class Target:
    """Where pictures go: `out`, or a new folder `<parent>/<stem>_<date>_<time>`."""

    parent: Path
    stem: str
    out: Path | None
    fingerprint: str

    @property
    def part(self) -> Path:
        """Returns the hidden folder beside the result in which the same work always goes on."""
        parent, stem = (self.out.parent, self.out.name) if self.out else (self.parent, self.stem)
        return parent / f".{stem}_{self.fingerprint[:12]}.part"

    def finished(self) -> Path | None:
        """Returns the folder where this very work was done already.

        Raises:
            Fault: `out` holds something else, or nothing can be written beside it.
        """
        made = [self.out] if self.out else sorted(self.parent.glob(f"{self.stem}_*"), reverse=True)
        for folder in made:
            if self._is_made(folder):
                return folder
        if self.out and self.out.exists() and not (self.out.is_dir() and not any(self.out.iterdir())):
            raise Fault(
                f"{self.out} exists and was not prepared from these recordings with these settings: give "
                "another `out`, or delete it"
            )
        there = next(folder for folder in self.part.parents if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise Fault(f"cannot write into {there}: give an `out` in another folder")
        return None

    def take(self, pictures: Path, now: str | None) -> Path:
        """Moves the finished pictures to where they belong, in one step."""
        folder, moment = self.out, datetime.strptime(now, "%Y%m%d_%H%M%S") if now else datetime.now()
        while folder is None or (folder.exists() and not self.out):
            folder = self.parent / f"{self.stem}_{moment:%Y%m%d_%H%M%S}"
            moment += timedelta(seconds=1)
        if folder.exists():
            folder.rmdir()  # empty, else it would have been refused; Windows does not replace it
        pictures.rename(folder)
        return folder

    def _is_made(self, folder: Path) -> bool:
        """Whether the folder was prepared so and still has all its pictures."""
        try:
            about = read_mapping(folder / ABOUT)
        except Fault:
            return False
        n_pictures = sum(1 for file in os.scandir(folder) if file.name.endswith(".png"))
        return about.get("fingerprint") == self.fingerprint and about.get("pictures") == n_pictures


def write_beside(folder: Path, notes: list[Note], look: Look, samples: Samples, fingerprint: str) -> None:
    """Writes the sidecar, the tables of what was made, failed and was skipped, and what it was made from.

    `samples` are the recordings, with their labels and groups.
    """
    write_json(folder / SIDECAR, _sidecar(look))
    _write_prepared(folder / PREPARED, notes, samples)
    failed = [(note["recording"], note["failed"]) for note in notes if note["failed"]]
    _write_table(folder / FAILED, ("recording", "reason"), failed)
    skipped = [
        (note["recording"], round(start, 6), round(end, 6), why)
        for note in notes
        for start, end, why in note["skipped"]
    ]
    _write_table(folder / SKIPPED, ("recording", "start", "end", "reason"), skipped)
    about = {"pictures": sum(len(note["pictures"]) for note in notes), "recordings": len(notes)}
    settings = look.model_dump(mode="json", exclude={"out"} | look.unused)
    write_json(folder / ABOUT, {"fingerprint": fingerprint, **about, "settings": settings})


def _sidecar(look: Look) -> dict[str, object]:
    """Returns what readers of such pictures look for, in the words of xeno_canto_organizer."""
    drawing = look.drawing
    frequencies, times = drawing.axes(look.n_samples)
    chosen = {} if look.spectrum is None else {"spectrum": look.spectrum.model_dump(mode="json")}
    return {
        "sampling_frequency": look.sample_rate,
        "segment_duration_sec": look.segment_s,
        "segment_step_size": look.step,
        "fft_window_size_bins": drawing.n_fft,
        "fft_window_overlap_bins": drawing.n_fft - drawing.hop_length,
        "colormap": look.colormap,
        "equalize": look.equalize,
        "max_segm_per_file": look.max_segments,
        "eps": drawing.eps,
        **chosen,
        "frequency_axis": frequencies.tolist(),
        "time_axis": times.tolist(),
    }


def _write_prepared(path: Path, notes: list[Note], samples: Samples) -> None:
    """Writes a row a picture, with labels where there are any: the annotation's, else the recording's."""
    labels = dict(zip(samples.names.tolist(), samples.labels.tolist(), strict=True))
    groups = dict(zip(samples.names.tolist(), samples.groups.tolist(), strict=True))
    rows = [
        (name, of, round(start, 6), round(end, 6), label or labels[of], groups[of])
        for note in notes
        for of in [note["recording"]]
        for name, start, end, label in note["pictures"]
    ]
    columns = ("file", "recording", "start", "end", "label", "group")
    labelled = any(row[4] for row in rows) or any(group != name for name, group in groups.items())
    n_columns = len(columns) if labelled else 4
    _write_table(path, columns[:n_columns], sorted(row[:n_columns] for row in rows))


def _write_table(path: Path, columns: Iterable[str], rows: Iterable[tuple]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(
        path, text.getvalue().encode("utf-8", "backslashreplace").decode()
    )  # names that are no Unicode
