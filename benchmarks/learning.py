"""A training session that is given so many seconds, and the features of its encoder before and after.

Seconds are CPU time of the process, so that a machine that does other work as well takes nothing from anyone.
"""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.labelled import LabelledSet
from benchmarks.ours import for_a_while, kept
from saec.command import find_session
from saec.extraction import ExtractionSession, extract
from saec.faults import Fault
from saec.features import POOLINGS
from saec.registry import Component
from saec.runs import Run
from saec.session import TrainingSession, changed, load_session
from saec.training.build import Training, build
from saec.training.loop import one_epoch
from saec.training.plan import check_training

CALIBRATED_S = 4.0
VALID = 0.1  # of the recordings, which is what the shipped session sets aside
FROM_SOUND = ("birdnet", "handcrafted")  # shipped extractions that need no run
REFERENCE = "reference"
REFERENCE_SESSION = ("reference_cold_start", "GenBTP32_CH0256")


@dataclass(frozen=True)
class Learnt:
    """A run that was cut off, or never learnt at all."""

    run: Run
    seconds: float = 0.0
    epochs: float = 0.0

    def facts(self) -> dict[str, str | float]:
        return {"run": self.run.folder.name, "seconds": self.seconds, "epochs": self.epochs}


def learn(contender: str, on: LabelledSet, seed: int, seconds: float) -> Iterator[tuple[str, Learnt]]:
    """The same weights before and after; a schedule comes to its end when the time does."""
    session = session_of(contender, on, seed)
    options = session.training.model_copy(update={"epochs": _epochs(session, on, seconds)})
    bench = _bench(session.but(training=options), on)
    yield "untrained", Learnt(kept(bench))
    n_epochs, spent = _learnt(bench, contender, seconds)
    yield "trained", Learnt(kept(bench), spent, n_epochs)


def session_of(contender: str, on: LabelledSet, seed: int) -> TrainingSession:
    """A shipped session by its name, or a file, on the set's pictures, and perhaps changes of it after a
    space: `default objective.reconstruction=0`. `reference` is the reference's.
    """
    name, *given = contender.split()
    name, model = REFERENCE_SESSION if name == REFERENCE else (name, None)
    changes = {"data.train": str(on.train), "data.valid": VALID, "training.seed": seed}
    changes |= {"model": model} if model else {}
    words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    return load_session(find_session(name, "training"), TrainingSession, words + given)


def features(learnt: Learnt, on: LabelledSet, poolings: Sequence[str]) -> tuple[dict[str, np.ndarray], float]:
    """Features (n, features) by pooling (a name, and perhaps options: `weighted_stats window=2`), sorted by
    name, and how many pictures a second were encoded.
    """
    parsed = {words: pooling_of(words) for words in poolings}
    session = {
        "run": str(learnt.run.folder),
        "data": {"images": str(on.scored)},
        "out": str(learnt.run.folder / "features"),
        "weights": "last",
        "pooling": parsed[poolings[0]].model_dump(),
        "reduction": None,
        "reconstructions": 0,
    }
    started = time.perf_counter()
    result = extract(session, on.config)
    rate = len(result.X) / (time.perf_counter() - started)
    latents = torch.from_numpy(np.array(result.X))
    return {words: pooling(latents).numpy() for words, pooling in parsed.items()}, rate


def pooling_of(words: str) -> Component:
    name, *options = words.split()
    return POOLINGS.parse(changed({"name": name}, options, {}))


def features_of_sound(contender: str, on: LabelledSet) -> np.ndarray:
    """Features of the recordings that the pictures were made of, one row a picture, by a session's name and
    perhaps changes of it.
    """
    if on.sounds is None:
        raise Fault(f"{contender} needs sound, and {on.name} has pictures alone")
    name, *given = contender.split()
    out = on.sounds.parent / name
    words = [f"data.sounds={json.dumps(str(on.sounds))}", f"out={json.dumps(str(out))}", *given]
    result = extract(load_session(find_session(name, "extraction"), ExtractionSession, words), on.config)
    rows = pd.DataFrame(result.X_pooled).groupby([_recording(name) for name in result.N]).mean()  # of windows
    return rows.loc[[_recording(name) for name in on.data.samples.names]].to_numpy()


def _recording(name: str) -> str:
    return Path(name).stem.partition("_segm_")[0]


def _epochs(session: TrainingSession, on: LabelledSet, seconds: float) -> int:
    n_epochs, spent = _learnt(_bench(session, on), "calibration", CALIBRATED_S)
    return max(1, round(n_epochs * seconds / spent))


def _learnt(bench: Training, what: str, seconds: float) -> tuple[float, float]:
    """Learns for so many seconds; returns the epochs and the seconds that it took."""
    batches = for_a_while(bench.train, itertools.count(), seconds, time.process_time)
    started, spent = time.perf_counter(), time.process_time()
    rate = one_epoch(bench, batches, what, bench.learner)["pictures_per_s"]
    n_epochs = rate * (time.perf_counter() - started) / len(bench.train.data)
    return n_epochs, time.process_time() - spent


def _bench(session: TrainingSession, on: LabelledSet) -> Training:
    return build(check_training(session, on.config))
