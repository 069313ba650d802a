"""Recordings become a folder of spectrogram pictures, which appears whole or not at all."""

import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from saec.faults import Fault, listing
from saec.files import fingerprint, remove_leftovers, require_writable
from saec.preparation.annotations import read_annotations, read_labels
from saec.preparation.depiction import Job, Note, depict, starts_of
from saec.preparation.look import Depiction
from saec.preparation.picture_folder import FAILED, SKIPPED, Place, write_beside
from saec.progress import duration, progress
from saec.sound.listed import find_recordings, length_s, rate_hz, stubs_of

LOG = logging.getLogger(__name__)
FORMAT = 1  # raised whenever the same settings and recordings would give other pictures
DONE, PICTURES = "done.jsonl", "pictures"  # in the part folder


class Preparation(Depiction):
    """What a preparation session may say; paths are absolute by the time they are used."""

    recordings: Path
    out: Path | None = None
    annotations: Path | None = None


class Plan(NamedTuple):
    """What is to be done, known before anything is decoded or written."""

    jobs: list[Job]
    labels: dict[str, tuple[str, str]] | None  # (label, group) by recording
    place: Place
    fingerprint: str


def check_preparation(settings: Preparation) -> str:
    """Touches the paths, writes nothing, and says what is there and what would come of it.

    Raises:
        Fault: there is no recording, annotations are not right, or `out` is taken or cannot be written to.
    """
    plan = _plan(settings)
    done = plan.place.finished(plan.fingerprint)
    lengths = [length_s(settings.recordings / job.recording) for job in progress(plan.jobs, "looking")]
    open_ = [(job, length) for job, length in zip(plan.jobs, lengths, strict=True) if length is not None]
    n_pictures = sum(len(starts_of(job, int(s * settings.sample_rate), settings)) for job, s in open_)
    closed = f", {len(lengths) - len(open_):,} cannot be opened" if len(open_) < len(lengths) else ""
    width, height = settings.size
    return (
        f"{len(lengths):,} recordings in {settings.recordings} ({duration(sum(s for _, s in open_))} of sound"
        f"{closed}) -> about {n_pictures:,} pictures of {width} x {height} (W x H)"
        + (f", there already: {done}" if done else "")
    )


def prepare_folder(settings: Preparation, n_workers: int = 0, now: str | None = None) -> Path:
    """Makes the pictures of all recordings and returns their folder; after a kill the same call goes on.

    Raises:
        Fault: as `check_preparation`; or no recording gave a picture, or the disk is full.
    """
    plan = _plan(settings)
    part = plan.place.part(plan.fingerprint)
    done = plan.place.finished(plan.fingerprint)
    if done:
        LOG.info("%s holds the pictures of these recordings and settings already", done)
        shutil.rmtree(part, ignore_errors=True)
        return done
    require_writable(part.parent)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        notes = _work(plan.jobs, settings, part, n_workers)
        _require_pictures(notes, part)
        write_beside(part / PICTURES, notes, settings, plan.labels, plan.fingerprint)
        folder = plan.place.take(part / PICTURES, now)
    except OSError as error:
        raise Fault(
            f"cannot write {error.filename or part} ({error.strerror}): make room, or give another `out`; "
            "started again, the same session goes on where it stopped"
        ) from error
    shutil.rmtree(part, ignore_errors=True)
    _report(notes, settings, folder)
    return folder


def _plan(settings: Preparation) -> Plan:
    source = settings.recordings
    recordings = find_recordings(source)
    annotated = settings.annotations is not None
    wanted = read_annotations(settings.annotations, source, recordings) if annotated else {}
    labels, stubs = read_labels(source, recordings), stubs_of(recordings)
    chosen = [recording for recording in recordings if recording in wanted or not annotated]
    jobs = [Job(name, stubs[name], tuple(wanted[name]) if annotated else None) for name in chosen]
    states = [(source / name).stat() for name in chosen]
    look = settings.model_dump(mode="json", include=set(Depiction.model_fields) - settings.unused)
    mark = fingerprint(FORMAT, look, jobs, [(s.st_size, s.st_mtime_ns) for s in states], labels)
    return Plan(jobs, labels, Place(source.parent, f"images_{settings.sample_rate}sps", settings.out), mark)


