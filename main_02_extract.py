"""A run and samples become features and predictions: `python main_02_extract.py [SESSION ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve


def main(argv: Sequence[str] | None = None) -> int:
    return serve("extraction", argv)


if __name__ == "__main__":
    sys.exit(main())
