"""What a session file may say. All of it is checked here, before any data are read; no path is touched."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from saec.changes import changed
from saec.data import DATA, VIEWS
from saec.data.fit import Fit
from saec.devices import Precision
from saec.documents import read_mapping
from saec.faults import Fault
from saec.features import POOLINGS
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.preparation import Preparation
from saec.registry import Strict
from saec.upgrade import upgrade_extraction, upgrade_training

Weights = Literal["best", "last"]
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
Count = Annotated[int, Field(gt=0, strict=True)]
Export = Annotated[Literal[False, "pt2", "onnx"], BeforeValidator(lambda raw: "pt2" if raw is True else raw)]


class SessionError(Fault, ValueError):
    """A session that cannot be run, with every fault it has."""

    def __init__(self, source: str, faults: Sequence[str]):
        self.faults = list(faults)
        count = f"{len(self.faults)} faults" if len(self.faults) > 1 else "a fault"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {fault}" for fault in self.faults)]))


def as_name(words: str) -> str:
    """The words as they may stand in the name of a folder."""
    return re.sub(r"[^\w.-]", "_", words)


class Session(Strict):
    """Settings read from one file; its stem is the session's name."""

    _name: str = PrivateAttr("session")

    @property
    def name(self) -> str:
        return self._name

    def named(self, name: str) -> Self:
        copy = self.model_copy()
        copy._name = as_name(name)
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
    export: Export = False


class WeightsOf(Strict):
    """A start from trained weights; the first `freeze` blocks of the encoder stay as they are."""

    weights_of: str
    weights: Weights = "best"
    freeze: int = Field(0, ge=0)


def _start(raw: Any) -> str | WeightsOf:
    if raw == "scratch" or isinstance(raw, WeightsOf):
        return raw
    if not isinstance(raw, dict):
        raise ValueError(f"must be `scratch` or a mapping with `weights_of`, got {raw!r}")
    return WeightsOf.model_validate(raw)


class TrainingSession(Session):
    data: DATA.field
    views: VIEWS.field = "plain"
    model: MODELS.field | None = None
    objective: OBJECTIVES.field = "reconstruction"
    optimizer: OPTIMIZERS.field = "adam"
    training: TrainingOptions = TrainingOptions()
    start: Annotated[SerializeAsAny[Literal["scratch"] | WeightsOf], PlainValidator(_start)] = "scratch"

    @field_validator("start")
    @classmethod
    def _has_a_model(cls, start: str | WeightsOf, known: ValidationInfo) -> str | WeightsOf:
        if start == "scratch" and known.data.get("model", "faulty") is None:
            raise ValueError(f"scratch needs a `model`, choose from {', '.join(MODELS.names())}")
        return start


class PictureFolder(Strict):
    """Pictures to extract from; `fit` and `skip_bad` where they are not to be as in the run."""

    images: str
    fit: Fit | None = None
    skip_bad: bool | None = None


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
    variant: str | None = None
    out: str | None = None
    overwrite: bool = False
    latents: Literal["float32", "float16"] = "float32"
    precision: Precision = "auto"
    reconstructions: int = Field(64, ge=0)

    @field_validator("variant")
    @classmethod
    def _is_a_word(cls, variant: str | None) -> str | None:
        if variant is not None and not WORD.fullmatch(variant):
            raise ValueError(f"must be one word of letters, digits and -, got {variant!r}")
        return variant


class PreparationSession(Session, Preparation):
    """What `Preparation` says, from a file."""


UPGRADES: dict[type[Session], Callable[[dict[str, Any]], dict[str, Any]]] = {
    TrainingSession: upgrade_training,
    ExtractionSession: upgrade_extraction,
}


S = TypeVar("S", bound=Session)


def load_session(
    source: S | dict | Path | str, kind: type[S], changes: Sequence[str] = (), place: str = "the session"
) -> S:
    """A session from a file, a mapping or itself; `changes` are `key.path=value` in our spelling.

    `place` is what faults of a mapping are said of.

    Raises:
        SessionError: with every fault there is, each with its path.
        Fault: the file is missing or is neither JSON nor YAML.
    """
    if isinstance(source, Session):
        raw, name, place = source.model_dump(mode="json"), source.name, f"session {source.name}"
    elif isinstance(source, dict):
        raw, name = source, "session"
    else:
        raw, name, place = read_mapping(Path(source)), Path(source).stem, str(source)
    try:
        raw = UPGRADES[kind](raw) if kind in UPGRADES else raw
        defaults = {key: field.default for key, field in kind.model_fields.items()}
        return kind.model_validate(changed(raw, changes, defaults)).named(name)
    except ValidationError as error:
        raise SessionError(place, [_sentence(fault) for fault in error.errors()]) from error


def _sentence(fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
