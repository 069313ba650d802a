"""Runs the command line of `saec` and the scripts: sessions come in, paths go out, faults are messages."""

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from saec.config import CONFIG, SHIPPED, load_config
from saec.documents import to_yaml
from saec.faults import Fault, MissingFault, did_you_mean, listing
from saec.processes import DONE, FAULT, INTERRUPTED, let_first_speak, rank, world_size
from saec.progress import to_terminal

if TYPE_CHECKING:  # what computes takes seconds to import, which --help need not wait for
    from saec.session import Session

LOG = logging.getLogger(__name__)
SUFFIXES = (".json", ".yaml", ".yml")
DEMO = "demo"
TOGETHER = ("training", "extraction")  # what torchrun may start
T = TypeVar("T")


class Script(NamedTuple):
    """Says what a script does, and where its session and the functions that plan are imported from."""

    verb: str  # of the command `saec`
    what: str
    room: str
    session: str
    plan: str
    plan_folder: str = ""  # plans from a folder given in place of a session, and the changes


NO_DEMO = "the demo data are not there yet, they would be made first, in half a minute"
UNREAD = "what files hold was not read: what cannot be used of it is named when the work begins"
SCRIPTS = {  # by the folder of their shipped sessions
    "preparation": Script(
        "prepare",
        "Recordings become a folder of spectrogram pictures.",
        *("saec.preparation", "PreparationSession", "plan_preparation"),
    ),
    "training": Script(
        "train",
        "Sessions become trained runs; a run's folder goes on with it.",
        *("saec.training", "TrainingSession", "plan_training", "plan_run_folder"),
    ),
    "extraction": Script(
        "extract",
        "A run and pictures, or sound, become features and predictions.",
        *("saec.extraction", "ExtractionSession", "plan_extraction"),
    ),
    "evaluation": Script(
        "evaluate",
        "Features are scored, and shown on a page to explore.",
        *("saec.report", "EvaluationSession", "plan_evaluation"),
    ),
}


class Result(Protocol):
    """Holds what a job leaves: a run, features, a report, a folder of pictures."""

    @property
    def paths(self) -> list[Path]:
        """Returns the absolute paths of what is complete, in the order in which a script prints them."""


