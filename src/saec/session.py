"""What a session file may say. All of it is checked here, before any data are read; no path is touched."""

import os
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from saec.data import DATA, VIEWS
from saec.devices import Precision
from saec.documents import read_mapping, read_value
from saec.faults import Fault
from saec.features import POOLINGS
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.preparation import Preparation
from saec.registry import Strict
from saec.upgrade import upgrade_extraction, upgrade_training

Weights = Literal["best", "last"]
Count = Annotated[int, Field(gt=0)]
WINDOWS_PATH = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")


class SessionError(Fault, ValueError):
    """A session that cannot be run, with every fault it has."""

    def __init__(self, source: str, faults: Sequence[str]):
        self.faults = list(faults)
        count = f"{len(self.faults)} faults" if len(self.faults) > 1 else "a fault"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {fault}" for fault in self.faults)]))


class Session(Strict):
    """Settings read from one file; its stem is the session's name."""

    _name: str = PrivateAttr("session")

    @property
    def name(self) -> str:
        return self._name

    def named(self, name: str) -> Self:
        copy = self.model_copy()
        copy._name = re.sub(r"[^\w.-]", "_", name)
        return copy

    def but(self, **changes: Any) -> Self:
        """The same session with other values."""
        return self.model_copy(update=changes).named(self.name)


class TrainingOptions(Strict):
    epochs: Count = 10
    batch_size: Count = 8
    patience: Count | None = None
    seed: int = Field(0, ge=0)
    precision: Precision = "auto"
    tensorboard: bool = False
    export: bool = False


class WeightsOf(Strict):
    """A start from trained weights; the first `freeze` blocks of the encoder stay as they are."""

    weights_of: str
    weights: Weights = "best"
    freeze: int = Field(0, ge=0)


class TrainingSession(Session):
    data: DATA.field
    views: VIEWS.field = "plain"
    model: MODELS.field | None = None
    objective: OBJECTIVES.field = "reconstruction"
    optimizer: OPTIMIZERS.field = "adam"
    training: TrainingOptions = TrainingOptions()
    start: Literal["scratch"] | WeightsOf = "scratch"

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if self.model is None and self.start == "scratch":
            raise ValueError(f"model: is missing, choose from {', '.join(MODELS.names())}")
        return self


class PictureFolder(Strict):
    images: str


class Reduction(Strict):
    dims: Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 4, 8, 16)
    n_neighbors: int = Field(10, ge=2)
    seed: int = Field(0, ge=0)


class ExtractionSession(Session):
    run: str
    data: PictureFolder
    weights: Weights = "best"
    pooling: POOLINGS.field = "mean_std"
    reduction: Reduction | None = Reduction()
    variant: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")
    out: str | None = None
    overwrite: bool = False
    latents: Literal["float32", "float16"] = "float32"
    precision: Precision = "auto"
    reconstructions: int = Field(64, ge=0)


class PreparationSession(Session, Preparation):
    """What `Preparation` says, from a file."""


UPGRADES: dict[type[Session], Callable[[dict[str, Any]], dict[str, Any]]] = {
    TrainingSession: upgrade_training,
    ExtractionSession: upgrade_extraction,
}


S = TypeVar("S", bound=Session)


def load_session(source: S | dict | Path | str, kind: type[S], changes: Sequence[str] = ()) -> S:
    """A session from a file, a mapping or itself; `changes` are `key.path=value` in our spelling.

    Raises:
        SessionError: with every fault there is, each with its path.
        Fault: the file is missing or is neither JSON nor YAML.
    """
    if isinstance(source, Session):
        raw, name, place = source.model_dump(mode="json"), source.name, f"session {source.name}"
    elif isinstance(source, dict):
        raw, name, place = source, "session", "the session"
    else:
        raw, name, place = read_mapping(Path(source)), Path(source).stem, str(source)
    try:
        raw = UPGRADES[kind](raw) if kind in UPGRADES else raw
        return kind.model_validate(_changed(raw, changes)).named(name)
    except ValidationError as error:
        raise SessionError(place, [_sentence(fault) for fault in error.errors()]) from error


def native(path: str, key: str) -> str:
    """The path, unless it is another system's.

    Raises:
        SessionError: a Windows path on another system, which would become a folder of that name.
    """
    if os.name != "nt" and WINDOWS_PATH.match(path):
        raise SessionError("the session", [f"{key}: {path} is a Windows path, this is another system"])
    return path


def _changed(raw: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The mapping with `key.path=value` put in; a component given by name alone becomes a mapping."""
    raw = deepcopy(raw)
    for change in changes:
        path, found, text = change.partition("=")
        if not found or not path:
            raise Fault(f"--set expects key.path=value, got {change!r}")
        *above, last = path.split(".")
        section = raw
        for key in above:
            inner = section.get(key)
            section[key] = {"name": inner} if isinstance(inner, str) else dict(inner or {})
            section = section[key]
        section[last] = read_value(text, f"--set {change}")
    return raw


def _sentence(fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else fault["msg"]
