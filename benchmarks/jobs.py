"""Benchmarks that go job by job: what came of one is written at once, and not done again."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch


def written(file: Path) -> list[dict[str, Any]]:
    """The rows of results so far."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line, with the options that all of them have."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--workspace", type=Path, required=True, help="folder of what is made and the runs; kept"
    )
    parser.add_argument("--results", type=Path, required=True, help="file of results, one line a row; kept")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", action="store_true", help="show what was written, learn nothing")
    options = parser.parse_args()
    options.workspace = options.workspace.absolute()
    return options
