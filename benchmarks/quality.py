"""Does training make features that separate better? `python -m benchmarks.quality --sets bird0 digits`.

Every contender learns from a set for so many seconds; its features, those of the same encoder untrained, and
pixels (32 x 32, and their 64 principal components) are scored alike. A job is one contender on one set by one
seed: what came of it is written at once, and jobs that have been written are not done again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks.jobs import config_of, parsed, written
from benchmarks.labelled import SETS, LabelledSet
from benchmarks.learning import REFERENCE, features, learn
from benchmarks.quality_table import tables
from benchmarks.scored import FLOORS, rebuilt, scores
from saec.devices import describe, resolve_device
from saec.features import POOLINGS

POOLED = ("weighted_stats", "mean_std")  # as the shipped session has it, and the reference
Row = dict[str, Any]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    workspace, config = options.workspace, config_of(options)
    sets: dict[str, LabelledSet] = {}
    done = {_key(row) for row in written(options.results)}
    for job in product(options.sets, [*FLOORS, *options.contenders], options.seeds):
        if job in done or options.table:
            continue
        name, contender, seed = job
        sets[name] = sets.get(name) or SETS[name](workspace, config)
        started = time.perf_counter()
        rows = [
            {"set": name, "contender": contender, "seed": seed, **result}
            for result in scored(contender, sets[name], seed, options)
        ]
        with options.results.open("a", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
        print(f"{name}, {contender}, seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    device = describe(resolve_device(options.device))
    print(f"\n{device}, {options.threads} threads", tables(written(options.results)), sep="\n\n")


def scored(contender: str, on: LabelledSet, seed: int, options: argparse.Namespace) -> Iterator[Row]:
    """One row of results for a floor, else one for each pooling, before training and after."""
    if contender in FLOORS:
        yield {"state": "", "pooling": "", **scores(FLOORS[contender](on.data), on, seed)}
        return
    for state, learnt in learn(contender, on, seed, options.seconds):
        if contender == REFERENCE and state == "untrained":
            continue  # it encodes a hundred times as slowly, and is no floor
        pooled, rate = features(learnt, on, options.poolings)
        data = learnt.run.data(on.scored, on.cache).open()
        error = rebuilt(learnt.run.model("last"), data) if learnt.seconds else {}
        facts = {"state": state, **learnt.facts(), "extracted pictures/s": rate} | error
        for pooling, rows in pooled.items():
            yield facts | {"pooling": pooling} | scores(rows, on, seed)


def _key(row: Row) -> tuple[str, str, int]:
    return row["set"], row["contender"], row["seed"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["bird0", "digits"])
    parser.add_argument("--contenders", nargs="+", default=["default", REFERENCE], help="training sessions")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, for each")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS.names(), default=list(POOLED))
    return parsed(parser)


if __name__ == "__main__":
    main()
