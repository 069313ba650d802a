"""Makes a folder of spectrogram pictures from recordings: planned once, then made, whole or not at all."""

import json
import logging
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from posixpath import basename
from threading import Event

import torch

from saec.config import Config, load_config
from saec.data.ahead import ahead
from saec.data.kind import absolute, is_remote, paths_of
from saec.data.packed import names_below, write_shards
from saec.data.png import SUFFIXES as PNG
from saec.documents import read_mapping
from saec.faults import Fault, collect_faults, first_lines, listing
from saec.files import (
    fingerprint,
    locked,
    move,
    move_to_timestamp,
    remove,
    remove_leftovers,
    require_writable,
)
from saec.preparation.look import PreparationSession
from saec.preparation.pictures import (
    ABOUT,
    FAILED,
    NOTES,
    PACKED,
    PICTURES,
    SKIPPED,
    Note,
    Wanted,
    changes_of,
    draw_recording,
    seconds_for,
    starts_of,
    write_beside,
)
from saec.progress import duration, progress
from saec.samples import (
    LABELS,
    Samples,
    match_names,
    nearest_labels,
    raise_rows,
    read_annotations,
    with_recording,
    written_alike,
)
from saec.session import SessionError, load_session
from saec.sound.files import SUFFIXES, find_recordings, header, stubs_of, warn_of_unsure

LOG = logging.getLogger(__name__)
Given = dict[str, tuple[str, str]] | None  # label and group of recordings, as a table says
LEAST_S, MOST_S = 5, 600  # of a recording by which the time is measured, where there is one
FORMAT = 1  # raised whenever the same settings and recordings would give other pictures


@dataclass(frozen=True)
class PictureFolder:
    """Is a finished folder of spectrogram pictures."""

    folder: Path

    @property
    def paths(self) -> list[Path]:
        return [self.folder]


