"""A run and samples become features and predictions: `python main_02_extract.py [SESSION ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from saec.command import Task, serve
from saec.config import Config
from saec.extraction import extract, plan_extraction
from saec.session import ExtractionSession, load_session


def read(file: Path, changes: Sequence[str], config: Config) -> Task:
    session = load_session(file, ExtractionSession, changes)
    return Task(
        session,
        folders=[session.data.images] if session.data.images else [],
        check=lambda config: plan_extraction(session, config),
        work=lambda config: extract(session, config).files,
    )


def main(argv: Sequence[str] | None = None) -> int:
    return serve("A run and pictures, or sound, become features and predictions.", "extraction", read, argv)


if __name__ == "__main__":
    sys.exit(main())
