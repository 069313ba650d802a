"""Runs the command as a module: `python -m saec train SESSION`, or `torchrun ... -m saec train SESSION`."""

import sys

from saec.command import main

if __name__ == "__main__":
    sys.exit(main())
