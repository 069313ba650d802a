"""What a training leaves in its run's folder, and what it says while it works."""

import logging
import math
from types import TracebackType
from typing import Any, Self

from saec import figures
from saec.export import export_encoder
from saec.faults import Fault
from saec.files import remove_leftovers
from saec.gallery import show_rebuilt, show_views
from saec.runs import REBUILT, Run
from saec.training.build import Training

LOG = logging.getLogger(__name__)
OF_THE_WORK = ("pictures_per_s", "waiting")  # scores that no history keeps, since no repeat gives them again


class RunWriter:
    """Writes the checkpoints, the history and the figures of a run; in the first process alone."""

    def __init__(self, run: Run, training: Training):
        self.run = run
        self.training = training
        self.options = training.session.training
        self.trivial: float | None = None  # the score of an answer that has learnt nothing
        self.events: Any = None

    def __enter__(self) -> Self:
        run, training = self.run, self.training
        if training.rank:
            return self
        remove_leftovers(run.folder)
        self.trivial = training.objective.trivial(training.valid.validation)
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.events:
            self.events.close()
        if error is not None and not isinstance(error, Fault):
            done = self.training.progress.epoch
            LOG.error("stopped after %d epochs; to go on: python main_01_train.py %s", done, self.run.folder)

    def require_numbers(self, *scores: float) -> None:
        """Raises a `Fault` where the loss, or the score that marks the best epoch, is no finite number."""
        if not all(math.isfinite(score) for score in scores):
            done = self.training.progress.epoch
            raise Fault(
                f"epoch {done + 1}: the loss is {scores[0]} (validation {scores[1]}): try a lower "
                f"optimizer.learning_rate, or optimizer.clip; epochs kept in {self.run.folder}: {done}"
            )

    def write_epoch(
        self, train_scores: dict[str, float], valid_scores: dict[str, float], improved: bool
    ) -> None:
        """Saves the best weights, then the last, which is the commit; history and figure follow from it."""
        training = self.training
        row = {"epoch": training.progress.epoch, "learning_rate": training.learner.rate}
        scores = {f"train_{name}": score for name, score in train_scores.items() if name not in OF_THE_WORK}
        scores |= {f"valid_{name}": score for name, score in valid_scores.items() if name not in OF_THE_WORK}
        training.history.append(row | scores)
        if training.rank:
            return
        for name in ("best", "last") if improved else ("last",):
            self.run.save(name, training.parts, training.progress, training.history)
        self._write_history()
        LOG.info(
            "epoch %d of %d: %s%s; %.0f %s/s, %.0f %% of the time waiting for data",
            row["epoch"],
            self.options.epochs,
            ", ".join(f"{name} {score:.5f}" for name, score in scores.items()),
            " (best)" if improved else "",
            train_scores["pictures_per_s"],
            training.train.data.samples_are,
            100 * train_scores["waiting"],
        )
        if self.events:
            for name, score in (row | scores).items():
                self.events.add_scalar(name, score, row["epoch"])
            self.events.flush()

    def close(self) -> None:
        """Makes figures and export of the best weights, where they are not there yet; then sums it up."""
        training, folder, progress = self.training, self.run.folder, self.training.progress
        if training.rank:
            return
        model = self.run.model("best")
        if model.decoder is not None and not (folder / REBUILT).exists():
            title = f"{folder.name}: validation, best epoch {progress.best_epoch}"
            show_rebuilt(training.valid, model, self.options.precision, folder / REBUILT, title)
        exported = self.run.exported
        if exported and not exported.exists():
            export_encoder(self.run.model("best"), training.plan.input_shape, exported)
        LOG.info(
            "%s: %d epochs%s, best epoch %d with validation %s %.5f",
            folder.name,
            progress.epoch,
            ", stopped early" if progress.epoch < self.options.epochs else "",
            progress.best_epoch,
            training.objective.best_by,
            progress.best,
        )
        sign = 1 if training.objective.rising else -1
        if self.trivial is not None and sign * progress.best <= sign * self.trivial:
            LOG.warning(
                "validation is no better than an answer that has learnt nothing (%.5f): train longer, with "
                "another learning rate, or look at views.png",
                self.trivial,
            )

    def _write_history(self) -> None:
        """Writes what `last.pt` holds again: a file that another program keeps open ends no training."""
        training, rows = self.training, self.training.history
        try:
            self.run.write_history(rows)
            figure, best = self.run.folder / "history.png", training.progress.best_epoch
            figures.history(figure, rows, best, self.trivial, training.objective.best_by)
        except OSError as error:
            LOG.warning("%s could not be written (%s)", error.filename, error.strerror)
