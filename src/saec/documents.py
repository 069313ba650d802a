"""Reads session and config files strictly (JSON, safe YAML), bounded in size; faults name line and column."""

import json
import logging
import re
from collections import Counter
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import yaml

from saec.faults import Fault, MissingFault
from saec.files import DAMAGE, fingerprint, write_json

LOG = logging.getLogger(__name__)
MOST_BYTES, MOST_VALUES, MOST_LEVELS = 20_000_000, 1_000_000, 40
HINTS = {  # for what people write who have never met YAML, by a part of its message
    "escape": " (a Windows path needs no quotes, or single ones)",
    "'\\t'": " (that is a tab: YAML takes spaces alone)",
}
UNFIT = re.compile(r"[\0\ud800-\udfff]")  # what no path and no file can hold


def read_mapping(path: Path) -> dict[str, Any]:
    """Reads a JSON (`.json`) or YAML (anything else) file that holds one mapping.

    Raises:
        MissingFault: there is no such file.
        Fault: it is not UTF-8, not JSON or YAML (with line and column), repeats a key, holds no mapping, or
            more than a session would.
    """
    if path.is_dir():
        raise MissingFault(f"{path} is a folder, a file is expected")
    if not path.is_file():
        raise MissingFault(f"no such file: {path}")
    if path.stat().st_size > MOST_BYTES:
        raise Fault(f"{path} has more than {MOST_BYTES / 1e6:.0f} MB, which no such file has")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    content = _parse_json(text, path) if path.suffix.lower() == ".json" else read_value(text, str(path))
    if not isinstance(content, dict):
        got = "nothing" if content is None else type(content).__name__
        raise Fault(f"{path} must hold a mapping of keys to values, got {got}")
    return content


def to_yaml(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def write_cached(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with a checksum of its content."""
    write_json(path, content | {"checksum": fingerprint(content)})


def read_cached(path: Path) -> dict[str, Any] | None:
    """Returns what `write_cached` has written; None, with a word, where it is damaged: it is made anew."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "checksum" not in content:
            return None  # of version 0.1.0
        if content.pop("checksum") == fingerprint(content):
            return content
        reason = "its content is not that of its checksum"
    except DAMAGE as error:
        reason = repr(error)
    LOG.warning("%s is damaged (%s): it is made anew", path, reason)
    return None


def read_value(text: str, source: str) -> Any:
    """Reads YAML; `source` says in messages where it comes from."""
    try:
        return _bounded(yaml.load(text, Loader=_Loader), source)  # noqa: S506  a SafeLoader, see below
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = str(error.problem or error.context)
        hint = next((words for sign, words in HINTS.items() if sign in problem), "")
        raise Fault(f"{source} is not YAML: {where}{problem}{hint}") from error
    except (yaml.YAMLError, ValueError, LookupError) as error:  # such as `!!bool foo`, or 5,000 digits
        raise Fault(f"{source} is not YAML: {str(error).partition(';')[0][:500]}") from error
    except RecursionError as error:
        raise _too_deep(source) from error


def _parse_json(text: str, path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, n in Counter(key for key, _ in pairs).items():
            if n > 1:
                raise Fault(f"{path}: the key {key!r} is given twice")
        return dict(pairs)

    try:
        return _bounded(json.loads(text, object_pairs_hook=unique), str(path))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Fault(f"{path} is not JSON: {where}: {error.msg} (JSON has no comments; YAML has)") from error
    except ValueError as error:  # such as 5,000 digits
        raise Fault(f"{path} is not JSON: {str(error).partition(';')[0]}") from error
    except RecursionError as error:
        raise _too_deep(str(path)) from error


def _bounded(content: Any, source: str) -> Any:
    """Returns the content; raises a `Fault` where it is more, or deeper, than a session, or is no text."""
    todo, n = [(content, 1)], 0
    while todo:
        value, level = todo.pop()
        n += 1
        if level > MOST_LEVELS:
            raise _too_deep(source)
        if n > MOST_VALUES:
            raise Fault(f"{source} has more than {MOST_VALUES:,} values (aliases written out)")
        if isinstance(value, str) and UNFIT.search(value):
            raise Fault(f"{source} holds characters that are no text: {shortened(value)}")
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise Fault(f"{source} holds a number of too many digits: {shortened(value)}")
        if isinstance(value, dict | list):
            children = [*value, *value.values()] if isinstance(value, dict) else value
            todo += [(child, level + 1) for child in children]
    return content


def _too_deep(source: str) -> Fault:
    return Fault(f"{source} is nested more than {MOST_LEVELS} levels deep")


class _Loader(yaml.SafeLoader):
    """Reads underscored digits as text (a run's timestamp is no number), 1e-3 as a number, keys only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                got = repr(name) if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                raise yaml.MarkedYAMLError(None, None, f"a key must be text, got {got}", key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.Node:
        plain = all(isinstance(item, int | float | str | None) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)


_PLAIN = [f"tag:yaml.org,2002:{kind}" for kind in "null bool int float str seq map".split()]
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$"
    r"|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)

_Loader.yaml_constructors = {
    tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in {None, *_PLAIN}
}
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for reader in (_Loader, _Dumper):  # what is written is quoted where our rule or YAML's would misread it
    reader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    reader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
