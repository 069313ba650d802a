"""Recordings become a folder of spectrogram pictures: `python main_00_prepare.py [SESSION ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve


def main(argv: Sequence[str] | None = None) -> int:
    return serve("preparation", argv)


if __name__ == "__main__":
    sys.exit(main())
