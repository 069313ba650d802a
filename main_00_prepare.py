"""Recordings become a folder of spectrogram pictures: `python main_00_prepare.py [SESSION ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve
from saec.preparation import PreparationSession, plan_preparation


def main(argv: Sequence[str] | None = None) -> int:
    return serve(
        "Recordings become a folder of spectrogram pictures.",
        "preparation",
        PreparationSession,
        plan_preparation,
        argv,
    )


if __name__ == "__main__":
    sys.exit(main())
