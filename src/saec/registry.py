"""Registers named components: a session gives a name and options, a registry gives the code.

One rule for every component, function or class: what stands before the `*` in its signature is passed by the
program, what stands after it is an option that a session may choose. Names, types and defaults of options are
written in the signature and nowhere else.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    create_model,
)
from pydantic import model_validator as validator
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from saec.faults import did_you_mean

OF_KIND = ("_type", "_parsing", "literal_error", "pattern_mismatch")  # faults of another kind end so
WORDS = {  # of pydantic, and what stands in their place
    "^Unable to parse input string as an integer.*": "Input should be a valid integer",
    "^String should match pattern": "Input should be text like",
    ", unable to .*|, got a number .*| after validation, not .*": "",
    "a valid tuple|Tuple": "a list",
}
MOST_FAULTS, MOST_LETTERS = 100, 2000  # that a message has, whatever is given


def as_list(raw: Any) -> Any:
    """Takes what a session gives alone as a list of it."""
    return [raw] if isinstance(raw, str | int | dict) and raw != {} else raw


class Strict(BaseModel):
    """Checks plain settings: they are frozen, unknown keys are refused, every fault is reported at once."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )

    @validator(mode="wrap")
    @classmethod
    def _say_which_name_was_meant(cls, raw: Any, handler: Callable) -> Any:
        try:
            made = handler(raw)
            given = raw.items() if isinstance(raw, dict) else ()
            faults = [flag for key, value in given for flag in _flags(value, getattr(made, key, None), key)]
        except ValidationError as error:
            faults = _merged(raw, error.errors(include_url=False))
        if not faults:
            return made
        if left_out := len(faults[MOST_FAULTS:]):
            rest = {"type": "fault", "msg": f"... and {left_out:,} faults more", "loc": (), "input": None}
            faults = [*faults[:MOST_FAULTS], rest]
        raise ValidationError.from_exception_data(cls.__name__, [_fault(cls, one) for one in faults])


def stated_in(settings: Strict, plain: Callable[[], Strict], required: Iterable[str]) -> set[str]:
    """Returns the keys that are stated; where `required` are, all are spelled out: those that differ from
    what `plain` makes.
    """
    if not settings.model_fields_set.issuperset(required):
        return settings.model_fields_set
    made = plain()
    return {key for key in type(settings).model_fields if getattr(settings, key) != getattr(made, key)}


@dataclass(frozen=True)
class Of:
    """Marks an option that is used only where another option has one of these values."""

    option: str
    values: tuple[str, ...]


class Component(Strict):
    """Is a registered callable together with the checked options that a session chose for it."""

    target: ClassVar[Any]  # a callable, with attributes that an axis may expect
    options: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:  # options are fields of the classes that a registry makes

        def __getattr__(self, name: str) -> Any: ...

    def __call__(self, *given: Any) -> Any:
        return type(self).target(*given, **{option: getattr(self, option) for option in self.options})

    def unused(self) -> list[str]:
        """Returns which options were chosen though another one has them not used."""
        words = []
        for key, field in type(self).model_fields.items():
            marks = [mark for mark in field.metadata if isinstance(mark, Of)]
            for mark in marks if getattr(self, key) != field.default else ():
                if (chosen := getattr(self, mark.option)) not in mark.values:
                    of = f"`{mark.option}: {' or '.join(mark.values)}`"
                    words.append(f"{key} is of {of}, and not used by `{chosen}`")
        return words


