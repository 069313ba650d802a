"""Sessions become trained runs: `python main_01_train.py [SESSION or RUN_FOLDER ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve


def main(argv: Sequence[str] | None = None) -> int:
    return serve("training", argv)


if __name__ == "__main__":
    sys.exit(main())
