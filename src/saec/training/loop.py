"""Defines the one training loop and what it leaves in its run's folder; it never knows what is learnt."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from saec import figures
from saec.data import Batch, seed_of
from saec.devices import computing
from saec.export import export_encoder
from saec.faults import Fault
from saec.files import remove_leftovers
from saec.gallery import show_rebuilt, show_views
from saec.optimizers import Learner
from saec.progress import also_into, duration, progress
from saec.runs import REBUILT, Run
from saec.training.build import Training

LOG = logging.getLogger(__name__)
OF_THE_WORK = ("pictures_per_s", "waiting")  # scores that no history keeps, since no repeat gives them again


def train(training: Training, run: Run) -> Run:
    """Trains until all epochs are done, or the objective ends it; every epoch is kept in the run."""
    log = also_into(run.folder / "log.txt") if training.is_first else nullcontext()
    with log, RunWriter(run, training) as writer:
        while not training.progress.finished:
            epoch, seed = training.progress.epoch, training.session.training.seed
            torch.manual_seed(seed_of(seed, epoch, training.group.rank))  # for what the model draws itself
            batches = training.train.training(epoch)
            train_scores = one_epoch(training, batches, f"epoch {epoch + 1}", training.learner)
            valid_scores = one_epoch(training, training.valid.validation(), "validation")
            writer.require_numbers(train_scores["loss"], valid_scores[training.objective.best_by])
            if training.probe:
                valid_scores |= training.probe(training.learning, epoch + 1)
            improved = count_epoch(training, train_scores, valid_scores)
            # before the objective may change what the weights were trained for
            names = writer.write_best() if improved else []
            end_epoch(training)
            writer.write_epoch(train_scores["pictures_per_s"], train_scores["waiting"], names)
        writer.close()
    return run


def one_epoch(
    training: Training, batches: Iterable[Batch], what: str, learner: Learner | None = None
) -> dict[str, float]:
    """Returns mean scores over the batches by their weights; learns where a learner is given.

    Two more scores tell about the work itself: `pictures_per_s`, and `waiting`, the share of time in which
    batches were waited for.
    """
    plan = training.plan
    training.learning.train(learner is not None)
    learning: nn.Module = training.parallel if learner else training.learning
    totals: dict[str, Tensor | float] = defaultdict(float)
    started = ready = time.perf_counter()
    waited_s, n_samples = 0.0, 0
    weights: int | Tensor = 0
    n_batches = training.train.n_training_batches if learner else training.valid.n_batches
    with torch.set_grad_enabled(learner is not None):
        bar = (what, n_batches, " batches", lambda: f"{waited_s / (ready - started):.0%} waiting for data")
        for batch in progress(batches, *bar):
            waited_s += time.perf_counter() - ready
            with computing(plan.device, plan.precision):
                scores = learning(batch)
            weight = training.objective.weight(batch)
            if learner:
                learner.step(scores["loss"], weight)
            n_samples += len(batch)
            weights += weight
            for name, score in scores.items():
                totals[name] += score.detach() * weight
            ready = time.perf_counter()
    if learner:
        learner.finish()
    training.group.settle(training.learning)
    sums = {name: float(total) for name, total in totals.items()}  # the one wait for the device
    every = training.group.every((float(weights), n_samples, sums))
    n, n_samples = (sum(number) for number in list(zip(*every, strict=True))[:2])
    means = {name: sum(one.get(name, 0.0) for *_, one in every) / n for name in every[0][2]}
    seconds = time.perf_counter() - started
    work = {"pictures_per_s": n_samples / seconds, "waiting": waited_s / seconds}
    return means | training.objective.summary() | work


def count_epoch(training: Training, train_scores: dict[str, float], valid_scores: dict[str, float]) -> bool:
    """Counts an epoch with these scores; returns whether it is the best so far, or of its phase."""
    objective, progress = training.objective, training.progress
    score, phase = valid_scores[objective.best_by], (objective.phase, objective.keeps_best)
    improved = progress.update(score, valid_scores["loss"], objective.rising, *phase)
    training.learner.end_epoch(progress.waited)
    scores = {
        f"{part}_{name}": score
        for part, part_scores in (("train", train_scores), ("valid", valid_scores))
        for name, score in part_scores.items()
        if name not in OF_THE_WORK
    }
    training.history.append({"epoch": progress.epoch, "learning_rate": training.learner.rate} | scores)
    return improved


def end_epoch(training: Training) -> None:
    """Asks the objective whether to go on; what it changes over training holds for the next epoch."""
    objective, progress, options = training.objective, training.progress, training.session.training
    patience = options.patience
    stalled = bool(patience and progress.waited and progress.waited % patience == 0)
    progress.stopped = not objective.end_epoch(stalled)
    progress.finished = progress.stopped or progress.epoch >= options.epochs


class RunWriter:
    """Writes the checkpoints, the history and the figures of a run; in the first process alone."""

    def __init__(self, run: Run, training: Training):
        self.run = run
        self.training = training
        self.options = training.session.training
        self.trivial: float | None = None  # the score of an answer that has learnt nothing
        self.events: Any = None
        self.started, self.n_before = time.perf_counter(), training.progress.epoch

    def __enter__(self) -> Self:
        run, training = self.run, self.training
        several = training.group.world_size > 1
        start = "torchrun --nproc-per-node=N -m saec train" if several else "saec train"
        self.going_on = f"to go on: {start} {run.folder}"
        training.group.work = f"; {self.going_on}"
        if not training.is_first:
            return self
        remove_leftovers(run.folder)
        self.trivial = training.objective.trivial(replace(training.valid, rank=0, world_size=1).validation)
        if training.progress.finished:  # a kill came before all was written
            self._write_history()
            return self
        epoch = training.progress.epoch
        done = f", going on after epoch {epoch}" if epoch else ""
        LOG.info("run %s%s\n%s", run.folder, done, training.plan.describe())
        if not (run.folder / "views.png").exists():
            show_views(training.train, run.folder / "views.png", f"views of {training.session.name}")
        if self.options.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.events = SummaryWriter(run.folder / "tensorboard", purge_step=epoch + 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.events:
            self.events.close()
        if kind and not issubclass(kind, Fault) and self.training.is_first:
            LOG.error("stopped after %d epochs; %s", self.training.progress.epoch, self.going_on)

    def require_numbers(self, *scores: float) -> None:
        """Raises a `Fault` where the loss, or the score that marks the best epoch, is no finite number."""
        if not all(math.isfinite(score) for score in scores):
            done = self.training.progress.epoch
            raise Fault(
                f"epoch {done + 1}: the loss is {scores[0]} (validation {scores[1]}): try a lower "
                f"optimizer.learning_rate, or optimizer.clip; epochs kept in {self.run.folder}: {done}"
            )

    def write_best(self) -> list[str]:
        """Saves weights as the best, as those of their phase, or as both; returns these names."""
        training, objective = self.training, self.training.objective
        names = ["best"] if objective.keeps_best else []
        names += [f"best_{objective.phase_name}"] if objective.phase_name else []
        if names and training.is_first:
            self.run.save(names[0], training.parts, training.progress, training.history, *names[1:])
        return names

    def write_epoch(self, pictures_per_s: float, waiting: float, names: list[str]) -> None:
        """Saves the last weights, which is the commit; history and figure follow from it. `names`: of what
        else was saved of this epoch.
        """
        training = self.training
        if not training.is_first:
            return
        self.run.save("last", training.parts, training.progress, training.history)
        self._write_history()
        row = training.history[-1]
        LOG.info(
            "epoch %d of %d: %s%s; %.*f %s/s, %.0f %% of the time waiting for data%s",
            *(row["epoch"], self.options.epochs),
            ", ".join(f"{name} {score:.5f}" for name, score in [*row.items()][2:]),
            f" ({', '.join(names)})" if names else "",
            *(1 if pictures_per_s < 10 else 0, pictures_per_s, training.train.data.samples_are),
            100 * waiting,
            self._time_left(),
        )
        if self.events:
            for name, score in row.items():
                self.events.add_scalar(name, score, row["epoch"])
            self.events.flush()

    def _time_left(self) -> str:
        """Returns in words how long all other epochs take, if they take as long as those of this call."""
        progress = self.training.progress
        n_left = 0 if progress.finished else self.options.epochs - progress.epoch
        seconds = (time.perf_counter() - self.started) / (progress.epoch - self.n_before)
        return f", {duration(seconds * n_left)} left" if n_left else ""

    def close(self) -> None:
        """Makes figures and export of the best weights, where they are not there yet; then sums it up."""
        training, folder, progress = self.training, self.run.folder, self.training.progress
        if not training.is_first:
            return
        model, objective, exported = self.run.model("best"), training.objective, self.run.exported
        if model.decoder is not None and not (folder / REBUILT).exists():
            title = f"{folder.name}: validation, best epoch {progress.best_epoch}"
            show_rebuilt(training.valid, model, self.options.precision, folder / REBUILT, title)
        if not all(file.exists() for file in exported):
            export_encoder(self.run.model("best"), training.plan.input_shape, *exported)
        early = ", stopped early" if progress.epoch < self.options.epochs else ""
        best = f"best epoch {progress.best_epoch} with validation {objective.best_by} {progress.best:.5f}"
        epochs = f"{progress.epoch} epoch{'s' if progress.epoch > 1 else ''}{early}"
        LOG.info("%s: %s, %s", folder.name, epochs, best)
        phases, n_phases = progress.phase + 1, objective.n_phases(training.session.objective)
        if phases < n_phases:
            words = "the training ended in phase %d of the %d of %s, whose weights are kept apart: raise "
            LOG.warning(words + "`training.epochs`", phases, n_phases, training.session.objective.name)
        sign, trivial = 1 if objective.rising else -1, self._trivial_scores
        if trivial and sign * progress.best <= sign * trivial[progress.best_epoch - 1]:
            LOG.warning(
                "validation is no better than an answer that has learnt nothing (%.5f): train longer, with "
                "another learning rate, or look at views.png",
                trivial[progress.best_epoch - 1],
            )

    @property
    def _trivial_scores(self) -> list[float] | None:
        """Returns the score of each epoch of an answer that has learnt nothing, if there is one."""
        score, of_epoch = self.trivial, self.training.objective.trivial_of
        return None if score is None else [of_epoch(score, row) for row in self.training.history]

    def _write_history(self) -> None:
        """Writes what `last.pt` holds again: a file that another program keeps open ends no training."""
        training, rows = self.training, self.training.history
        try:
            self.run.write_history(rows)
            figure, best = self.run.folder / "history.png", training.progress.best_epoch
            figures.history(figure, rows, best, self._trivial_scores, training.objective.best_by)
        except OSError as error:
            LOG.warning("the history is not up to date: %s", error)
