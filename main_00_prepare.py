"""Recordings become a folder of spectrogram pictures: `python main_00_prepare.py [SESSION ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from saec.command import Task, serve
from saec.config import Config
from saec.preparing import expect, prepare
from saec.session import PreparationSession, load_session


def read(file: Path, changes: Sequence[str], config: Config) -> Task:
    session = load_session(file, PreparationSession, changes)
    return Task(
        session,
        folders=[str(session.recordings)],
        check=lambda config: expect(session, config),
        work=lambda config: [prepare(session, config)],
    )


def main(argv: Sequence[str] | None = None) -> int:
    return serve("Recordings become a folder of spectrogram pictures.", "preparation", read, argv)


if __name__ == "__main__":
    sys.exit(main())
