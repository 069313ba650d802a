"""Session files become sessions: every fault is said at once, no path is touched."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from saec.documents import read_mapping, read_value
from saec.faults import Fault
from saec.session.base import Session, SessionError

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
        raw = kind.upgrade(raw)
        defaults = {key: field.default for key, field in kind.model_fields.items()}
        return kind.model_validate(changed(raw, changes, defaults)).named(name)
    except ValidationError as error:
        raise SessionError(place, [_sentence(fault) for fault in error.errors()]) from error


def _sentence(fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


SCRATCH = "scratch"  # what `start` may be: a word, but no component's name


def changed(raw: dict[str, Any], changes: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with the changes put in; a component given by name, or left out, becomes a mapping.

    Raises:
        Fault: a change is no `key.path=value`, or its value no YAML.
    """
    raw = deepcopy(raw)
    for change in changes:
        path, found, text = change.partition("=")
        if not found or not all(path.split(".")):
            raise Fault(f"--set expects key.path=value, got {change!r}")
        *above, last = path.split(".")
        section = raw
        for key in above:
            inner = section.get(key, defaults.get(key) if section is raw else None)
            inner = {"name": inner} if isinstance(inner, str) and inner != SCRATCH else inner
            section[key] = dict(inner) if isinstance(inner, dict) else {}
            section = section[key]
        section[last] = read_value(text, f"--set {change}")
    return raw
