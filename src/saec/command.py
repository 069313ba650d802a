"""Runs the command line that all scripts share: sessions come in, paths go out, faults are clear messages."""

import argparse
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from saec.config import ROOT, Config, load_config
from saec.documents import to_yaml
from saec.faults import Fault, MissingFault, did_you_mean
from saec.progress import to_terminal
from saec.session import Session, load_session

LOG = logging.getLogger(__name__)
SUFFIXES = (".json", ".yaml", ".yml")
DEMO = "demo"
DONE, FAULT, INTERRUPTED = 0, 2, 130  # 1, a bug, is what Python ends with
S = TypeVar("S", bound=Session)
T = TypeVar("T")


class Result(Protocol):
    """Holds what a job leaves: a run, features, a report, a folder of pictures."""

    @property
    def paths(self) -> list[Path]:
        """Returns the absolute paths of what is complete, in the order in which a script prints them."""


class Job(Protocol):
    """Holds a session that was checked on this machine, with everything that its work needs listed."""

    @property
    def session(self) -> Session:
        """Returns the session with its paths, its precision and all defaults written out."""

    def describe(self) -> str:
        """Returns what will be done, in lines for people; nothing is computed or measured for it."""

    def estimate(self) -> str:
        """Returns the time and room to expect, which may be measured; "" where they are unclear."""

    def run(self) -> Result:
        """Does the work and returns what it leaves."""


PlanFolder = Callable[[Path, Sequence[str], Config], Job]


def serve(
    what: str,
    params: str,
    kind: type[S],
    plan: Callable[[S, Config], Job],
    argv: Sequence[str] | None = None,
    *,
    plan_folder: PlanFolder | None = None,
) -> int:
    """Plans and runs the sessions of one call and returns the exit code.

    Paths of what is complete go to stdout, one a line; all else goes to stderr. `params` is the folder of
    the shipped sessions. `plan_folder` plans from a folder given in place of a session, and the changes.
    """
    to_terminal()
    try:
        options = _parser(what, params).parse_args(argv)
    except SystemExit as end:  # --help, or words that are no options
        return int(end.code or DONE)
    try:
        return _run(options, params, kind, plan, plan_folder)
    except Fault as fault:
        LOG.error("%s", fault)
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        LOG.error("%s: lower training.batch_size, or set `device: cpu` in the config", reason)
    except OSError as error:
        LOG.error("%s: %s", error.strerror or type(error).__name__, error.filename or error)
    except KeyboardInterrupt:
        LOG.error("interrupted: what was complete is kept")
        return INTERRUPTED
    return FAULT


def _parser(what: str, params: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=what)
    sessions = f"session files, or names of those in session_params/{params} (default: demo)"
    parser.add_argument("session", nargs="*", help=sessions)
    parser.add_argument("--config", type=Path, metavar="FILE", help="another config.yaml")
    change = {"action": "append", "default": [], "dest": "changes", "metavar": "key.path=value"}
    parser.add_argument("--set", **change, help="change an option of the sessions, e.g. training.epochs=3")
    parser.add_argument("--check", action="store_true", help="say what would be done, write nothing")
    return parser


def _run(
    options: argparse.Namespace,
    params: str,
    kind: type[S],
    plan: Callable[[S, Config], Job],
    plan_folder: PlanFolder | None,
) -> int:
    """Reads all sessions, then plans all of them, then runs the first one."""
    config = load_config(options.config)

    def read(name: str) -> tuple[S | None, Callable[[], Job]]:
        path = find_session(name, params)
        if plan_folder and path.is_dir():
            return None, partial(plan_folder, path, options.changes, config)
        session = load_session(path, kind, options.changes)
        return session, partial(plan, session, config)

    demo = config.data / DEMO

    def waits(session: S | None) -> bool:
        folders = [] if session is None or demo.exists() else session.folders
        return any(config.data_path(folder).is_relative_to(demo) for folder in folders)

    to_plan = _all(partial(read, name) for name in options.session or [DEMO])
    waiting = [one for one in to_plan if waits(one[0])]
    if waiting and options.check:
        for session, _ in waiting:
            LOG.info("session %s\n%s", session.name, to_yaml(session.model_dump(mode="json")))
        LOG.info("the demo data are not there yet, they would be made first, in half a minute")
        to_plan = [one for one in to_plan if one not in waiting]
    elif waiting:
        from saec.demo import make_demo  # with pandas, which takes a third of a second to import

        make_demo(demo, config.n_workers)
    for job in _all(make_job for _, make_job in to_plan):
        if options.check:
            session = job.session
            lines = [to_yaml(session.model_dump(mode="json")), job.describe(), job.estimate()]
            LOG.info("session %s\n%s", session.name, "\n".join(filter(None, lines)))
            continue
        for path in job.run().paths:
            print(path, flush=True)
    return DONE


def find_session(name: str, params: str) -> Path:
    """Returns an existing path, else a shipped session by its name, with or without suffix.

    Raises:
        MissingFault: there is neither, with the names there are.
    """
    if Path(name).is_file():
        return Path(name)
    folder = ROOT / "session_params" / params
    shipped = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    matches = [path for path in shipped if name in (path.name, path.stem)]
    if len(matches) > 1:
        names = ", ".join(path.name for path in matches)
        raise Fault(f"{name!r} could be any of {names}: add the suffix")
    if not matches and Path(name).is_dir():
        return Path(name)
    if not matches:
        hint = did_you_mean(name, [path.stem for path in shipped])
        raise MissingFault(f"no session file {name}, and none of that name in {folder}: {hint}")
    return matches[0]


def _all(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Returns all results, or raises the faults of all calls together."""
    results, faults = [], []
    for call in calls:
        try:
            results.append(call())
        except Fault as fault:
            faults.append(str(fault))
    if faults:
        raise Fault("\n".join(dict.fromkeys(faults)))
    return results
