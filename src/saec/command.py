"""The command line that all scripts share: sessions in, paths out, one clear message for a fault."""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from saec import logs
from saec.config import ROOT, Config, load_config
from saec.demo import make_demo
from saec.documents import to_yaml
from saec.faults import Fault, MissingFault, did_you_mean
from saec.session import Session

LOG = logging.getLogger(__name__)
SUFFIXES = (".json", ".yaml", ".yml")
DEMO = "demo"
T = TypeVar("T")
DONE, FAULT, INTERRUPTED = 0, 2, 130  # 1, a bug, is what Python ends with


@dataclass(frozen=True)
class Task:
    """One session as a script will carry it out. Nothing is touched before `check` is asked for."""

    session: Session
    folders: Sequence[str]  # what it reads, as the session says it
    check: Callable[[Config], object]  # raises faults; what it returns says what to expect
    work: Callable[[Config], Sequence[Path]]


Reader = Callable[[Path, Sequence[str], Config], Task]


def serve(what: str, params: str, read: Reader, argv: Sequence[str] | None = None) -> int:
    """Runs the sessions of one call and returns the exit code.

    Paths of what is complete go to stdout, one a line; all else goes to stderr.
    """
    logs.to_terminal()
    try:
        options = _parser(what, params).parse_args(argv)
    except SystemExit as asked:  # --help, or words that are no options
        return int(asked.code or DONE)
    try:
        return _carry_out(options, params, read)
    except Fault as fault:
        LOG.error("%s", fault)
        return FAULT
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        LOG.error("%s: lower training.batch_size, or set `device: cpu` in the config", reason)
        return FAULT
    except OSError as error:
        LOG.error("%s: %s", error.strerror or type(error).__name__, error.filename or error)
        return FAULT
    except KeyboardInterrupt:
        LOG.error("interrupted: what was complete is kept")
        return INTERRUPTED


def _parser(what: str, params: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument(
        "session",
        nargs="*",
        help=f"session files, or names of those in session_params/{params} (default: demo)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="another config.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="key.path=value",
        help="change an option of the sessions, e.g. training.epochs=3",
    )
    parser.add_argument("--check", action="store_true", help="say what would be done, write nothing")
    return parser


def _carry_out(options: argparse.Namespace, params: str, read: Reader) -> int:
    """All sessions are read, then all are checked, then the first one starts."""
    config = load_config(options.config)
    given = options.session or [DEMO]
    tasks = _all(
        [lambda name=name: read(find_session(name, params), options.changes, config) for name in given]
    )
    waiting = [task for task in tasks if _needs_demo(task, config)]
    if waiting:
        if options.check:
            for task in waiting:
                LOG.info("session %s\n%s", task.session.name, to_yaml(task.session.model_dump(mode="json")))
            LOG.info("the demo data are not there yet, they would be made first, in half a minute")
            tasks = [task for task in tasks if task not in waiting]
        else:
            make_demo(config.data / DEMO, config.n_workers)
    expected = _all([lambda task=task: task.check(config) for task in tasks])
    if options.check:
        for task, what in zip(tasks, expected, strict=True):
            session = getattr(what, "session", task.session)  # with its paths and precision resolved
            words = str(what or "nothing is left to do")
            LOG.info("session %s\n%s\n%s", session.name, to_yaml(session.model_dump(mode="json")), words)
        return DONE
    for task in tasks:
        for path in task.work(config):
            print(path, flush=True)
    return DONE


def find_session(name: str, params: str) -> Path:
    """An existing path, else a shipped session by its name, with or without suffix.

    Raises:
        MissingFault: there is neither, with the names there are.
    """
    if Path(name).is_file():
        return Path(name)
    folder = ROOT / "session_params" / params
    shipped = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    found = [path for path in shipped if name in (path.name, path.stem)]
    if len(found) > 1:
        raise Fault(f"{name!r} could be any of {', '.join(path.name for path in found)}: add the suffix")
    if not found and Path(name).is_dir():
        return Path(name)
    if not found:
        hint = did_you_mean(name, [path.stem for path in shipped])
        raise MissingFault(f"no session file {name}, and none of that name in {folder}: {hint}")
    return found[0]


def _needs_demo(task: Task, config: Config) -> bool:
    demo = config.data / DEMO
    return not demo.exists() and any(config.data_path(place).is_relative_to(demo) for place in task.folders)


def _all(asks: Sequence[Callable[[], T]]) -> list[T]:
    """Every answer, or the faults of all of them together."""
    answers, faults = [], []
    for ask in asks:
        try:
            answers.append(ask())
        except Fault as fault:
            faults.append(str(fault))
    if faults:
        raise Fault("\n".join(dict.fromkeys(faults)))
    return answers
