"""Reads what belongs to this machine alone: the folders of data, models and cache, and the device."""

import logging
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from saec.documents import read_mapping
from saec.faults import Fault, collect_faults, listing
from saec.registry import Strict, sentences

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]  # the project's folder, where this file lies in one
INSTALLED = Path(__file__).with_name("shipped")  # where a built package has a copy of the project's folders
CONFIG = Path("config", "config.yaml")
SHIPPED = INSTALLED if INSTALLED.is_dir() else ROOT  # above config and session_params
WINDOWS_PATH = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")
URL = re.compile(r"[A-Za-z][\w+.:-]+:[/\\]")  # how an address of another machine begins, also made a path
SECRET = re.compile(r":/+[^/]*:[^/]*@|^https?:/+([^/]*@|.*#)|\?")  # a password, a token
LONGEST_NAME = 255  # bytes of a file's name on any system
NAME_BYTES = 160  # of a word from which names of files are made


class Config(Strict):
    """Holds the settings of this machine; the paths are absolute after `load_config`."""

    data: Path = Path("data")
    models: Path = Path("models")
    cache: Path = Path("cache")
    cache_gb: Annotated[float, Field(gt=0)] = 20
    device: Literal["auto", "cpu", "mps", "cuda"] | Annotated[str, Field(pattern=r"^cuda:\d\d?$")] = "auto"
    workers: Literal["auto"] | Annotated[int, Field(ge=0, strict=True)] = "auto"

    @property
    def n_workers(self) -> int:
        """Returns the number of threads beside the main one, for decoding and for preparing."""
        return min(os.cpu_count() or 1, 16) if self.workers == "auto" else self.workers

    def data_path(self, path: str | Path) -> Path:
        """Returns a session's path as an absolute one; relative paths count from the data folder.

        Raises:
            Fault: it is empty, no Unicode, too long, or a Windows path on another system, where it would
                become a folder's name.
        """
        return _here(self.data, path)


def shown(text: str) -> str:
    """Returns a text without what may be a password or a token in an address."""
    return re.sub(r":/+[^/\s]*@", "://", re.sub(r"(:/+[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", text))


def require_no_secret(text: str) -> None:
    """Raises a `Fault` where a text is an address that holds more than a name."""
    if URL.match(text) and (SECRET.search(text) or "::" in text):
        raise Fault(
            "an address must be a name alone, without password, token, ? or ::, as logs and files show it: "
            "credentials come from the environment (such as AWS_ACCESS_KEY_ID)"
        )


def require_short_name(name: str) -> None:
    """Raises a `Fault` where files cannot be called by that name on some systems."""
    if len(os.fsencode(name)) > NAME_BYTES:
        raise Fault(f"{name!r} is too long for names of files: at most {NAME_BYTES} letters")


def load_config(path: Path | None = None) -> Config:
    """Reads the config; its relative paths count from the folder above the one it lies in.

    Without a path it is the config of the working folder, else of the project; without both (where the
    package is installed) it is the defaults, with folders in the working folder.

    Raises:
        Fault: a key or a value is not right.
    """
    path = path or _usual_path()
    if path is None:
        return _anchored(Config(), Path.cwd())
    file = Path(path).absolute()
    raw = read_mapping(file)
    if raw.pop("path_untrained_models", None) is not None:  # two keys of the reference
        LOG.info("%s: path_untrained_models is not used, untrained models are built when needed", file)
    if "path_trained_models" in raw:
        if "models" in raw:
            raise Fault(f"{file} gives both `models` and `path_trained_models`: keep one of them")
        raw["models"] = raw.pop("path_trained_models")
    try:
        return _anchored(Config.model_validate(raw), file.parents[1])
    except ValidationError as error:
        raise Fault(f"{file} cannot be used:\n{listing(sentences(error))}") from error


def _usual_path() -> Path | None:
    tops = [Path.cwd(), *([ROOT] if SHIPPED == ROOT else [])]
    path = next((top / CONFIG for top in tops if (top / CONFIG).is_file()), None)
    LOG.info("config %s", path or f"is not here: data, models and cache are folders of {tops[0]}")
    return path


def _here(folder: Path, path: str | Path) -> Path:
    """Returns a path from that folder as an absolute one that this system, and what it writes, can name."""
    if not str(path):
        raise Fault("a path is expected, got an empty text")
    if URL.match(str(path)):
        raise Fault(
            f"a path of this machine is expected, got an address, {str(path).partition(':')[0]}://..."
        )
    if os.name != "nt" and WINDOWS_PATH.match(str(path)):
        raise Fault(f"{path} is a Windows path, this is another system: give the path it has here")
    absolute = os.path.abspath(folder / os.path.expanduser(path))
    try:
        longest = max(Path(absolute).parts, key=lambda name: len(name.encode()))
    except UnicodeEncodeError as error:
        raise Fault(f"{absolute} has a name that is no UTF-8 text: rename it") from error
    if len(longest.encode()) > LONGEST_NAME:
        raise Fault(f"no file can be called {longest[:40]}...: names have {LONGEST_NAME} letters at most")
    return Path(absolute)


def _anchored(config: Config, folder: Path) -> Config:
    faults: list[str] = []
    given = {key: getattr(config, key) for key in ("data", "models", "cache")}
    absolute = {key: collect_faults(faults, key, _here, folder, path) for key, path in given.items()}
    if faults:
        raise Fault("the config cannot be used:\n" + listing(faults))
    return config.model_copy(update=absolute)
