"""A training as a job: a session that begins a new run, or a run that is gone on with."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saec.config import Config, load_config
from saec.faults import Fault, MissingFault
from saec.files import locked
from saec.runs import SESSION, Run
from saec.runs.find import warn_of_unfinished
from saec.session import TrainingSession, load_session
from saec.training.loop import learn
from saec.training.plan import TrainingPlan, check_training
from saec.training.workbench import equip

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """A checked session, or a run to go on with; `plan` is None where nothing is left to do."""

    session: TrainingSession
    config: Config
    plan: TrainingPlan | None
    begun: Run | None = None

    def describe(self) -> str:
        return self.plan.describe() if self.plan else "nothing is left to do"

    def estimate(self) -> str:
        return self.plan.estimate() if self.plan else ""

    def run(self) -> Run:
        """Trains and returns the finished run.

        Raises:
            Fault: the data or this machine cannot do it; or the data of a run that is to go on have changed,
                or another process is at work on it.
        """
        if self.begun:
            return self._go_on(self.begun)
        warn_of_unfinished(self.session.name, self.config.models)
        bench = equip(self.plan)
        run = Run.create(self.config.models, bench.session, bench.record())
        with locked(run.lock, run.folder):
            return learn(run, bench)

    def _go_on(self, run: Run) -> Run:
        if self.plan is None:
            LOG.info("%s is finished: %d epochs", run.folder, run.progress.epoch)
            return run
        with locked(run.lock, run.folder):
            bench = equip(self.plan)
            run.refuse_other(bench.record())
            if run.progress.epoch:
                bench.take_up(run.load("last"))
            progress, total = bench.progress, self.session.training.epochs
            if total != run.session.training.epochs:
                progress.stopped = progress.finished = False
                if progress.epoch:
                    run.save("last", bench.parts, progress, bench.history)  # first: a kill may follow
                run.lengthen(total)
            progress.finished = progress.stopped or progress.epoch >= total
            return learn(run, bench)


def plan_training(session: TrainingSession, config: Config) -> TrainingJob:
    """Checks all that can be checked before data are read.

    Raises:
        SessionError: with every fault found, each with its key.
    """
    plan = check_training(session, config)
    return TrainingJob(plan.session, config, plan)


def plan_going_on(run: Run, config: Config, epochs: int | None = None) -> TrainingJob:
    """Plans to go on with an interrupted run, in place; `epochs` is another total.

    Raises:
        Fault: more epochs are done than the new total, or the session cannot be used any more.
    """
    done, session = run.progress, run.session
    total = epochs or session.training.epochs
    if done.finished and total == session.training.epochs and run.closed:
        return TrainingJob(session, config, None, run)
    if total < done.epoch:
        raise Fault(f"{run.folder} has {done.epoch} epochs already, training.epochs cannot be {total}")
    options = session.training.model_copy(update={"epochs": total})
    plan = check_training(session.but(training=options), config, going_on=run)
    return TrainingJob(plan.session, config, plan, run)


def plan_run_folder(folder: Path, changes: Sequence[str], config: Config) -> TrainingJob:
    """Plans to go on with the run in that folder; `changes` are those of the command line.

    Raises:
        Fault: it is no run's folder, or cannot be gone on with.
    """
    run, epochs = Run.at(folder), epochs_of(changes)
    if run is None:
        raise MissingFault(f"{folder} is no run's folder: <timestamp>_<session> with a {SESSION} is expected")
    return plan_going_on(run, config, epochs)


def train(session: TrainingSession | dict | Path | str, config: Config | None = None) -> Run:
    """Trains as the session says and returns the finished run.

    Raises:
        Fault: the session, the data or this machine cannot do it; no run has been made then.
    """
    return plan_training(load_session(session, TrainingSession), config or load_config()).run()


def go_on(run: Run, config: Config | None = None, epochs: int | None = None) -> Run:
    """Goes on with an interrupted run, in place; `epochs` is another total."""
    return plan_going_on(run, config or load_config(), epochs).run()


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
