"""How many steps does a training need? `python -m benchmarks.steps --sets bird0_100 bird0 --steps 150 500`.

The shipped session learns for so many steps, its schedule ending with them, from sets of several sizes; its
features are scored as those of `benchmarks.quality`. A job is one number of steps on one set by one seed.
"""

import argparse
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.jobs import config_of, parsed, written
from benchmarks.labelled import DEVELOPED_ON, SCORED_ON, LabelledSet, bird0, digits, real_data, xc
from benchmarks.learning import Learnt, features, session_of
from benchmarks.ours import kept
from benchmarks.scored import clustering, probe_scores
from saec.config import Config
from saec.data import Batch, Loader
from saec.training.build import build
from saec.training.loop import one_epoch
from saec.training.plan import check_training

POOLING = "weighted_stats"  # as the shipped extraction has it


def bird0_100(workspace: Path, config: Config) -> LabelledSet:
    """Learns from 100 of the syllables, whole song files; all of them are scored."""
    return _few("bird0_100", bird0(workspace, config), workspace, 100)


def xc_65(workspace: Path, config: Config) -> LabelledSet:
    """Learns from 65 wide pictures; the 210 others are scored."""
    return LabelledSet("xc_65", real_data() / "xc" / "train" / "images", xc(workspace, config).scored, config)


def spoken(workspace: Path, config: Config) -> LabelledSet:
    """Learns from the digits of all six speakers; three are scored, each left out of the probes in turn."""
    images = digits(workspace / "narrow", config, DEVELOPED_ON + SCORED_ON, hop_length=72)
    return LabelledSet("spoken", images, images, config, SCORED_ON)


SETS: dict[str, Callable[[Path, Config], LabelledSet]] = {
    "bird0_100": bird0_100,
    "xc_65": xc_65,
    "bird0": bird0,
    "spoken": spoken,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--steps", nargs="+", type=int, default=[150, 500, 1500])
    options = parsed(parser)
    torch.set_num_threads(options.threads)
    workspace, config = options.workspace, config_of(options)
    done = {(row["set"], row["steps"], row["seed"]) for row in written(options.results)}
    for name, n_steps, seed in product(options.sets, options.steps, options.seeds):
        if (name, n_steps, seed) in done or options.table:
            continue
        on = SETS[name](workspace, config)
        row = {"set": name, "steps": n_steps, "seed": seed, **scored(on, n_steps, seed)}
        with options.results.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        print(row, flush=True)


def scored(on: LabelledSet, n_steps: int, seed: int) -> dict[str, Any]:
    """Learns for so many steps (0: not at all) and returns scores of the features."""
    started = time.perf_counter()
    session = session_of("default", on, seed)
    training = build(check_training(session, on.config))
    each = training.train.n_training_batches
    options = session.training.model_copy(update={"epochs": max(1, round(n_steps / each))})
    training = build(check_training(session.but(training=options), on.config))
    if n_steps:
        one_epoch(training, first(training.train, n_steps), f"{n_steps} steps", training.learner)
    spent = time.perf_counter() - started
    rows = features(Learnt(kept(training)), on, [POOLING])[0][POOLING]
    return {"n": len(training.train.data), "seconds": spent, **short_scores(rows, on, seed)}


def first(loader: Loader, n_steps: int) -> Iterator[Batch]:
    batches = itertools.chain.from_iterable(map(loader.training, itertools.count()))
    return itertools.islice(batches, n_steps)


def short_scores(rows: np.ndarray, on: LabelledSet, seed: int) -> dict[str, float]:
    """Returns V of k-means, and macro-F1 of probes, as means over the parts of the set."""
    result: dict[str, list[float]] = {}
    for part, splits in on.parts(seed):
        labels, groups = on.data.samples.labels, on.data.samples.groups[part]
        agreement = clustering("kmeans", seed=seed)(rows[part], labels[part], groups)
        result.setdefault("kmeans v_measure", []).append(agreement.scores["v_measure"])
        for classifier, n in (("linear", 5), ("knn", 5), ("knn", None)):
            values = [probe_scores(rows, labels, one, classifier, n, seed) for one in splits]
            result.setdefault(f"{classifier} {n or 'all'}", []).append(float(np.mean(values)))
    return {score: float(np.mean(values)) for score, values in result.items()}


def _few(name: str, of: LabelledSet, workspace: Path, n: int) -> LabelledSet:
    samples, folder = of.data.samples, workspace / name / "images"
    if not folder.exists():
        folder.mkdir(parents=True)
        drawn = np.random.default_rng(0).permutation(np.unique(samples.groups))
        chosen = [file for group in drawn for file in samples.names[samples.groups == group].tolist()][:n]
        for file in chosen:
            shutil.copyfile(of.scored / file, folder / file)
        head, *lines = (of.scored.parent / "labels.csv").read_text(encoding="utf-8").splitlines()
        rows = [head, *(line for line in lines if line.partition(",")[0] in chosen)]
        (folder.parent / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return LabelledSet(name, folder, of.scored, of.config)


if __name__ == "__main__":
    main()
