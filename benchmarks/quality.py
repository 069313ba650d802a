"""Does training make features that separate better? `python -m benchmarks.quality --sets bird0 digits`.

A contender is a training session, perhaps with changes (`"default objective.reconstruction=0"`), that learns
from a set for so many seconds of CPU time; its features, those of the same encoder untrained, and pixels
(32 x 32, and their 64 principal components) are scored alike. So are features of a set's recordings
(`birdnet`, whose model lies in WORKSPACE/models, `"handcrafted extractor.sample_rate=8000"`), and those of
contenders that were scored before, side by side (`"default + birdnet"`). A job is one contender on one set by
one seed: what came of it is written at once, and jobs that have been written are not done again.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from benchmarks.jobs import config_of, parsed, written
from benchmarks.labelled import SETS, LabelledSet
from benchmarks.learning import FROM_SOUND, REFERENCE, features, features_of_sound, learn
from benchmarks.quality_table import tables
from benchmarks.scored import FLOORS, rebuilt, scores
from saec.devices import describe, resolve_device

POOLED = ("weighted_stats", "mean_std")  # as the shipped session has it, and the reference
STATES = ("untrained", "trained")
AND = " + "  # between contenders whose features are taken together
Row = dict[str, Any]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    workspace, config = options.workspace, config_of(options)
    sets: dict[str, LabelledSet] = {}
    done = {_key(row) for row in written(options.results)}
    for job in product(options.sets, options.contenders, options.seeds):
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
    """One row of results where nothing learns, else one for each pooling, before training and after."""
    if _is_made(contender):
        rows = _made(contender, on, seed, options.workspace)
        yield {"state": "", "pooling": "", "features": rows.shape[1], **scores(rows, on, seed)}
        return
    for state, learnt in learn(contender, on, seed, options.seconds):
        if state not in options.states or (contender == REFERENCE and state == "untrained"):
            continue  # the reference encodes a hundred times as slowly, and is no floor
        pooled, rate = features(learnt, on, options.poolings)
        data = learnt.run.data(on.scored, on.cache).open()
        error = rebuilt(learnt.run.model("last"), data) if learnt.seconds else {}
        facts = {"state": state, **learnt.facts(), "extracted pictures/s": rate} | error
        if learnt.seconds:
            np.save(_file(contender, on, seed, options.workspace), pooled[options.poolings[0]])
        for pooling, rows in pooled.items():
            yield facts | {"pooling": pooling, "features": rows.shape[1]} | scores(rows, on, seed)


def _is_made(contender: str) -> bool:
    return contender in FLOORS or AND in contender or contender.split()[0] in FROM_SOUND


def _made(contender: str, on: LabelledSet, seed: int, workspace: Path) -> np.ndarray:
    """Features of what learns nothing, of an encoder that has learnt, or of several of these side by side."""
    if AND in contender:
        parts = [_made(part, on, seed, workspace) for part in contender.split(AND)]
        return np.hstack([StandardScaler().fit_transform(part) for part in parts])
    if contender in FLOORS:
        return FLOORS[contender](on.data)
    if _is_made(contender):
        return features_of_sound(contender, on)
    return np.load(_file(contender, on, seed, workspace))


def _file(contender: str, on: LabelledSet, seed: int, workspace: Path) -> Path:
    """Where features of a trained encoder are kept, pooled in the first way."""
    folder = workspace / "features" / on.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{re.sub(r'[^a-z0-9]+', '_', contender)}_{seed}.npy"


def _key(row: Row) -> tuple[str, str, int]:
    return row["set"], row["contender"], row["seed"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["bird0", "digits"])
    parser.add_argument("--contenders", nargs="+", default=[*FLOORS, "default", REFERENCE])
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU time of each training")
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument(
        "--poolings", nargs="+", default=list(POOLED), help='such as "weighted_stats window=2"'
    )
    return parsed(parser)


if __name__ == "__main__":
    main()