@dataclass(frozen=True, order=True)
class Annotation:
    """Describes one sound within a recording."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class PreparationJob:
    """Holds a checked preparation: which pictures of which recordings, listed before anything is decoded."""

    session: PreparationSession
    source: Path  # the folder of the recordings
    wanted: list[Wanted]
    samples: Samples  # the recordings, with their labels and groups
    fingerprints: tuple[str, str]  # of this very work; the second as version 0.1.0 had it
    n_workers: int

    @property
    def finished(self) -> Path | None:
        """Returns the folder in which this very work is done and all pictures are still there."""
        out, source = self.session.out, self.source
        for folder in [out] if out else sorted(source.parent.glob(f"{self.session.stem}_*"), reverse=True):
            with suppress(Fault):  # none is there, or another folder's is damaged: it is not this one
                about = read_mapping(folder / ABOUT)
                is_whole = about.get("pictures") == len(names_below(folder, PNG, recursive=False))
                if about.get("fingerprint") in self.fingerprints and is_whole:
                    return folder
        return None

    @property
    def part(self) -> Path:
        """Returns the hidden folder beside the result in which the same work always goes on."""
        out = self.session.out or self.source.with_name(self.session.stem)
        return out.with_name(f".{out.name}_{self.fingerprints[0][:12]}.part")

    def describe(self) -> str:
        there = f", there already: {folder}" if (folder := self.finished) else ""
        pictures = f"pictures of {self.session.size_words}{there}"
        return f"{len(self.wanted):,} recordings in {self.session.recordings} -> {pictures}"

    def estimate(self) -> str:
        """Returns how many pictures to expect, by all headers, and the time, by one recording."""
        rate, source = self.session.sample_rate, self.source
        headers = [(one, header(source / one.recording)) for one in progress(self.wanted, "looking")]
        lengths = [(one, about and about.length_s) for one, about in headers]
        open_ = [(one, s) for one, s in lengths if s is not None]
        n_pictures = sum(len(starts_of(one, int(s * rate), self.session)) for one, s in open_)
        closed = f", {len(lengths) - len(open_):,} cannot be opened" if len(open_) < len(lengths) else ""
        total_s = sum(s for _, s in open_)
        sound = f"from {duration(total_s)} of sound{closed}"
        nearest = min(open_, key=lambda of: (of[1] < LEAST_S, abs(of[1] - LEAST_S)), default=(None, 0.0))
        one, length_s = nearest
        time = ""
        if length_s > MOST_S:
            time = f"\ntime: not measured, as each recording is longer than {duration(MOST_S)}"
        elif one and length_s:
            per_s = seconds_for(self.session, source, one) / length_s / max(1, self.n_workers)
            time = f"\ntime: about {duration(per_s * total_s)}"
        return f"about {n_pictures:,} pictures of {self.session.size_words} {sound}{time}"

    def run(self) -> PictureFolder:
        """Makes the pictures of all recordings; after a kill the same call goes on.

        Raises:
            Fault: no recording gave a picture, the disk is full, or another process is at the same work.
        """
        folder, part = self.finished, self.part
        if folder:
            LOG.info("%s holds the pictures of these recordings and settings already", folder)
            remove(part)
            return PictureFolder(folder)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with locked(part.with_suffix(".lock"), f"pictures of {self.session.recordings}"):
                folder = self.finished or self._made(part)  # perhaps another process was faster
                remove(part)
        except Fault:
            raise
        except OSError as error:
            raise Fault(
                f"cannot write {error.filename or part} ({error.strerror}): make room, or give another "
                "`out`; started again, the same session goes on where it stopped"
            ) from error
        return PictureFolder(folder)

    def _made(self, part: Path) -> Path:
        """Makes all pictures in the part folder, moves them to where they belong and says what came of it."""
        out, notes = self.session.out, self._draw(part)
        if not any(note["pictures"] for note in notes):
            remove(part)
            raise Fault(_why_none(notes))
        made = part / PICTURES
        if self.session.pack:
            remove(part / PACKED)  # of a call that was killed
            write_shards(sorted(made.glob("[!.]*.png")), part / PACKED, self.session.pack)
            made = part / PACKED
        write_beside(made, notes, self.session, self.samples, self.fingerprints[0])
        if out and out.exists():
            out.rmdir()  # empty, else it would have been refused; Windows does not replace it
        pattern = f"{self.session.stem}_*"
        if out:
            move(made, out)
        folder = out or move_to_timestamp(made, part.parent, pattern)
        _report(notes, self.session, self.source, folder)
        return folder

    def _draw(self, part: Path) -> list[Note]:
        """Returns a note on each recording, in their order: by an earlier call, or done now."""
        for folder in (part / PICTURES, part / NOTES):
            folder.mkdir(parents=True, exist_ok=True)
        read = [json.loads(file.read_bytes()) for file in (part / NOTES).glob("[!.]*.json")]
        notes = {note["recording"]: note for note in read}
        left = [one for one in self.wanted if one.recording not in notes]
        if notes:
            words = "going on where it was interrupted: %d of %d recordings are done"
            LOG.info(words, len(notes), len(self.wanted))
        stop, n_threads, n_of_torch = Event(), max(1, self.n_workers), torch.get_num_threads()
        torch.set_num_threads(1)  # keeps sums the same on any number of cores, and the cores to other threads
        work = partial(draw_recording, self.session, self.source, part, stop)
        try:
            for note in progress(ahead(work, left, 2 * n_threads, n_threads), "recordings", len(left)):
                notes[note["recording"]] = note
        finally:
            stop.set()  # long recordings end at once when this is interrupted
            torch.set_num_threads(n_of_torch)
        remove_leftovers(part / PICTURES)
        return [notes[one.recording] for one in self.wanted]


def plan_preparation(session: PreparationSession, config: Config) -> PreparationJob:
    """Checks the paths and the recordings; nothing is decoded or written.

    Raises:
        SessionError: with every fault of the paths.
        Fault: there is no recording, annotations are not right, or `out` is taken or cannot be written to.
    """
    keys = [key for key in ("out", "annotations") if getattr(session, key) is not None]
    faults: list[str] = []
    paths = {key: collect_faults(faults, key, config.data_path, getattr(session, key)) for key in keys}
    location = collect_faults(faults, "recordings", absolute, session.recordings, config)
    source = None
    if location:
        source = collect_faults(faults, "recordings", paths_of, location, config, SUFFIXES)
    if is_remote(session.recordings) and not session.out:
        faults.append("out: pictures cannot lie beside a remote folder: name a folder of this machine")
    if faults:
        raise SessionError(f"session {session.name}", faults)
    assert isinstance(source, Path)  # `recordings` is one
    session, out = session.but(recordings=location, **paths), paths.get("out")
    recordings = find_recordings(source)
    stubs, annotations = stubs_of(recordings), None
    if session.annotations is not None:
        annotations = _read_annotations(session.annotations, source, recordings)
    chosen = [recording for recording in recordings if annotations is None or recording in annotations]
    wanted = [
        Wanted(name, stubs[name], tuple(annotations[name]) if annotations is not None else None)
        for name in chosen
    ]
    samples, *labels = _labelled(source, recordings)
    states = [((source / name).stat().st_size, (source / name).stat().st_mtime_ns) for name in chosen]
    mark, earlier_mark = (fingerprint(FORMAT, session.look, wanted, states, given) for given in labels)
    job = PreparationJob(session, source, wanted, samples, (mark, earlier_mark), config.n_workers)
    if job.finished:
        return job
    if out and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise Fault(
            f"{out} exists and was not prepared from these recordings with these settings:\n"
            f"{listing(changes_of(out, session, len(wanted)))}\ngive another `out`, or delete it"
        )
    require_writable(job.part.parent)
    return job


def prepare(session: PreparationSession | dict | Path | str, config: Config | None = None) -> Path:
    """Makes the pictures of all recordings and returns their folder.

    Raises:
        Fault: the session or the recordings cannot be used, or nothing can be written.
    """
    return plan_preparation(load_session(session, PreparationSession), config or load_config()).run().folder


def _labelled(source: Path, recordings: list[str]) -> tuple[Samples, Given, Given]:
    """Returns the recordings with labels and groups, and what a `labels.csv` says, for the fingerprint.

    Without a word in the table, the first folder on the way to a recording is its class. Last come the rows
    of the table with those that say nothing, which version 0.1.0 had in its fingerprint.
    """
    samples, remarks = nearest_labels(Samples.of(recordings, group=recordings), source, what="recordings")
    for remark in remarks:
        LOG.info("%s", first_lines(remark))
    rows = {name: (label, group) for name, label, group in samples.table[["label", "group"]].itertuples()}
    given = {name: pair for name, pair in rows.items() if pair != ("", name)}
    labels = [label or (name.partition("/")[0] if "/" in name else "") for name, (label, _) in rows.items()]
    tables = [path for path in (source / LABELS, source.parent / LABELS) if path.is_file()]
    files = set(read_annotations(tables[0])["file"]) if tables else set()
    listed = {name: pair for name, pair in rows.items() if name in given or {name, basename(name)} & files}
    for remark in written_alike(sorted({*labels})):
        LOG.warning("%s", remark)
    return samples.but(label=labels), given or None, listed or None


def _read_annotations(path: Path, source: Path, recordings: list[str]) -> dict[str, list[Annotation]]:
    """Returns the annotations by recording, in the order of time; all faults of the table are raised at once.

    Recordings are given by relative path or by name; a table that names none is of the recording that is
    called like it, or of the only one.
    """
    faults: list[str] = []
    table = read_annotations(path, ("start", "end", "label"), faults=faults)
    if table.empty and not faults:
        raise Fault(f"{path} has no row: expected one a sound, with start, end and label")
    table = with_recording(table, path, recordings, "recordings")
    means, remarks = match_names(recordings, table["file"].tolist(), str(path), what="recordings")
    for remark in remarks:
        LOG.info("%s", remark)
    annotations, by_name = defaultdict(list), defaultdict(list)
    for name in recordings:
        by_name[basename(name)].append(name)
    for line, file, start_s, end_s, label, *_ in table.itertuples():
        if file in means:
            annotations[means[file]].append(Annotation(start_s, end_s, label))
            continue
        alike = " or ".join(name for name in by_name[basename(file)] if name.endswith(f"/{file}"))
        words = f"may be {alike}: give its path from the folder" if alike else "is no recording in the folder"
        faults.append(f"{line}: {file!r} {words}")
    for recording in sorted(annotations):
        about = header(source / recording)
        length = about and about.length_s
        faults += [
            f"{recording}: a row starts at {row.start_s:g} s, the recording has {length:.3f} s"
            for row in annotations[recording]
            if length is not None and row.start_s >= length
        ]
    if faults:
        raise_rows(path, faults)
    return {recording: sorted(rows) for recording, rows in annotations.items()}


def _why_none(notes: list[Note]) -> str:
    reasons = [f"{note['recording']}: {why}" for note in notes for *_, why in note["skipped"]]
    reasons += [f"{note['recording']} {note['failed']}" for note in notes if note["failed"]]
    if all(note["failed"] for note in notes):
        return f"none of {len(notes):,} recordings can be read:\n{listing(reasons)}"
    return f"no picture came out of {len(notes):,} recordings:\n{listing(reasons)}"


def _report(notes: list[Note], settings: PreparationSession, source: Path, folder: Path) -> None:
    failed = [f"{note['recording']} {note['failed']}" for note in notes if note["failed"]]
    n_pictures, n_skipped = (sum(len(note[key]) for note in notes) for key in ("pictures", "skipped"))
    n_padded, rate = sum(note["padded"] for note in notes), settings.sample_rate
    highest_hz = settings.drawing.axes(settings.n_samples)[0][-1]
    headers = {note["recording"]: header(source / note["recording"]) for note in notes}
    warn_of_unsure(headers)
    rates = [about.samplerate for about in headers.values() if about]
    low = [own for own in rates if own < rate and own / 2 < highest_hz]
    if failed:
        LOG.warning("%d recordings left out, see %s:\n%s", len(failed), folder / FAILED, listing(failed))
    if n_skipped:
        LOG.warning("%d segments left out, see %s", n_skipped, folder / SKIPPED)
    if n_padded:
        words = "%d recordings are shorter than a segment of %g s and were padded"
        LOG.warning(words, n_padded, settings.segment_s)
    if low:  # above half of its own rate a recording holds nothing, and the equalizer makes stripes of it
        words = "%d recordings have a lower sampling rate (%d Hz) than sample_rate: %d, the top rows of their"
        words += " pictures hold nothing: set sample_rate: %d"
        LOG.warning(words, len(low), min(low), rate, min(low))
    words = "%s: %d pictures of %s from %d recordings"
    LOG.info(words, folder, n_pictures, settings.size_words, len(notes) - len(failed))
