"""Sessions become trained runs: `python main_01_train.py [SESSION or RUN_FOLDER ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from saec.command import Task, serve
from saec.config import Config
from saec.runs import find_run, say_unfinished
from saec.session import TrainingSession, load_session
from saec.training import epochs_of, go_on, plan_training, train


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
    run, epochs = find_run(str(folder), config.models), epochs_of(changes)

    def work(config: Config) -> list[Path]:
        return [go_on(run, config, epochs).folder]

    return Task(run.session, [], lambda config: plan_training(run.session, config, going_on=True), work)


def main(argv: Sequence[str] | None = None) -> int:
    return serve("Sessions become trained runs; a run's folder goes on with it.", "training", read, argv)


if __name__ == "__main__":
    sys.exit(main())
