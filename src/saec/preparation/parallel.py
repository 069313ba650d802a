"""Long work in pieces, in several processes if wished; what is done is noted, so a killed call goes on."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from saec.faults import Fault

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
