"""A run and samples become features and predictions: `python main_02_extract.py [SESSION ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve
from saec.extraction import ExtractionSession, plan_extraction


def main(argv: Sequence[str] | None = None) -> int:
    return serve(
        "A run and pictures, or sound, become features and predictions.",
        "extraction",
        ExtractionSession,
        plan_extraction,
        argv,
    )


if __name__ == "__main__":
    sys.exit(main())
