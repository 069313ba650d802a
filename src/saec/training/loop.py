"""The one training loop: it knows epochs and files, never what is learnt."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from saec.data import Batch, seed_of
from saec.devices import computing
from saec.logs import also_into
from saec.optimizers import Learner
from saec.progress import progress
from saec.runs import Run
from saec.training.build import Training
from saec.training.writer import RunWriter


def train(training: Training, run: Run) -> Run:
    """Trains until all epochs are done, or the objective ends it; every epoch is kept in the run."""
    with also_into(run.folder / "log.txt"), RunWriter(run, training) as writer:
        while not training.progress.finished:
            epoch, seed = training.progress.epoch, training.session.training.seed
            torch.manual_seed(seed_of(seed, epoch))  # for what the model draws itself
            batches = training.train.training(epoch)
            train_scores = one_epoch(training, batches, f"epoch {epoch + 1}", training.learner)
            valid_scores = one_epoch(training, training.valid.validation(), "validation")
            writer.require_numbers(train_scores["loss"], valid_scores[training.objective.best_by])
            improved = end_epoch(training, valid_scores)
            writer.write_epoch(train_scores, valid_scores, improved)
        writer.close()
    return run


def one_epoch(
    training: Training, batches: Iterable[Batch], what: str, learner: Learner | None = None
) -> dict[str, float]:
    """Returns mean scores over the batches, weighted by samples; learns where a learner is given.

    Two more scores tell about the work itself: `pictures_per_s`, and `waiting`, the share of time in which
    batches were waited for.
    """
    learning, plan = training.learning.train(learner is not None), training.plan
    totals: dict[str, Tensor | float] = defaultdict(float)
    started, waits, n_samples = time.perf_counter(), [], 0
    n_batches = training.train.n_training_batches if learner else training.valid.n_batches
    with torch.set_grad_enabled(learner is not None):
        for batch in progress(_timed(batches, waits), what, n_batches, " batches"):
            with computing(plan.device, plan.precision):
                scores = learning(batch)
            if learner:
                learner.step(scores["loss"])
            n_samples += len(batch)
            for name, score in scores.items():
                totals[name] += score.detach() * len(batch)
    means = {name: float(total) / n_samples for name, total in totals.items()}  # the one wait for the device
    seconds = time.perf_counter() - started
    work = {"pictures_per_s": n_samples / seconds, "waiting": sum(waits) / seconds}
    return means | training.objective.summary() | work


def end_epoch(training: Training, scores: dict[str, float]) -> bool:
    """Counts an epoch with these validation scores; returns whether it is the best so far."""
    objective, progress, options = training.objective, training.progress, training.session.training
    score, loss = scores[objective.best_by], scores["loss"]
    improved = progress.update(score, loss, objective.rising, objective.phase)
    training.learner.end_epoch(progress.waited)
    patience = options.patience
    stalled = bool(patience and progress.waited and progress.waited % patience == 0)
    progress.stopped = not objective.end_epoch(stalled)
    progress.finished = progress.stopped or progress.epoch >= options.epochs
    return improved


def _timed(batches: Iterable[Batch], waits: list[float]) -> Iterator[Batch]:
    """Passes batches on and adds the seconds in which each was waited for."""
    batches = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        waits.append(time.perf_counter() - started)
        if batch is None:
            return
        yield batch
