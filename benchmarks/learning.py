"""A training session that is given so many seconds, and the features of its encoder before and after."""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.labelled import LabelledSet
from benchmarks.ours import for_a_while, kept
from saec.command import find_session
from saec.extraction import extract
from saec.features import POOLINGS
from saec.runs import Run
from saec.session import TrainingSession, load_session
from saec.training.build import Training, build
from saec.training.loop import one_epoch
from saec.training.plan import check_training

CALIBRATED_S = 4.0
VALID = 0.1  # of the recordings, which is what the shipped session sets aside
REFERENCE = "reference"
REFERENCE_SESSION = ("reference_cold_start", "GenBTP32_CH0256")


@dataclass(frozen=True)
class Learnt:
    """A run that was cut off, or never learnt at all."""

    run: Run
    seconds: float = 0.0
    epochs: float = 0.0

    def facts(self) -> dict[str, float]:
        return {"seconds": self.seconds, "epochs": self.epochs}


def learn(contender: str, on: LabelledSet, seed: int, seconds: float) -> Iterator[tuple[str, Learnt]]:
    """The same weights before and after; a schedule comes to its end when the time does."""
    session = session_of(contender, on, seed)
    options = session.training.model_copy(update={"epochs": _epochs(session, on, seconds)})
    bench = _bench(session.but(training=options), on)
    yield "untrained", Learnt(kept(bench))
    batches, started = for_a_while(bench.train, itertools.count(), seconds), time.perf_counter()
    scores = one_epoch(bench, batches, contender, bench.learner)
    spent = time.perf_counter() - started
    n_epochs = scores["pictures_per_s"] * spent / len(bench.train.data)
    yield "trained", Learnt(kept(bench), spent, n_epochs)


def session_of(contender: str, on: LabelledSet, seed: int) -> TrainingSession:
    """A shipped session by its name, or a file, on the set's pictures; `reference` is the reference's."""
    name, model = REFERENCE_SESSION if contender == REFERENCE else (contender, None)
    changes = {"data.train": str(on.train), "data.valid": VALID, "training.seed": seed}
    changes |= {"model": model} if model else {}
    words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    return load_session(find_session(name, "training"), TrainingSession, words)


def features(learnt: Learnt, on: LabelledSet, poolings: Sequence[str]) -> tuple[dict[str, np.ndarray], float]:
    """Features (n, features) by pooling, sorted by name, and how many pictures a second were encoded."""
    session = {
        "run": str(learnt.run.folder),
        "data": {"images": str(on.scored)},
        "out": str(learnt.run.folder / "features"),
        "weights": "last",
        "pooling": poolings[0],
        "reduction": None,
        "reconstructions": 0,
    }
    started = time.perf_counter()
    result = extract(session, on.config)
    rate = len(result.X) / (time.perf_counter() - started)
    latents = torch.from_numpy(np.array(result.X))
    return {name: POOLINGS.parse(name)(latents).numpy() for name in poolings}, rate


def _epochs(session: TrainingSession, on: LabelledSet, seconds: float) -> int:
    bench = _bench(session, on)
    batches = for_a_while(bench.train, itertools.count(), CALIBRATED_S)
    rate = one_epoch(bench, batches, "calibration", bench.learner)["pictures_per_s"]
    return max(1, round(seconds * rate / len(bench.train.data)))


def _bench(session: TrainingSession, on: LabelledSet) -> Training:
    return build(check_training(session, on.config))
