"""Features are scored, and shown on a page to explore: `python main_03_evaluate.py [SESSION ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve
from saec.report import EvaluationSession, plan_evaluation


def main(argv: Sequence[str] | None = None) -> int:
    return serve(
        "Features are scored, and shown on a page to explore.",
        "evaluation",
        EvaluationSession,
        plan_evaluation,
        argv,
    )


if __name__ == "__main__":
    sys.exit(main())
