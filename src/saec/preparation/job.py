"""Recordings become a folder of spectrogram pictures: planned once, then made, whole or not at all."""

import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from saec.config import Config, load_config
from saec.faults import Fault, collect_faults, listing
from saec.files import fingerprint, remove_leftovers, require_writable
from saec.preparation.folder import FAILED, SKIPPED, PictureFolder, Target, write_beside
from saec.preparation.look import Look
from saec.preparation.pictures import Annotation, Note, Wanted, draw_recording, starts_of
from saec.progress import duration, progress
from saec.samples import Samples, match_names, nearest_labels, raise_rows, read_annotations
from saec.session import Session, SessionError, load_session
from saec.sound.listed import find_recordings, length_s, rate_hz, stubs_of

LOG = logging.getLogger(__name__)
FORMAT = 1  # raised whenever the same settings and recordings would give other pictures
DONE, PICTURES = "done.jsonl", "pictures"  # in the part folder
WORTH_PROCESSES = 8  # recordings: fewer are done before the processes have started


class PreparationSession(Session, Look):
    """Holds what a preparation session may say."""

    recordings: Path
    out: Path | None = None
    annotations: Path | None = None

    @property
    def folders(self) -> list[str]:
        return [str(self.recordings)]


@dataclass(frozen=True)
class PreparationJob:
    """A checked preparation: which pictures of which recordings, listed before anything is decoded."""

    session: PreparationSession
    wanted: list[Wanted]
    samples: Samples  # the recordings, with their labels and groups
    target: Target
    finished: Path | None  # the folder where the same was done already
    n_workers: int = 0

    def describe(self) -> str:
        size = "{} x {} (W x H)".format(*self.session.size)
        there = f", there already: {self.finished}" if self.finished else ""
        return f"{len(self.wanted):,} recordings in {self.session.recordings} -> pictures of {size}{there}"

    def estimate(self) -> str:
        """Returns how many pictures are to be expected, by the headers of all recordings."""
        rate, source = self.session.sample_rate, self.session.recordings
        lengths = [length_s(source / one.recording) for one in progress(self.wanted, "looking")]
        open_ = [(one, s) for one, s in zip(self.wanted, lengths, strict=True) if s is not None]
        n_pictures = sum(len(starts_of(one, int(s * rate), self.session)) for one, s in open_)
        closed = f", {len(lengths) - len(open_):,} cannot be opened" if len(open_) < len(lengths) else ""
        size = "{} x {} (W x H)".format(*self.session.size)
        sound = duration(sum(s for _, s in open_))
        return f"about {n_pictures:,} pictures of {size} from {sound} of sound{closed}"

    def run(self, now: str | None = None) -> PictureFolder:
        """Makes the pictures of all recordings; after a kill the same call goes on.

        Raises:
            Fault: no recording gave a picture, or the disk is full.
        """
        part, settings = self.target.part, self.session
        if self.finished:
            LOG.info("%s holds the pictures of these recordings and settings already", self.finished)
            shutil.rmtree(part, ignore_errors=True)
            return PictureFolder(self.finished)
        require_writable(part.parent)
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            notes = self._draw(part)
            _require_pictures(notes, part)
            write_beside(part / PICTURES, notes, settings, self.samples, self.target.fingerprint)
            folder = self.target.take(part / PICTURES, now)
        except OSError as error:
            raise Fault(
                f"cannot write {error.filename or part} ({error.strerror}): make room, or give another "
                "`out`; started again, the same session goes on where it stopped"
            ) from error
        shutil.rmtree(part, ignore_errors=True)
        _report(notes, settings, folder)
        return PictureFolder(folder)

    def _draw(self, part: Path) -> list[Note]:
        """Returns a note on each recording, in their order: by an earlier call, or done now."""
        (part / PICTURES).mkdir(parents=True, exist_ok=True)
        notes = {note["recording"]: note for note in read_notes(part / DONE)}
        left = [one for one in self.wanted if one.recording not in notes]
        if notes:
            words = "going on where it was interrupted: %d of %d recordings are done"
            LOG.info(words, len(notes), len(self.wanted))
        work = partial(draw_recording, self.session, self.session.recordings, part / PICTURES)
        for note in progress(completed(work, left, self.n_workers), "recordings", len(left)):
            add_note(part / DONE, note)
            notes[note["recording"]] = note
        remove_leftovers(part / PICTURES)
        return [notes[one.recording] for one in self.wanted]


