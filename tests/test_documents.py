"""Session files are read strictly, and what is written is read back as it was."""

from itertools import pairwise
from pathlib import Path

import pytest

from saec.documents import read_mapping, read_value, to_yaml
from saec.faults import Fault, MissingFault


@pytest.fixture
def file(tmp_path):
    """Writes a session file of that name and text (or bytes), and returns its path."""

    def write(content: str | bytes, name: str = "session.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["without BOM", "with BOM"])
@pytest.mark.parametrize(
    "name, text", [("s.json", '{"a": "é"}'), ("s.yaml", "a: é"), ("s.yml", '{"a": "é"}')]
)
def test_json_and_yaml_are_read_with_or_without_byte_order_mark(file, mark, name, text):
    assert read_mapping(file(mark + text.encode(), name)) == {"a": "é"}


def test_the_suffix_decides_in_any_case_of_letters(file):
    assert read_mapping(file('{"a":\t1}', "S.JSON")) == {"a": 1}
    with pytest.raises(Fault, match="S.JSON is not JSON"):
        read_mapping(file("a: 1", "S.JSON"))


def test_windows_line_ends_and_aliases_are_read(file):
    assert read_mapping(file("a: 1\r\nb: x\r\n")) == {"a": 1, "b": "x"}
    assert read_mapping(file("a: &x [1, 2]\nb: *x")) == {"a": [1, 2], "b": [1, 2]}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFault, match="no such file: .*nowhere.yaml"):
        read_mapping(tmp_path / "nowhere.yaml")
    with pytest.raises(MissingFault, match="is a folder, a file is expected"):
        read_mapping(tmp_path)


MAPPING = "must hold a mapping of keys to values, got"
OBJECTS = "could not determine a constructor"
DEEP = "is nested more than 40 levels deep"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(  # nine levels: 9 ** 9 values
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghi")
)
TWICE = "the key 'epochs' is given twice"
FAULTS = [
    ("s.yaml", b"a: \xe9", r"is not UTF-8 text \(byte \d+\): save it as UTF-8"),
    ("s.yaml", "a: 1".encode("utf-16"), r"is not UTF-8 text \(byte \d+\): save it as UTF-8"),
    ("s.yaml", "- a\n- b", f"{MAPPING} list"),
    ("s.yaml", "hello", f"{MAPPING} str"),
    ("s.yaml", "", f"{MAPPING} nothing"),
    ("s.yaml", "# only a comment", f"{MAPPING} nothing"),
    ("s.yaml", "a: 1\nb: [1, 2\nc: 3", "is not YAML: line 3, column 2: ."),
    ("s.yaml", "a: 1\n\tb: 2", "is not YAML: line 2, column 1: ."),
    ("s.yaml", "a: x: y", "is not YAML: line 1, column 5: ."),
    ("s.json", '{"a": 1,\n "b": 2,}', "is not JSON: line 2, column 9: ."),
    ("s.json", '{"a": 1\n // comment\n}', "is not JSON: line 2, column 2: ."),
    ("s.json", "", "is not JSON: line 1, column 1: ."),
    ("s.yaml", "a: \x00", "is not YAML"),
    ("s.yaml", "a: !!python/object/apply:os.system ['true']", OBJECTS),
    ("s.yaml", "a: !!python/name:os.system", OBJECTS),
    ("s.json", '{"a": {"epochs": 1, "seed": 2, "epochs": 3}}', TWICE),
    ("s.yaml", "a:\n  epochs: 1\n  seed: 2\n  epochs: 3", TWICE),
    ("s.yaml", "a: {epochs: 1, seed: 2, 'epochs': 3}", TWICE),
    ("s.yaml", "a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is given twice"),
    *(("s.yaml", f"a: 1\n{key}: 2", "line 2, .*a key must be text") for key in "1 null 1.5 true [a]".split()),
    ("s.yaml", "a: !!timestamp x", OBJECTS),
    ("s.yaml", "a: !!binary x", OBJECTS),
    *(("s.yaml", f"a: !!{value}", "is not YAML: .") for value in ("bool foo", "int ''", "float x", "map x")),
    *((f"s.{kind}", '{"a": ' + "9" * 5000 + "}", "is not .*: .*digits") for kind in ("yaml", "json")),
    *((f"s.{kind}", '{"a": ' + "9" * 20 + "}", "a number of too many digits") for kind in ("yaml", "json")),
    *(
        (f"s.{kind}", '{"a": ' + "[" * n + "]" * n + "}", DEEP)
        for kind in ("yaml", "json")
        for n in (40, 9999)
    ),
    ("s.yaml", "a: &a [*a]", DEEP),
    ("s.yaml", LAUGHS, r"has more than 1,000,000 values \(aliases written out\)"),
    ("s.yaml", LAUGHS + "? *i\n: 1", "line 9, .*a key must be text, got a sequence$"),
    ("s.yaml", "a: " + " " * 20_000_000, "has more than 20 MB"),
    ("s.json", r'{"a": "\ud800"}', r"characters that are no text: '\\ud800'"),
    ("s.json", r'{"a\u0000": 1}', "characters that are no text"),
    ("s.yaml", r'a: "\0"', "characters that are no text"),
    ("s.yaml", "a: 1\n\tb: 2", r"line 2, column 1: .*\(that is a tab: YAML takes spaces alone\)$"),
    ("s.yaml", r'train: "C:\songs\new"', r"line 1, column \d+: .*escape.*a Windows path needs no quotes, or"),
]


