"""Reads a session's settings from one file and checks them whole before any data; no path is touched."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
)

from saec.config import require_no_secret, require_short_name, shown
from saec.data import DATA, VIEWS
from saec.data.kind import DataOptions
from saec.devices import Precision
from saec.documents import read_mapping, read_value
from saec.faults import Fault, collect_faults
from saec.features import SettledPooling
from saec.files import as_file_name
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.registry import Component, Strict, sentences
from saec.upgrade import upgrade_training

SCRATCH = "scratch"  # a word that `start` may be, but no component's name
TORCHVISION = "torchvision"  # a word that `start.weights_from` may be
AUTO = "auto"  # a number of epochs that the size of the training set settles
Count = Annotated[int, Field(gt=0, strict=True)]


def _weights(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"last|best(_\w[\w.]*)?", raw):
        raise ValueError(f"must be best, last or best_<phase> such as best_alpha_0.25, got {raw!r}")
    return raw


Weights = Annotated[str, PlainValidator(_weights)]
Export = Annotated[
    Literal[False, "pt2", "onnx", "torchscript"], BeforeValidator(lambda raw: "pt2" if raw is True else raw)
]


class SessionError(Fault, ValueError):
    """Is raised with all faults of a session that cannot be run."""

    def __init__(self, source: str, faults: Sequence[str]):
        self.faults = list(faults)
        count = f"{len(self.faults)} faults" if len(self.faults) > 1 else "a fault"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {fault}" for fault in self.faults)]))


class Session(Strict):
    """Holds settings read from one file, whose stem is the session's name."""

    _name: str = PrivateAttr("session")

    @classmethod
    def upgrade(cls, raw: dict[str, Any], ours: Collection[str] = ()) -> dict[str, Any]:
        """Returns what a file says in our spelling, whose keys are `ours`; raises `ValueError` for others."""
        return raw

    @property
    def name(self) -> str:
        return self._name

    @property
    def folders(self) -> list[str]:
        """Returns the folders that are read, as the session names them."""
        return []

    def named(self, name: str) -> Self:
        copy = self.model_copy()
        copy._name = as_file_name(name)
        return copy

    def but(self, **changes: Any) -> Self:
        """Returns the same session with other values."""
        return self.model_copy(update=changes).named(self.name)


S = TypeVar("S", bound=Session)


def load_session(
    source: S | dict | Path | str, kind: type[S], changes: Sequence[str] = (), title: str = "the session"
) -> S:
    """Returns the session of a file, of a mapping or itself, with changes `key.path=value`.

    Its name is its `name`, else the file's stem. `title` names a mapping in the message of its faults.

    Raises:
        SessionError: with every fault there is, each with its path.
        Fault: the file is missing or is neither JSON nor YAML.
    """
    if isinstance(source, Session):
        raw, name, title = source.model_dump(mode="json"), source.name, f"session {source.name}"
    elif isinstance(source, dict):
        raw, name = source, "session"
    else:
        raw, name, title = read_mapping(Path(source)), Path(source).stem, str(source)
    _require_no_secrets(raw, title)
    try:
        ours = kind.upgrade({key: value for key, value in raw.items() if key != "name"}, kind.model_fields)
        defaults = {key: field.default for key, field in kind.model_fields.items()}
        raw = changed({"name": raw.get("name", name)} | ours, changes, defaults)
        _require_no_secrets(raw, title)
        name = raw.pop("name")
        session = kind.model_validate(raw)
    except ValidationError as error:
        raise SessionError(title, sentences(error)) from error
    if not name or not isinstance(name, str):
        raise SessionError(title, [f"name: must be a word, got {name!r}"])
    require_short_name(as_file_name(name))
    return session.named(name)


def _require_no_secrets(raw: dict[str, Any], title: str) -> None:
    """Raises a `SessionError` where addresses hold a password or a token, before anything is shown."""
    faults, left = list[str](), list(raw.items())
    while left:
        key, value = left.pop(0)
        if isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{key}.{name}", one) for name, one in items]
        else:
            collect_faults(faults, key, require_no_secret, str(value))
    if faults:
        raise SessionError(title, faults)


