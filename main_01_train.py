"""Sessions become trained runs: `python main_01_train.py [SESSION or RUN_FOLDER ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from saec.command import Task, serve
from saec.config import Config
from saec.faults import MissingFault
from saec.runs import SESSION, Run
from saec.runs.find import say_unfinished
from saec.session import TrainingSession, load_session
from saec.training import epochs_of, go_on, plan_going_on, plan_training, train


def read(file: Path, changes: Sequence[str], config: Config) -> Task:
    return read_run(file, changes, config) if file.is_dir() else read_session(file, changes)


def read_session(file: Path, changes: Sequence[str]) -> Task:
    session = load_session(file, TrainingSession, changes)

    def work(config: Config) -> list[Path]:
        say_unfinished(session.name, config.models)
        return [train(session, config).folder]

    folders = [place for place in (session.data.train, session.data.valid) if isinstance(place, str)]
    return Task(session, folders, lambda config: plan_training(session, config), work)


def read_run(folder: Path, changes: Sequence[str], config: Config) -> Task:
    run, epochs = Run.at(folder), epochs_of(changes)
    if run is None:
        raise MissingFault(f"{folder} is no run's folder: <timestamp>_<session> with a {SESSION} is expected")

    def work(config: Config) -> list[Path]:
        return [go_on(run, config, epochs).folder]

    return Task(run.session, [], lambda config: plan_going_on(run, config, epochs), work)


def main(argv: Sequence[str] | None = None) -> int:
    return serve("Sessions become trained runs; a run's folder goes on with it.", "training", read, argv)


if __name__ == "__main__":
    sys.exit(main())