def plan_preparation(session: PreparationSession, config: Config) -> PreparationJob:
    """Checks the paths and the recordings; nothing is written.

    Raises:
        SessionError: with every fault of the paths.
        Fault: the recordings or the annotations cannot be used, or nothing can be written.
    """
    keys = [key for key in ("recordings", "out", "annotations") if getattr(session, key) is not None]
    faults: list[str] = []
    paths = {key: collect_faults(faults, key, config.data_path, getattr(session, key)) for key in keys}
    if faults:
        raise SessionError(f"session {session.name}", faults)
    return plan_pictures(session.but(**paths), config.n_workers)


def prepare(session: PreparationSession | dict | Path | str, config: Config | None = None) -> Path:
    """Makes the pictures of all recordings and returns their folder.

    Raises:
        Fault: the session or the recordings cannot be used, or nothing can be written.
    """
    return plan_preparation(load_session(session, PreparationSession), config or load_config()).run().folder


def plan_pictures(settings: PreparationSession, n_workers: int = 0) -> PreparationJob:
    """Looks at the recordings and the tables beside them; nothing is decoded or written.

    Raises:
        Fault: there is no recording, annotations are not right, or `out` is taken or cannot be written to.
    """
    source = settings.recordings
    recordings = find_recordings(source)
    stubs, annotations = stubs_of(recordings), None
    if settings.annotations is not None:
        annotations = _read_annotations(settings.annotations, source, recordings)
    chosen = [recording for recording in recordings if annotations is None or recording in annotations]
    wanted = [Wanted(name, stubs[name], annotations and tuple(annotations[name])) for name in chosen]
    samples, labels = _labelled(source, recordings)
    states = [((source / name).stat().st_size, (source / name).stat().st_mtime_ns) for name in chosen]
    look = settings.model_dump(mode="json", include=set(Look.model_fields) - settings.unused)
    mark = fingerprint(FORMAT, look, wanted, states, labels)
    target = Target(source.parent, f"images_{settings.sample_rate}sps", settings.out, mark)
    return PreparationJob(settings, wanted, samples, target, target.finished(), n_workers)


def _labelled(source: Path, recordings: list[str]) -> tuple[Samples, dict[str, tuple[str, str]] | None]:
    """Returns the recordings with labels and groups, and what a `labels.csv` says, for the fingerprint.

    Without a word in the table, the first folder on the way to a recording is its class.
    """
    plain = Samples.of(recordings, group=recordings)
    samples, remarks = nearest_labels(plain, source, what="recordings")
    for remark in remarks:
        LOG.info("%s", remark)
    names, labels, groups = samples.names.tolist(), samples.labels.tolist(), samples.groups.tolist()
    rows = zip(names, labels, groups, strict=True)
    table = {name: (label, group) for name, label, group in rows if label or group != name}
    folders = [name.partition("/")[0] if "/" in name else "" for name in names]
    labels = [label or folder for label, folder in zip(labels, folders, strict=True)]
    return samples.but(label=labels), table or None


def _read_annotations(path: Path, source: Path, recordings: list[str]) -> dict[str, list[Annotation]]:
    """Returns the annotations by recording, in the order of time; all faults of the table are raised at once.

    Recordings are given by relative path or by name; a table that names none is of the recording that is
    called like it, or of the only one.
    """
    faults: list[str] = []
    table = read_annotations(path, ("start", "end", "label"), faults=faults)
    if table.empty and not faults:
        raise Fault(f"{path} has no row: expected one a sound, with start, end and label")
    files = table["file"].tolist()
    if not any(files):
        files = [_own_recording(path, recordings)] * len(table)
    means, remarks = match_names(recordings, files, str(path), what="recordings")
    for remark in remarks:
        LOG.info("%s", remark)
    annotations: dict[str, list[Annotation]] = {}
    for line, file, start, end, label in zip(
        table.index, files, table["start_s"].tolist(), table["end_s"].tolist(), table["label"], strict=True
    ):
        if file in means:
            annotations.setdefault(means[file], []).append(Annotation(start, end, label))
        else:
            alike = [name for name in recordings if name.endswith(f"/{file}")]
            faults.append(
                f"{line}: {file!r} may be {' or '.join(alike)}: give its path from the folder"
                if alike
                else f"{line}: no recording {file!r} in the folder"
            )
    for recording in sorted(annotations):
        length = length_s(source / recording)
        faults += [
            f"{recording}: a row starts at {row.start_s:g} s, the recording has {length:.3f} s"
            for row in annotations[recording]
            if length is not None and row.start_s >= length
        ]
    if faults:
        raise_rows(path, faults)
    return {recording: sorted(rows) for recording, rows in annotations.items()}


