"""Reads session and config files strictly (JSON, safe YAML); every fault names line and column."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from saec.faults import Fault, MissingFault


def read_mapping(path: Path) -> dict[str, Any]:
    """Reads a JSON (`.json`) or YAML (anything else) file that holds one mapping.

    Raises:
        MissingFault: there is no such file.
        Fault: it is not UTF-8, not JSON or YAML (with line and column), repeats a key, or holds no mapping.
    """
    if path.is_dir():
        raise MissingFault(f"{path} is a folder, a file is expected")
    if not path.is_file():
        raise MissingFault(f"no such file: {path}")
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


def read_value(text: str, source: str) -> Any:
    """Reads YAML; `source` says in messages where it comes from."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader, see below
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = " (a Windows path needs no quotes, or single ones)" if "escape" in str(error.problem) else ""
        raise Fault(f"{source} is not YAML: {where}{error.problem or error.context}{hint}") from error
    except yaml.YAMLError as error:
        raise Fault(f"{source} is not YAML: {error}") from error


def _parse_json(text: str, path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, n in Counter(key for key, _ in pairs).items():
            if n > 1:
                raise Fault(f"{path}: the key {key!r} is given twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Fault(f"{path} is not JSON: {where}: {error.msg} (JSON has no comments; YAML has)") from error


class _Loader(yaml.SafeLoader):
    """Reads underscored digits as text (a run's timestamp is no number), 1e-3 as a number, keys only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.MarkedYAMLError(None, None, f"a key must be text, got {name!r}", key.start_mark)
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


_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$"
    r"|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)

_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for reader in (_Loader, _Dumper):  # what is written is quoted where our rule or YAML's would misread it
    reader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    reader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