@pytest.mark.parametrize(("name", "content", "words"), FAULTS)
def test_what_cannot_be_read_is_refused_with_what_came_and_where(file, name, content, words):
    with pytest.raises(Fault, match=f"{name}.*{words}"):
        read_mapping(file(content, name))


SAME = "20250617_131810 1_000 2025-06-17 12:30:15 0x1F 007 latest:demo".split() + [r"C:\songs\new"]
VALUES = {text: text for text in SAME} | {
    r"'C:\songs\new'": r"C:\songs\new",
    **{"20250617": 20250617, "-3": -3, "0": 0, "1e-3": 0.001, "1E5": 1e5, "-2.5e+1": -25.0, ".5": 0.5},
    **{"1.": 1.0, "true": True, "null": None, "": None, "[2, 4, 1e-3]": [2, 4, 0.001]},
    "{name: adam, clip: null}": {"name": "adam", "clip": None},
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_plain_values_are_what_a_reader_takes_them_for(text, value):
    result = read_value(text, "--set")
    assert result == value and type(result) is type(value)


def test_a_value_from_the_command_line_that_is_no_yaml_names_its_source():
    with pytest.raises(Fault, match=r"--set a=\[ is not YAML: line 1, column"):
        read_value("[", "--set a=[")


TEXTS = ["20250617_131810", "1e-3", "1", "1_000", "1.5", "true", "no", "null", "~", "", " a ", "2025-06-17"]
TEXTS += ["12:30:15", "0x1F", "1:2", "a: b", "# a", "é 鸟", "line\nline", r"C:\a"]
TEXTS += ['"', "'", "-", "[a", "=", "<<"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_the_same_text_through_yaml(file, text):
    content = {"a": text, "b": [text, text], "c": {"d": text}}
    assert read_mapping(file(to_yaml(content))) == content


def test_values_stay_the_same_values_through_yaml_in_their_order_and_without_aliases(file):
    for value in (0, -7, 1e-3, 0.1, 1e300, 5e-324, 1.0, True, None, [], {}, [[1, 2], [3]]):
        result = read_mapping(file(to_yaml({"a": value})))["a"]
        assert result == value and type(result) is type(value)
    assert to_yaml({"z": 1, "a": [2, 4, 8], "m": {"k": None}}) == "z: 1\na: [2, 4, 8]\nm:\n  k: null\n"
    same = [1, 2]
    assert "&" not in to_yaml({"a": same, "b": same})
