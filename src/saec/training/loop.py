"""The one training loop: it knows epochs and files, never what is learnt."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from saec import figures
from saec.data import Batch, seed_of
from saec.devices import computing
from saec.export import export_encoder
from saec.faults import Fault
from saec.files import remove_leftovers
from saec.gallery import show_rebuilt, show_views
from saec.logs import also_into
from saec.optimizers import Learner
from saec.progress import progress as shown
from saec.runs import REBUILT, Run
from saec.training.workbench import Workbench

OF_THE_WORK = ("pictures_per_s", "waiting")  # scores that no history keeps, since no repeat gives them again


class Journal:
    """Opens with what is about to happen, takes down every epoch, closes with what came out."""

    def __init__(self, run: Run, bench: Workbench):
        self.run = run
        self.bench = bench
        self.options = bench.session.training
        self.trivial: float | None = None
        self.events: Any = None

    def __enter__(self) -> Self:
        run, bench = self.run, self.bench
        remove_leftovers(run.folder)
        if bench.progress.finished:  # a kill came before all was written
            self.trivial = bench.objective.trivial(bench.valid.validation)
            self._show_history()
            return self
        done = f", going on after epoch {bench.progress.epoch}" if bench.progress.epoch else ""
        LOG.info("run %s%s\n%s", run.folder, done, bench.plan.describe())
        if not (run.folder / "views.png").exists():
            show_views(bench.train, run.folder / "views.png", f"views of {bench.session.name}")
        self.trivial = bench.objective.trivial(bench.valid.validation)
        if self.options.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.events = SummaryWriter(run.folder / "tensorboard", purge_step=bench.progress.epoch + 1)
        return self

    def end_epoch(self, learnt: dict[str, float], tested: dict[str, float]) -> None:
        """Saves the best weights, then the last, which is the commit; history and figure follow from it."""
        bench, run, progress = self.bench, self.run, self.bench.progress
        self._refuse_nonsense(learnt["loss"], tested[bench.objective.best_by])
        score, loss = tested[bench.objective.best_by], tested["loss"]
        improved = progress.update(score, loss, bench.objective.rising)
        bench.learner.end_epoch(progress.waited)
        patience = self.options.patience
        stalled = bool(patience and progress.waited and progress.waited % patience == 0)
        progress.stopped = not bench.objective.end_epoch(stalled)
        progress.finished = progress.stopped or progress.epoch >= self.options.epochs
        bench.history.append(self._row(learnt, tested))
        if improved:
            run.save("best", bench.parts, progress, bench.history)
        run.save("last", bench.parts, progress, bench.history)
        self._show_history()
        self._say(learnt, tested, improved)

    def close(self) -> None:
        """Figures and export of the best weights, where they are not there yet; then the sum of it."""
        folder, progress = self.run.folder, self.bench.progress
        model = self.run.model("best")
        if model.decoder is not None and not (folder / REBUILT).exists():
            title = f"{folder.name}: validation, best epoch {progress.best_epoch}"
            show_rebuilt(self.bench.valid, model, self.options.precision, folder / REBUILT, title)
        exported = self.run.exported
        if exported and not exported.exists():
            export_encoder(self.run.model("best"), self.bench.plan.input_shape, exported)
        LOG.info(
            "%s: %d epochs%s, best epoch %d with validation %s %.5f",
            folder.name,
            progress.epoch,
            ", stopped early" if progress.epoch < self.options.epochs else "",
            progress.best_epoch,
            self.bench.objective.best_by,
            progress.best,
        )
        if self.trivial is not None and not self._beats(progress.best, self.trivial):
            LOG.warning(
                "validation is no better than an answer that has learnt nothing (%.5f): train longer, with "
                "another learning rate, or look at views.png",
                self.trivial,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.events:
            self.events.close()
        if error is not None and not isinstance(error, Fault):
            done = self.bench.progress.epoch
            LOG.error("stopped after %d epochs; to go on: python main_01_train.py %s", done, self.run.folder)

    def _beats(self, score: float, other: float) -> bool:
        return score > other if self.bench.objective.rising else score < other

    def _show_history(self) -> None:
        """Both are made of what `last.pt` holds: a file that another program keeps open ends no training."""
        rows, best_epoch = self.bench.history, self.bench.progress.best_epoch
        try:
            self.run.write_history(rows)
            best_by = self.bench.objective.best_by
            figures.history(self.run.folder / "history.png", rows, best_epoch, self.trivial, best_by)
        except OSError as error:
            LOG.warning("%s could not be written (%s)", error.filename, error.strerror)

    def _row(self, learnt: dict[str, float], tested: dict[str, float]) -> dict[str, float]:
        row = {"epoch": self.bench.progress.epoch, "learning_rate": self.bench.learner.rate}
        for part, scores in (("train", learnt), ("valid", tested)):
            row |= {f"{part}_{name}": score for name, score in scores.items() if name not in OF_THE_WORK}
        return row

    def _say(self, learnt: dict[str, float], tested: dict[str, float], improved: bool) -> None:
        row = self.bench.history[-1]
        shown = {name: score for name, score in row.items() if name.startswith(("train_", "valid_"))}
        scores = ", ".join(f"{name} {score:.5f}" for name, score in shown.items())
        LOG.info(
            "epoch %d of %d: %s%s; %.0f %s/s, %.0f %% of the time waiting for data",
            row["epoch"],
            self.options.epochs,
            scores,
            " (best)" if improved else "",
            learnt["pictures_per_s"],
            self.bench.train.data.what,
            100 * learnt["waiting"],
        )
        if self.events:
            for name, score in row.items():
                self.events.add_scalar(name, score, row["epoch"])
            self.events.flush()

    def _refuse_nonsense(self, *scores: float) -> None:
        if not all(math.isfinite(score) for score in scores):
            done = self.bench.progress.epoch
            raise Fault(
                f"epoch {done + 1}: the loss is {scores[0]} (validation {scores[1]}): try a lower "
                f"optimizer.learning_rate, or optimizer.clip; epochs kept in {self.run.folder}: {done}"
            )


LOG = logging.getLogger(__name__)


def learn(run: Run, bench: Workbench) -> Run:
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
