"""Benchmarks that go job by job: what came of one is written at once, and not done again."""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch

from saec.config import Config

Row = dict[str, Any]


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


def config_of(options: argparse.Namespace) -> Config:
    """The folders of a workspace, and the device that the command line names."""
    workspace = options.workspace
    return Config(
        data=workspace, models=workspace / "models", cache=workspace / "cache", device=options.device
    )


def worked(
    options: argparse.Namespace, jobs: Mapping[str, Callable[[int, Config], Iterable[Row]]]
) -> Iterator[tuple[str, int, list[Row], float]]:
    """Does the jobs of all seeds that are not written yet; each with its seed, rows and seconds."""
    config, done = config_of(options), {(row["job"], row["seed"]) for row in written(options.results)}
    for job, seed in product(options.jobs, options.seeds):
        if (job, seed) in done or options.table:
            continue
        started = time.perf_counter()
        rows = [{"job": job, "seed": seed, **row} for row in jobs[job](seed, config)]
        with options.results.open("a", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
        yield job, seed, rows, time.perf_counter() - started