def _work(jobs: list[Job], settings: Preparation, part: Path, n_workers: int) -> list[Note]:
    """What came of each recording, in their order: those noted by an earlier call, and those done now."""
    (part / PICTURES).mkdir(parents=True, exist_ok=True)
    notes = {note["recording"]: note for note in read_notes(part / DONE)}
    left = [job for job in jobs if job.recording not in notes]
    if notes:
        LOG.info("going on where it was interrupted: %d of %d recordings are done", len(notes), len(jobs))
    work = partial(depict, settings, settings.recordings, part / PICTURES)
    for note in progress(completed(work, left, n_workers), "recordings", len(left)):
        add_note(part / DONE, note)
        notes[note["recording"]] = note
    remove_leftovers(part / PICTURES)
    return [notes[job.recording] for job in jobs]


def _require_pictures(notes: list[Note], part: Path) -> None:
    failed = [f"{note['recording']} {note['failed']}" for note in notes if note["failed"]]
    if len(failed) == len(notes):
        shutil.rmtree(part, ignore_errors=True)
        raise Fault(f"none of {len(notes):,} recordings can be read:\n{listing(failed)}")
    if not any(note["pictures"] for note in notes):
        shutil.rmtree(part, ignore_errors=True)
        reasons = [f"{note['recording']}: {why}" for note in notes for *_, why in note["skipped"]]
        raise Fault(f"no picture came out of {len(notes):,} recordings:\n{listing(reasons + failed)}")


def _report(notes: list[Note], settings: Preparation, folder: Path) -> None:
    failed = [f"{note['recording']} {note['failed']}" for note in notes if note["failed"]]
    if failed:
        LOG.warning("%d recordings left out, see %s:\n%s", len(failed), folder / FAILED, listing(failed))
    n_skipped, n_padded = sum(len(note["skipped"]) for note in notes), sum(note["padded"] for note in notes)
    if n_skipped:
        LOG.warning("%d segments left out, see %s", n_skipped, folder / SKIPPED)
    if n_padded:
        LOG.warning(
            "%d recordings are shorter than a segment of %g s and were padded", n_padded, settings.segment_s
        )
    _warn_of_low_rates([note["recording"] for note in notes], settings)
    n_pictures = sum(len(note["pictures"]) for note in notes)
    width, height = settings.size
    LOG.info(
        "%s: %d pictures of %d x %d (W x H) from %d recordings",
        folder,
        n_pictures,
        width,
        height,
        len(notes) - len(failed),
    )


def _warn_of_low_rates(recordings: list[str], settings: Preparation) -> None:
    """Above half of its own rate a recording holds nothing, and the equalizer makes stripes of it."""
    highest_hz = settings.axes()[0][-1]
    rates = [rate_hz(settings.recordings / recording) for recording in recordings]
    low = [rate for rate in rates if rate and rate < settings.sample_rate and rate / 2 < highest_hz]
    if low:
        LOG.warning(
            "%d recordings have a lower sampling rate (%d Hz) than sample_rate: %d, the top rows of their "
            "pictures hold nothing: set sample_rate: %d",
            len(low),
            min(low),
            settings.sample_rate,
            min(low),
        )


WORTH_PROCESSES = 8  # pieces: fewer are done before the processes have started


def completed(work: Callable[[Any], Any], pieces: list[Any], n_workers: int) -> Iterator[Any]:
    """What `work` returns for each piece, as each is done; `work` and pieces must be picklable.

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


def read_notes(file: Path) -> list[dict[str, Any]]:
    """The whole lines; from the first that is torn the file is cut off, so that the next begins cleanly."""
    notes, n_bytes = [], 0
    for line in file.read_bytes().splitlines(keepends=True) if file.is_file() else ():
        try:
            notes.append(json.loads(line))
        except ValueError:
            break
        if not line.endswith(b"\n"):
            notes.pop()
            break
        n_bytes += len(line)
    if file.is_file():
        os.truncate(file, n_bytes)
    return notes


def add_note(file: Path, note: dict[str, Any]) -> None:
    with file.open("ab") as notes:
        notes.write(json.dumps(note).encode() + b"\n")
        notes.flush()
        os.fsync(notes.fileno())


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; Ctrl-C ends it without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=partial(_exit_after, parent_process().sentinel), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
