"""Features are scored, and shown on a page to explore: `python main_03_evaluate.py [SESSION ...]`."""

import sys
from collections.abc import Sequence

from saec.command import serve


def main(argv: Sequence[str] | None = None) -> int:
    return serve("evaluation", argv)


if __name__ == "__main__":
    sys.exit(main())