class Registry:
    """Holds the components of one axis by the names that sessions use.

    `Annotated[Any, REGISTRY]` is the type of a session's field that holds one component of the axis.
    `given` names what the program passes to each, before the `*`; "" where that differs.
    """

    def __init__(self, axis: str, key: str = "name", base: type[Component] = Component, *, given: str = ""):
        self.axis = axis
        self.given = given
        self.key = key
        self.base = base
        self._components: dict[str, type[Component]] = {}

    def register(self, name: str, *, defaults: Mapping[str, Any] | None = None, **fixed: Any) -> Callable:
        """Enters what is decorated; `fixed` arguments make one builder serve a table of names, `defaults`
        take the place of those of the signature.
        """

        def enter(target: Callable) -> Callable:
            if name in self._components:
                raise KeyError(f"{self.axis} {name!r} is registered twice")
            self._components[name] = self._component(name, target, fixed, defaults or {})
            return target

        return enter

    def names(self) -> list[str]:
        return sorted(self._components)

    def __getitem__(self, name: str) -> type[Component]:
        return self._components[name]

    def parse(self, raw: Any) -> Any:
        """Turns `name`, or `{name: ..., option: ...}`, into a checked component of the axis's class.

        Raises:
            ValueError: the name is unknown, or (as `pydantic.ValidationError`) its options are not right.
        """
        if isinstance(raw, Component):
            return raw
        given = {self.key: raw} if isinstance(raw, str) else raw
        if not isinstance(given, dict) or self.key not in given:
            raise ValueError(f"must be the {self.axis}'s name or a mapping with `{self.key}`, got {raw!r}")
        name = given[self.key]
        if not isinstance(name, str) or name not in self._components:
            raise ValueError(f"unknown {self.axis} {name!r}, {did_you_mean(name, self.names())}")
        return self._components[name].model_validate(given)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(Annotated[SerializeAsAny[Component], PlainValidator(self.parse)])

    def _component(
        self, name: str, target: Callable, fixed: dict[str, Any], defaults: Mapping[str, Any]
    ) -> type[Component]:
        signature = inspect.signature(target, eval_str=True)
        parameters = signature.parameters.values()
        options = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in fixed]
        self._require_fitting(name, signature, options, fixed)
        own: dict[str, Any] = {p.name: ... if p.default is p.empty else p.default for p in options}
        fields: dict[str, Any] = {p.name: (p.annotation, {**own, **defaults}[p.name]) for p in options}
        named: dict[str, Any] = {self.key: (Literal[name], name)}
        component = create_model(name, __base__=self.base, **named, **fields)
        component.target = staticmethod(partial(target, **fixed) if fixed else target)
        component.options = tuple(fields)
        component.__doc__ = inspect.getdoc(target)
        return component

    def _require_fitting(
        self, name: str, signature: inspect.Signature, options: list[inspect.Parameter], fixed: dict[str, Any]
    ) -> None:
        """Raises an error where the program could not call this, or a session not choose its options."""
        who, taken = f"{self.axis} {name!r}", {self.key, *self.base.model_fields, *self.base.__class_vars__}
        for option in options:
            if option.name in taken or hasattr(self.base, option.name):
                raise NameError(f"{who}: an option cannot be called {option.name!r}")
            if option.annotation is option.empty:
                raise TypeError(f"{who}: the option `{option.name}` needs a type, as `n: int = 8`")
        before = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        further = before[len(self.given.split()) :]  # the others are passed, default or not
        chosen = [p.name for p in further if p.default is not p.empty and p.name not in fixed]
        if chosen and not options:
            raise TypeError(f"{who}: options stand after a `*`: write `*, {chosen[0]}`")
        if self.given:
            try:
                signature.bind(*self.given.split(), **{p.name: None for p in options}, **fixed)
            except TypeError as error:
                words = f"the program passes ({self.given.replace(' ', ', ')}), and options after a `*`"
                raise TypeError(f"{who}: {words}: {error}") from None


def sentences(error: ValidationError) -> list[str]:
    """Returns the faults of settings, each with its key."""
    faults = [
        (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))
        for fault in error.errors()
    ]
    return [f"{key}: {message}" if key else message for key, message in faults]


def import_submodules(package: str, path: list[str]) -> None:
    """Imports every file of a package, so that each one registers what it defines."""
    for module in iter_modules(path):
        import_module(f"{package}.{module.name}")


def _flags(raw: Any, made: Any, *path: str | int) -> list[dict[str, Any]]:
    """Returns a fault for each yes or no that was taken as a number."""
    if isinstance(raw, list | tuple) and isinstance(made, tuple):
        raw, made = dict(enumerate(raw)), dict(enumerate(made))
    if isinstance(raw, dict) and isinstance(made, dict) and raw.keys() == made.keys():
        return [flag for key in raw for flag in _flags(raw[key], made[key], *path, key)]
    is_flag = isinstance(raw, bool) and type(made) in (int, float)
    return [{"type": "bool", "msg": "must be a number", "loc": path, "input": raw}] if is_flag else []


def _merged(raw: Any, errors: list[Any]) -> list[Any]:
    """Returns one fault for each value, where a type has alternatives with a fault for each."""
    merged: dict[tuple, dict[str, Any]] = {}
    for error in errors:
        if error["type"] not in ("fault", "value_error"):
            for pattern, words in WORDS.items():
                error["msg"] = re.sub(pattern, words, error["msg"])
        error["loc"] = path = error["loc"] if error["type"] == "fault" else _keys(raw, error)
        first = merged.setdefault(path, error)
        if not first["type"].endswith(OF_KIND):
            continue
        if not error["type"].endswith(OF_KIND):
            merged[path] = error  # that alternative was meant
        elif error["msg"] not in first["msg"]:
            first["msg"] += " or " + error["msg"].removeprefix("Input should be ")
    inner = {path[:n] for path in merged for n in range(1, len(path))}  # alternatives that were meant
    return [error for path, error in merged.items() if path not in inner]


def _keys(raw: Any, error: dict[str, Any]) -> tuple[str | int, ...]:
    """Returns where a fault is, without names of a type's alternatives, which are no keys."""
    value, path = raw, tuple[Any, ...]()
    for part in error["loc"]:
        with suppress(TypeError, LookupError):
            value, path = value[part], (*path, part)
    return (*path, error["loc"][-1]) if error["type"] == "missing" else path or error["loc"]


def _fault(section: type[BaseModel], fault: dict[str, Any]) -> InitErrorDetails:
    """Returns the fault in words that help: an unknown key comes with the nearest right one."""
    message, path = fault["msg"].removeprefix("Value error, "), fault["loc"]
    if fault["type"] == "extra_forbidden" and len(path) == 1:
        message = f"unknown key, {did_you_mean(path[0], list(section.model_fields))}"
    elif fault["type"] == "missing":
        message = "is missing"
    elif fault["type"] == "model_type":
        message = f"must be a mapping of keys to values, got {fault['input']!r}"
    elif fault["type"] not in ("fault", "value_error"):
        message = f"{message[0].lower()}{message[1:]}, got {fault['input']!r}"
    error = PydanticCustomError("fault", "{message}", {"message": message[:MOST_LETTERS]})
    return InitErrorDetails(type=error, loc=path, input=fault["input"])
