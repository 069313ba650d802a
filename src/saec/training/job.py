"""Plans a training as a job: a session that begins a new run, or a run that is continued."""

import logging
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from saec.config import Config, load_config
from saec.faults import Fault, MissingFault
from saec.files import locked, remove_leftovers, write_text
from saec.gallery import show_views
from saec.models import model_table
from saec.runs import SESSION, Run
from saec.runs.checkpoints import suitable
from saec.runs.find import find_trained, warn_of_unfinished
from saec.session import TrainingSession, WeightsOf, load_session
from saec.together import Group, joined
from saec.training import loop
from saec.training.build import Training, build
from saec.training.plan import TrainingPlan, check_training

LOG = logging.getLogger(__name__)
MODEL = "model.txt"  # blocks of the model, their output shapes and numbers of weights


class TrainingJob(TrainingPlan):
    """Holds a checked session that begins a new run, or continues one."""

    def run(self) -> Run:
        """Trains and returns the finished run.

        Raises:
            Fault: the data or this machine cannot do it; or the data of a run that is to go on have changed,
                or another process is at work on it.
        """
        with joined(self.device) as group:
            if self.begun:
                with _locked(self.begun, group):
                    return self._go_on(self.begun, build(self, group))
            start = self.session.start
            of = find_trained(start.weights_of, self.config) if isinstance(start, WeightsOf) else None
            if self.parent and self.parent != of:
                plan = plan_training(self.session, self.config)  # `latest:` is a run of this very call
                return plan._begin(group)
            return self._begin(group)

    def _begin(self, group: Group) -> Run:
        if group.rank == 0:
            warn_of_unfinished(self.session.name, self.config.models)
        training, folder = build(self, group), ""  # which the first process makes
        if training.is_first:
            made = Run.create(self.config.models, training.session, training.record(), training.split)
            folder = str(made.folder)
        run = Run(Path(group.every(folder)[0]))
        with _locked(run, group):
            if training.is_first:
                write_text(run.folder / MODEL, model_table(training.model, training.plan.input_shape))
            return loop.train(training, run)

    def _go_on(self, run: Run, training: Training) -> Run:
        run.refuse_other(training.sides)
        if run.progress.epoch:
            with suitable(run.folder / "last.pt"):
                training.resume(run.load("last"))
        progress, total = training.progress, self.session.training.epochs
        if total != run.session.training.epochs:
            progress.stopped = progress.finished = False
            if progress.epoch and training.is_first:
                run.save("last", training.parts, progress, training.history)  # first: a kill may follow
            if training.is_first:
                run.lengthen(total)
        progress.finished = progress.stopped or progress.epoch >= total
        return loop.train(training, run)


def _locked(run: Run, group: Group) -> AbstractContextManager:
    """Returns a context in which no other training works on a run: the first process holds its lock."""
    return nullcontext() if group.rank else locked(run.lock, run.folder)


@dataclass(frozen=True)
class FinishedJob:
    """Holds a run that is finished: nothing is left to do."""

    session: TrainingSession
    begun: Run

    def describe(self) -> str:
        return "nothing is left to do"

    def estimate(self) -> str:
        return ""

    def run(self) -> Run:
        run = self.begun
        LOG.info("%s is finished: %d epochs", run.folder, run.progress.epoch)
        with suppress(Fault, OSError), locked(run.lock, run.folder):
            remove_leftovers(run.folder)
        return run


def plan_training(session: TrainingSession, config: Config) -> TrainingJob:
    """Checks all that can be checked before data are read.

    Raises:
        SessionError: with every fault, each with its key.
    """
    return TrainingJob(**vars(check_training(session, config)))


def plan_run_folder(folder: Path, changes: Sequence[str], config: Config) -> TrainingJob | FinishedJob:
    """Plans to go on with the run in that folder; the one change it takes is `training.epochs=<number>`.

    Raises:
        Fault: it is no run's folder, or cannot be gone on with.
    """
    run, epochs = Run.at(folder), None
    if run is None:
        raise MissingFault(f"{folder} is no run's folder: <timestamp>_<session> with a {SESSION} is expected")
    for change in changes:
        total = re.fullmatch(r"training\.epochs=(0*[1-9]\d*)", change)
        if not total:
            takes = "takes --set training.epochs=<number> only"
            raise Fault(f"a run that is gone on with {takes}, got {change!r}")
        epochs = int(total[1])
    return _plan_going_on(run, config, epochs)


def _plan_going_on(run: Run, config: Config, epochs: int | None) -> TrainingJob | FinishedJob:
    done, session = run.progress, run.session
    total = epochs or session.training.epochs
    if done.finished and total == session.training.epochs and run.closed:
        return FinishedJob(session, run)
    if total < done.epoch:
        raise Fault(f"{run.folder} has {done.epoch} epochs already, training.epochs cannot be {total}")
    options = session.training.model_copy(update={"epochs": total})
    return TrainingJob(**vars(check_training(session.but(training=options), config, run)))


def train(session: TrainingSession | dict | Path | str, config: Config | None = None) -> Run:
    """Trains as the session says and returns the finished run.

    Raises:
        Fault: the session, the data or this machine cannot do it; no run has been made then.
    """
    return plan_training(load_session(session, TrainingSession), config or load_config()).run()


def draw_views(
    session: TrainingSession | dict | Path | str, file: Path | str, config: Config | None = None
) -> Path:
    """Draws what a training by the session would see and its targets, before any training."""
    plan = plan_training(load_session(session, TrainingSession), config or load_config())
    file = Path(file).absolute()
    show_views(build(plan).train, file, f"views of {plan.session.name}")
    return file


def go_on(run: Run, config: Config | None = None, epochs: int | None = None) -> Run:
    """Goes on with an interrupted run, in place; `epochs` is another total."""
    return _plan_going_on(run, config or load_config(), epochs).run()
