"""Finds trained models by what a session calls them: a folder, a timestamp, `latest:<session name>`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from saec.config import Config
from saec.faults import Fault, MissingFault, collect_faults, listing
from saec.files import as_file_name, locked
from saec.runs.run import Run
from saec.runs.seeds import Seed, seeds_of

LOG = logging.getLogger(__name__)
LATEST = "latest:"


def find_trained(reference: str, config: Config) -> Run | Seed:
    """Returns a run, or a model of the reference by its timestamp; relative folders count from the data's.

    Raises:
        MissingFault: there is neither.
        Fault: the timestamp has several epochs, or both a run and a model of the reference.
    """
    run = Run.at(config.data_path(reference))
    if run:
        return run
    seeds = seeds_of(reference, config.models)
    try:
        run = find_run(reference, config.models)
    except MissingFault:
        if not seeds:
            raise
    models = [*seeds, *([run] if run else [])]
    if len(models) > 1:
        raise Fault(
            f"{len(models)} models answer to {reference!r}, keep one of them in {config.models}:\n"
            f"{_names(models)}"
        )
    return models[0]


def find_run(reference: str, models: Path) -> Run:
    """Returns a run by its timestamp or folder's name, or `latest:<session name>`, the newest finished one.

    Raises:
        MissingFault: there is none, with the list of those there are.
    """
    runs = all_runs(models)
    if reference.startswith(LATEST):
        return _latest(as_file_name(reference.removeprefix(LATEST)), runs, models)
    matches = [run for run in runs if reference in (run.timestamp, run.folder.name)]
    if not matches:
        raise MissingFault(f"no run {reference!r} in {models}: {_list(runs)}")
    if len(matches) > 1:
        raise Fault(f"several runs answer to {reference!r}, name the folder of one:\n{_names(matches)}")
    return matches[0]


def all_runs(models: Path) -> list[Run]:
    """Returns the runs in a folder, oldest first."""
    folders = sorted(models.iterdir()) if models.is_dir() else []
    return [run for folder in folders if (run := Run.at(folder))]


def warn_of_unfinished(session_name: str, models: Path) -> None:
    """Warns of interrupted runs of a session that begins anew, and says how to go on with them."""
    for run in all_runs(models):
        if run.name == session_name and collect_faults([], run.name, _waits, run):
            LOG.warning("not finished yet; to go on with it: python main_01_train.py %s", run.folder)


def _waits(run: Run) -> bool:
    """Whether a run could be gone on with; a `Fault` where another process is at work on it."""
    with locked(run.lock, run.folder):
        return not run.progress.finished


def _latest(name: str, runs: list[Run], models: Path) -> Run:
    of_session = [run for run in runs if run.name == name]
    finished = next((run for run in reversed(of_session) if run.progress.finished), None)
    if finished is None:
        hint = f"; {of_session[-1].folder.name} is not finished" if of_session else ""
        raise MissingFault(f"no finished run of session {name!r} in {models}{hint}: {_list(runs)}")
    return finished


def _list(runs: list[Run]) -> str:
    if not runs:
        return "there is none yet, train one with main_01_train.py"
    return "there are\n" + _names(list(reversed(runs)))


def _names(runs: Sequence[Run | Seed]) -> str:
    return listing([run.folder.name for run in runs])