class Job(Protocol):
    """Holds a session that was checked on this machine, with everything that its work needs listed."""

    @property
    def session(self) -> "Session":
        """Returns the session with its paths, its precision and all defaults written out."""

    def describe(self) -> str:
        """Returns what will be done, in lines for people; nothing is computed or measured for it."""

    def estimate(self) -> str:
        """Returns the time and room to expect, which may be measured; "" where they are unclear."""

    def run(self) -> Result:
        """Does the work and returns what it leaves."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command `saec`, whose first word says which script is meant, and returns the exit code."""
    parser = argparse.ArgumentParser("saec", description="Sound recordings become features that cluster.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for script, about in SCRIPTS.items():
        _add_options(commands.add_parser(about.verb, help=about.what, description=about.what), script)
    what = "Copies the config and the sessions that are shipped into a folder, to be changed there."
    copying = commands.add_parser("init", help=what, description=what)
    copying.add_argument("folder", type=Path, help="is made where it is missing")
    copying.set_defaults(work=_init)
    return _served(parser, argv)


def serve(script: str, argv: Sequence[str] | None = None) -> int:
    """Plans and runs the sessions of one call of a script and returns the exit code."""
    parser = argparse.ArgumentParser(description=SCRIPTS[script].what)
    return _served(_add_options(parser, script), argv)


def _served(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Does the work that the words ask for: paths of what is complete go to stdout, all else to stderr."""
    to_terminal()
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # --help, or words that are no options
        return int(end.code or DONE)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a path may have any letters
    try:
        return options.work(options)
    except Fault as fault:
        let_first_speak()
        LOG.error("%s", fault)
    except OSError as error:
        LOG.error("%s: %s", error.strerror or type(error).__name__, error.filename or error)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # of torch
            raise
        reason = str(error).splitlines()[0]
        LOG.error("%s: lower training.batch_size, or set `device: cpu` in the config", reason)
    except KeyboardInterrupt:
        LOG.error("interrupted: what was complete is kept; call the same again, or a training by its folder")
        return INTERRUPTED
    return FAULT


def _add_options(parser: argparse.ArgumentParser, script: str) -> argparse.ArgumentParser:
    sessions = f"session files, or names of those in session_params/{script} (default: demo)"
    parser.add_argument("session", nargs="*", help=sessions)
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
    if script == "extraction":
        shard = "one of n processes that compute together, such as 0/4 to 3/4; the last one puts all together"
        parser.add_argument("--shard", metavar="i/n", help=shard)
        parser.add_argument("--engine", choices=["ray"], help="have processes of a Ray cluster encode")
        parser.add_argument("--address", help="of the Ray cluster (default: one of this machine alone)")
    parser.set_defaults(work=partial(_run, script=script))
    return parser


def _run(options: argparse.Namespace, script: str) -> int:
    """Reads all sessions, then plans all of them, then runs the first one."""
    from saec.session import load_session

    about, config = SCRIPTS[script], load_config(options.config)
    room = import_module(about.room)
    kind, plan = getattr(room, about.session), getattr(room, about.plan)
    plan_folder = getattr(room, about.plan_folder) if about.plan_folder else None

    processes = _processes(options, script)

    def read(name: str) -> tuple["Session | None", Callable[[], Job]]:
        path = find_session(name, script)
        if plan_folder and path.is_dir():
            return None, partial(plan_folder, path, options.changes, config)
        session = load_session(path, kind, options.changes)
        return session, partial(plan, session, config, **processes)

    demo = config.data / DEMO

    def lacks_demo(session: "Session | None") -> bool:
        folders = [] if session is None or demo.exists() else session.folders
        return any(Path(os.path.abspath(config.data / one)).is_relative_to(demo) for one in folders)

    to_plan = _all(partial(read, name) for name in options.session or [DEMO])
    if options.check:
        for words in _all(partial(_checked, *one, lacks_demo(one[0])) for one in to_plan):
            LOG.info("%s", words)
        return DONE
    if any(lacks_demo(session) for session, _ in to_plan):
        if world_size() > 1:
            raise Fault("the demo data are not there: start it once without torchrun, which makes them")
        from saec.demo import make_demo  # with pandas, which takes a third of a second to import

        make_demo(demo, config.n_workers)
    for job in _all(make_job for _, make_job in to_plan):
        for path in job.run().paths:
            if rank() == 0 or script != "training":  # shards of an extraction end in any process
                print(path, flush=True)
    return DONE


def _processes(options: argparse.Namespace, script: str) -> dict[str, str]:
    """Returns the options of processes that share an extraction.

    Raises:
        Fault: torchrun has started several processes, which cannot share the work so.
    """
    given = {key: vars(options).get(key) or "" for key in ("shard", "engine", "address")}
    given = {key: value for key, value in given.items() if value}
    if world_size() > 1 and script not in TOGETHER:
        raise Fault(f"saec {SCRIPTS[script].verb} is the work of one process: start it without torchrun")
    if world_size() > 1 and given:
        words = ", ".join(f"--{key}" for key in given)
        raise Fault(f"{words}: torchrun parts the work already: leave it out, or start without torchrun")
    return given


def _checked(session: "Session | None", make_job: Callable[[], Job], lacks_demo: bool) -> str:
    """Returns a session, or that of its job, and in words what would be done, or would have to be first."""
    from saec.data.remote import only_listed

    with only_listed() as waiting:
        try:
            job = None if lacks_demo else make_job()
        except Fault as fault:
            faults, job = getattr(fault, "faults", [str(fault)]), None
            if not waiting or any(all(words not in one for words in waiting) for one in faults):
                raise
    session = job.session if job else session
    lines = [job.describe(), job.estimate()] if job else waiting or [NO_DEMO]
    lines += [UNREAD] if job and lines[-1] else []
    shown = to_yaml(session.model_dump(mode="json")) if session else ""
    return "\n".join(filter(None, [f"session {session.name}" if session else "", shown, *lines]))


def find_session(name: str, script: str) -> Path:
    """Returns an existing path, else a shipped session by its name, with or without suffix.

    Raises:
        MissingFault: there is neither, with the names there are.
    """
    if Path(name).is_file():
        return Path(name)
    stems: dict[str, None] = {}  # in their order
    for folder in _session_folders(script):
        files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
        matches = [path for path in files if name in (path.name, path.stem)]
        if len(matches) > 1:
            names = ", ".join(path.name for path in matches)
            raise Fault(f"{name!r} could be any of {names}: add the suffix")
        if matches:
            return matches[0]
        stems |= dict.fromkeys(path.stem for path in files)
    if Path(name).is_dir():
        return Path(name)
    folders, hint = " or ".join(map(str, _session_folders(script))), did_you_mean(name, [*stems])
    raise MissingFault(f"no session file {name}, and none of that name in {folders}: {hint}")


def _session_folders(script: str) -> list[Path]:
    """Returns the folder of the working folder's sessions, if there is one, and that of those shipped."""
    folders = [top / "session_params" / script for top in (Path.cwd(), SHIPPED)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _init(options: argparse.Namespace) -> int:
    """Copies what is shipped into a folder, in which no file of that name may exist."""
    from saec.files import appearing

    files = [path for path in SHIPPED.glob("session_params/*/*") if path.suffix in SUFFIXES]
    copies = {
        file: Path.cwd() / options.folder / file.relative_to(SHIPPED) for file in [SHIPPED / CONFIG, *files]
    }
    if existing := sorted(path for path in copies.values() if os.path.lexists(path)):
        raise Fault(f"nothing is written, for these files exist: give another folder\n{listing(existing)}")
    for file, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with appearing(copy) as temporary:
            shutil.copyfile(file, temporary)
    print(Path(os.path.abspath(options.folder)), flush=True)
    return DONE


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
