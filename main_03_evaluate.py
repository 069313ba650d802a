"""Features are judged, and shown on a page to explore: `python main_03_evaluate.py [SESSION ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from saec.command import Task, serve
from saec.config import Config
from saec.report import evaluate, plan_evaluation
from saec.session import EvaluationSession, load_session


def read(file: Path, changes: Sequence[str], config: Config) -> Task:
    session = load_session(file, EvaluationSession, changes)
    return Task(
        session,
        folders=[images for one in session.judged.values() if (images := one.images)],
        check=lambda config: plan_evaluation(session, config),
        work=lambda config: [evaluate(session, config).folder],
    )


def main(argv: Sequence[str] | None = None) -> int:
    return serve("Features are judged, and shown on a page to explore.", "evaluation", read, argv)


if __name__ == "__main__":
    sys.exit(main())
