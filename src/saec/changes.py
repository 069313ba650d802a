"""Changes that a command line makes in a session: `key.path=value`, values read as YAML."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from saec.documents import read_value
from saec.faults import Fault

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
