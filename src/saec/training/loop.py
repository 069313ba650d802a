"""The one training loop: it knows epochs and files, never what is learnt."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from saec.config import Config, load_config
from saec.data import Batch, seed_of
from saec.devices import computing
from saec.faults import Fault
from saec.files import alone
from saec.logs import also_into
from saec.optimizers import Learner
from saec.progress import progress as shown
from saec.runs import Run
from saec.session import TrainingSession, load_session
from saec.training.journal import Journal
from saec.training.plan import plan_training
from saec.training.planned import TrainingPlan
from saec.training.workbench import Workbench, equip

LOG = logging.getLogger(__name__)


def train(session: TrainingSession | dict | Path | str, config: Config | None = None) -> Run:
    """Trains as the session says and returns the finished run.

    Raises:
        Fault: the session, the data or this machine cannot do it; no run has been made then.
    """
    config = config or load_config()
    bench = equip(plan_training(load_session(session, TrainingSession), config))
    run = Run.create(config.models, bench.session, bench.record())
    with alone(run.lock, run.folder):
        return _learn(run, bench)


def go_on(run: Run, config: Config | None = None, epochs: int | None = None) -> Run:
    """Goes on with an interrupted run, in place; `epochs` is another total.

    Raises:
        Fault: the data have changed since, more epochs are done than the new total, or another process is
            at work on it.
    """
    plan = plan_going_on(run, config or load_config(), epochs)
    if plan is None:
        LOG.info("%s is finished: %d epochs", run.folder, run.progress.epoch)
        return run
    with alone(run.lock, run.folder):
        bench = equip(plan)
        run.refuse_other(bench.record())
        if run.progress.epoch:
            bench.take_up(run.load("last"))
        progress, total = bench.progress, plan.session.training.epochs
        if total != run.session.training.epochs:
            progress.stopped = progress.finished = False
            if progress.epoch:
                run.save("last", bench.parts, progress, bench.history)  # first: a kill may follow
            run.lengthen(total)
        progress.finished = progress.stopped or progress.epoch >= total
        return _learn(run, bench)


def plan_going_on(run: Run, config: Config, epochs: int | None = None) -> TrainingPlan | None:
    """What going on comes to, or None where nothing is left to do."""
    done, session = run.progress, run.session
    total = epochs or session.training.epochs
    if done.finished and total == session.training.epochs and run.closed:
        return None
    if total < done.epoch:
        raise Fault(f"{run.folder} has {done.epoch} epochs already, training.epochs cannot be {total}")
    options = session.training.model_copy(update={"epochs": total})
    return plan_training(session.but(training=options), config, going_on=run)


def epochs_of(changes: Sequence[str]) -> int | None:
    """The total of epochs that `--set training.epochs=n` asks for, the one change a begun run allows.

    Raises:
        Fault: anything else is to be changed.
    """
    total = None
    for change in changes:
        key, _, text = change.partition("=")
        if key != "training.epochs" or not text.isdecimal() or not int(text):
            raise Fault(
                f"a run that is gone on with takes --set training.epochs=<number> only, got {change!r}"
            )
        total = int(text)
    return total


def _learn(run: Run, bench: Workbench) -> Run:
    with also_into(run.folder / "log.txt"), Journal(run, bench) as journal:
        while not bench.progress.finished:
            epoch, seed = bench.progress.epoch, bench.session.training.seed
            torch.manual_seed(seed_of(seed, epoch))  # for what the model draws itself
            learnt = one_epoch(bench, bench.train.training(epoch), f"epoch {epoch + 1}", bench.learner)
            tested = one_epoch(bench, bench.valid.validation(), "validation")
            journal.end_epoch(learnt, tested)
        journal.close()
    return run


def one_epoch(
    bench: Workbench, batches: Iterable[Batch], what: str, learner: Learner | None = None
) -> dict[str, float]:
    """Mean scores over the batches, weighted by samples; learns where a learner is given.

    Two more scores tell about the work itself: `pictures_per_s`, and `waiting`, the share of time in which
    batches were waited for.
    """
    learning = learner is not None
    model, objective = bench.model.train(learning), bench.objective.train(learning)
    totals: dict[str, Tensor | float] = defaultdict(float)
    n_samples, clock = 0, Clock(batches)
    n_batches = bench.train.n_training_batches if learning else bench.valid.n_batches
    with torch.set_grad_enabled(learning):
        for batch in shown(clock, what, n_batches, " batches", clock.remark):
            with computing(bench.plan.device, bench.plan.precision):
                scores = objective(model, batch)
            if learning:
                learner.step(scores["loss"])
            n_samples += len(batch)
            for name, score in scores.items():
                totals[name] += score.detach() * len(batch)
    means = {name: float(total) / n_samples for name, total in totals.items()}  # the one wait for the device
    return (
        means | objective.summary() | {"pictures_per_s": n_samples / clock.seconds, "waiting": clock.waiting}
    )


class Clock:
    """Passes batches on and knows how long they were waited for."""

    def __init__(self, batches: Iterable[Batch]):
        self.batches = iter(batches)
        self.started = time.perf_counter()
        self.waited = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        asked = time.perf_counter()
        try:
            return next(self.batches)
        finally:
            self.waited += time.perf_counter() - asked

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def waiting(self) -> float:
        """The share of time in which batches were waited for."""
        return self.waited / self.seconds

    def remark(self) -> str:
        return f"{100 * self.waiting:.0f} % waiting for data"