def _own_recording(path: Path, recordings: list[str]) -> str:
    """Returns the recording of a table without a column of files, such as `song.Table.1.selections.txt`."""
    stem = path.name.split(".")[0]
    own = [name for name in recordings if Path(name).stem == stem] or recordings
    if len(own) > 1:
        raise Fault(
            f"{path} has no column `file`, and there are {len(own):,} recordings: say which one each row is "
            "of, or call the table like its recording"
        )
    return own[0]


def _require_pictures(notes: list[Note], part: Path) -> None:
    failed = [f"{note['recording']} {note['failed']}" for note in notes if note["failed"]]
    if any(note["pictures"] for note in notes):
        return
    shutil.rmtree(part, ignore_errors=True)
    if len(failed) == len(notes):
        raise Fault(f"none of {len(notes):,} recordings can be read:\n{listing(failed)}")
    reasons = [f"{note['recording']}: {why}" for note in notes for *_, why in note["skipped"]]
    raise Fault(f"no picture came out of {len(notes):,} recordings:\n{listing(reasons + failed)}")


def _report(notes: list[Note], settings: PreparationSession, folder: Path) -> None:
    failed = [f"{note['recording']} {note['failed']}" for note in notes if note["failed"]]
    n_pictures, n_skipped = (sum(len(note[key]) for note in notes) for key in ("pictures", "skipped"))
    n_padded = sum(note["padded"] for note in notes)
    highest_hz = settings.drawing.axes(settings.n_samples)[0][-1]
    rates = [rate_hz(settings.recordings / note["recording"]) or settings.sample_rate for note in notes]
    low = [rate for rate in rates if rate < settings.sample_rate and rate / 2 < highest_hz]
    if failed:
        LOG.warning("%d recordings left out, see %s:\n%s", len(failed), folder / FAILED, listing(failed))
    if n_skipped:
        LOG.warning("%d segments left out, see %s", n_skipped, folder / SKIPPED)
    if n_padded:
        words = "%d recordings are shorter than a segment of %g s and were padded"
        LOG.warning(words, n_padded, settings.segment_s)
    if low:  # above half of its own rate a recording holds nothing, and the equalizer makes stripes of it
        LOG.warning(
            "%d recordings have a lower sampling rate (%d Hz) than sample_rate: %d, the top rows of their "
            "pictures hold nothing: set sample_rate: %d",
            len(low),
            min(low),
            settings.sample_rate,
            min(low),
        )
    size, n_read = "{} x {} (W x H)".format(*settings.size), len(notes) - len(failed)
    LOG.info("%s: %d pictures of %s from %d recordings", folder, n_pictures, size, n_read)


def completed(work: Callable[[Any], Any], pieces: list[Any], n_workers: int) -> Iterator[Any]:
    """Yields what `work` returns for each piece, as each is done; `work` and pieces must be picklable.

    Raises:
        Fault: the system ended a worker.
    """
    if n_workers < 2 or len(pieces) < WORTH_PROCESSES:
        yield from map(work, pieces)
        return
    pool = ProcessPoolExecutor(n_workers, get_context("spawn"), initializer=_end_with_parent)
    try:
        for done in as_completed([pool.submit(work, piece) for piece in pieces]):
            yield done.result()
    except BrokenProcessPool as error:
        raise Fault(
            f"one of {n_workers} worker processes was ended by the system, probably for want of memory: set "
            "fewer `workers` in the config and start again, what is finished is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed, which would wait for ever; Ctrl-C gives no traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=partial(_exit_after, parent_process().sentinel), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def read_notes(file: Path) -> list[Note]:
    """Returns the whole lines; from the first that is torn the file is cut off, so that the next is whole."""
    notes, n_bytes = [], 0
    for line in file.read_bytes().splitlines(keepends=True) if file.is_file() else ():
        try:
            note = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            note = None
        if note is None:
            break
        notes.append(note)
        n_bytes += len(line)
    if file.is_file():
        os.truncate(file, n_bytes)
    return notes


def add_note(file: Path, note: Note) -> None:
    with file.open("ab") as notes:
        notes.write(json.dumps(note).encode() + b"\n")
        notes.flush()
        os.fsync(notes.fileno())