def changed(raw: dict[str, Any], changes: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the mapping with the changes; a component that is a name, or left out, becomes a mapping.

    Raises:
        Fault: a change is no `key.path=value`, or its value no YAML.
    """
    raw = deepcopy(raw)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not all(path.split(".")):
            raise Fault(f"--set expects key.path=value, got {shown(change)!r}")
        *above, last = path.split(".")
        section = raw
        for key in above:
            inner = section.get(key, defaults.get(key) if section is raw else None)
            inner = {"name": inner} if isinstance(inner, str) and inner != SCRATCH else inner
            section[key] = dict(inner) if isinstance(inner, dict) else {}
            section = section[key]
        section[last] = read_value(text, f"--set {shown(change)}")
    return raw


def _epochs(raw: Any, as_count: Callable[[Any], int]) -> int | str:
    if isinstance(raw, str) and raw != AUTO and not raw.isdecimal():
        raise ValueError(f"must be a number of epochs, or {AUTO}, got {raw!r}")
    return raw if raw == AUTO else as_count(raw)


class ProbeOptions(Strict):
    """Says in which epochs and how a k-NN classifier scores the latents while a model trains."""

    every: Count = 1
    n_neighbors: Count = 5
    limit: Annotated[int, Field(ge=2, strict=True)] = 2_000
    pooling: SettledPooling | None = None


class TrainingOptions(Strict):
    epochs: Annotated[Count, WrapValidator(_epochs), PlainSerializer(lambda epochs: epochs)] = 10
    batch_size: Count = 8
    accumulate: Count = 1
    patience: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Precision = "auto"
    probe: ProbeOptions | None = None
    tensorboard: bool = False
    export: Export = False


def _sha256(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch("[0-9a-fA-F]{64}", raw):
        raise ValueError(f"must be 64 hexadecimal digits, got {raw!r}")
    return raw.lower()


Digest = Annotated[str, PlainValidator(_sha256)]
Frozen = NonNegativeInt | Literal["all_but_head"]  # blocks of the encoder that stay as they are


class WeightsOf(Strict):
    """Starts from trained weights; the first `freeze` blocks of the encoder stay as they are."""

    weights_of: str
    weights: Weights = "best"
    freeze: Frozen = 0


class WeightsFrom(Strict):
    """Starts from the weights of a file, or from those that torchvision publishes."""

    weights_from: Annotated[str, Field(min_length=1)]
    sha256: Digest | None = None
    freeze: Frozen = 0


def _start(raw: Any) -> str | WeightsOf | WeightsFrom:
    if raw == SCRATCH or isinstance(raw, WeightsOf | WeightsFrom):
        return raw
    if not isinstance(raw, dict):
        raise ValueError(f"must be `scratch` or a mapping with `weights_of` or `weights_from`, got {raw!r}")
    return (WeightsFrom if "weights_from" in raw else WeightsOf).model_validate(raw)


class TrainingSession(Session):
    upgrade: ClassVar = staticmethod(upgrade_training)

    data: Annotated[DataOptions, DATA]
    views: Annotated[Any, VIEWS] = "plain"
    model: Annotated[Component, MODELS] | None = None
    objective: Annotated[Any, OBJECTIVES] = "reconstruction"
    optimizer: Annotated[Any, OPTIMIZERS] = "adam"
    training: TrainingOptions = TrainingOptions()
    start: Annotated[SerializeAsAny[Literal["scratch"] | WeightsOf | WeightsFrom], PlainValidator(_start)] = (
        "scratch"
    )

    @property
    def architecture(self) -> Component:
        """Returns the model with its options, once the session is checked or that of a run."""
        assert self.model is not None  # as the check takes it from the run that the session starts from
        return self.model

    @property
    def freeze(self) -> Frozen:
        """Returns how many blocks of the encoder stay as they are; none where it starts from scratch."""
        return 0 if isinstance(self.start, str) else self.start.freeze

    @property
    def folders(self) -> list[str]:
        return [folder for folder in (self.data.train, self.data.valid) if isinstance(folder, str)]

    def with_data(self, options: dict[str, Any]) -> Self:
        """Returns the session with other options of its data, such as those that the training set settles."""
        return self.but(data=self.data.model_copy(update=options))

    @field_validator("start")
    @classmethod
    def _has_a_model(
        cls, start: str | WeightsOf | WeightsFrom, fields: ValidationInfo
    ) -> str | WeightsOf | WeightsFrom:
        if not isinstance(start, WeightsOf) and fields.data.get("model", "faulty") is None:
            what = SCRATCH if start == SCRATCH else "weights_from"
            raise ValueError(f"{what} needs a `model`, choose from {', '.join(MODELS.names())}")
        return start
