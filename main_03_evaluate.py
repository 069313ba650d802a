"""Features are judged, and shown on a page to explore: `python main_03_evaluate.py [SESSION ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from saec.command import Task, serve
from saec.config import Config
from saec.report import carry_out, plan_evaluation
from saec.session import EvaluationSession, load_session


def read(file: Path, changes: Sequence[str], config: Config) -> Task:
    session = load_session(file, EvaluationSession, changes)
    planned = {}  # files are read once, by the check

    def check(config: Config) -> object:
        planned[session.name] = plan_evaluation(session, config)
        return planned[session.name]

    def work(config: Config) -> list[Path]:
        return [carry_out(planned[session.name]).folder]

    return Task(session, session.folders, check, work)


def main(argv: Sequence[str] | None = None) -> int:
    return serve("Features are judged, and shown on a page to explore.", "evaluation", read, argv)


if __name__ == "__main__":
    sys.exit(main())
