"""Session files are read strictly, and what is written is read back as it was."""

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


def test_windows_line_ends_are_no_content(file):
    assert read_mapping(file("a: 1\r\nb: x\r\n")) == {"a": 1, "b": "x"}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFault, match="no such file: .*nowhere.yaml"):
        read_mapping(tmp_path / "nowhere.yaml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(MissingFault, match="is a folder, a file is expected"):
        read_mapping(tmp_path)


@pytest.mark.parametrize("text", [b"a: \xe9", "a: 1".encode("utf-16")])
def test_what_is_not_utf8_is_refused_with_the_remedy(file, text):
    with pytest.raises(Fault, match=r"is not UTF-8 text \(byte \d+\): save it as UTF-8"):
        read_mapping(file(text))


@pytest.mark.parametrize(
    "text, kind", [("- a\n- b", "list"), ("hello", "str"), ("", "nothing"), ("# only a comment", "nothing")]
)
def test_what_is_no_mapping_is_refused_with_what_came(file, text, kind):
    with pytest.raises(Fault, match=f"session.yaml must hold a mapping of keys to values, got {kind}"):
        read_mapping(file(text))


@pytest.mark.parametrize(
    "name, text, place",
    [
        ("s.yaml", "a: 1\nb: [1, 2\nc: 3", "line 3, column 2"),
        ("s.yaml", "a: 1\n\tb: 2", "line 2, column 1"),
        ("s.yaml", "a: x: y", "line 1, column 5"),
        ("s.json", '{"a": 1,\n "b": 2,}', "line 2, column 9"),
        ("s.json", '{"a": 1\n // comment\n}', "line 2, column 2"),
        ("s.json", "", "line 1, column 1"),
    ],
)
def test_syntax_errors_name_line_and_column(file, name, text, place):
    path = file(text, name)
    with pytest.raises(Fault, match=f"{name} is not (YAML|JSON): {place}: .+"):
        read_mapping(path)


def test_control_characters_are_a_fault(file):
    with pytest.raises(Fault, match="session.yaml is not YAML"):
        read_mapping(file("a: \x00"))


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system"])
def test_yaml_makes_no_objects(file, text):
    with pytest.raises(Fault, match="could not determine a constructor"):
        read_mapping(file(f"a: {text}"))


@pytest.mark.parametrize(
    "name, text",
    [
        ("s.json", '{"a": {"epochs": 1, "seed": 2, "epochs": 3}}'),
        ("s.yaml", "a:\n  epochs: 1\n  seed: 2\n  epochs: 3"),
        ("s.yaml", "a: {epochs: 1, seed: 2, 'epochs': 3}"),
    ],
)
def test_a_repeated_key_is_a_fault_that_names_it(file, name, text):
    with pytest.raises(Fault, match=f"{name}.*the key 'epochs' is given twice"):
        read_mapping(file(text, name))


def test_the_place_of_a_repeated_key_is_said(file):
    with pytest.raises(Fault, match="line 3, column 1: the key 'a' is given twice"):
        read_mapping(file("a: 1\nb: 2\na: 3"))


@pytest.mark.parametrize("key", ["1", "null", "true", "1.5", "[a]"])
def test_a_key_that_is_no_text_is_a_fault_with_its_place(file, key):
    with pytest.raises(Fault, match="line 2, column 1: a key must be text"):
        read_mapping(file(f"a: 1\n{key}: 2"))


@pytest.mark.parametrize(
    "text, value",
    [
        ("20250617_131810", "20250617_131810"),
        ("1_000", "1_000"),
        ("2025-06-17", "2025-06-17"),
        ("12:30:15", "12:30:15"),
        ("0x1F", "0x1F"),
        ("007", "007"),
        ("latest:demo", "latest:demo"),
        (r"C:\songs\new", r"C:\songs\new"),
        (r"'C:\songs\new'", r"C:\songs\new"),
        ("20250617", 20250617),
        ("-3", -3),
        ("0", 0),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2.5e+1", -25.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("null", None),
        ("", None),
        ("[2, 4, 1e-3]", [2, 4, 0.001]),
        ("{name: adam, clip: null}", {"name": "adam", "clip": None}),
    ],
)
def test_plain_values_are_what_a_reader_takes_them_for(text, value):
    found = read_value(text, "--set")
    assert found == value and type(found) is type(value)


def test_a_value_from_the_command_line_that_is_no_yaml_names_its_source():
    with pytest.raises(Fault, match=r"--set a=\[ is not YAML: line 1, column"):
        read_value("[", "--set a=[")


def test_a_windows_path_in_double_quotes_is_explained(file):
    with pytest.raises(
        Fault, match=r"line 1, column \d+: .*escape.*a Windows path needs no quotes, or single"
    ):
        read_mapping(file(r'train: "C:\songs\new"'))


def test_an_alias_repeats_what_it_names(file):
    assert read_mapping(file("a: &x [1, 2]\nb: *x")) == {"a": [1, 2], "b": [1, 2]}


TEXTS = ["20250617_131810", "1e-3", "1", "1_000", "1.5", "true", "no", "null", "~", "", " a ", "2025-06-17"]
TEXTS += [
    "12:30:15",
    "0x1F",
    "1:2",
    "a: b",
    "# a",
    "é 鸟",
    "line\nline",
    r"C:\a",
    '"',
    "'",
    "-",
    "[a",
    "=",
    "<<",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_the_same_text_through_yaml(file, text):
    content = {"a": text, "b": [text, text], "c": {"d": text}}
    assert read_mapping(file(to_yaml(content))) == content


@pytest.mark.parametrize("value", [0, -7, 1e-3, 0.1, 1e300, 5e-324, 1.0, True, None, [], {}, [[1, 2], [3]]])
def test_values_stay_the_same_values_through_yaml(file, value):
    found = read_mapping(file(to_yaml({"a": value})))["a"]
    assert found == value and type(found) is type(value)


def test_keys_keep_their_order_and_plain_lists_stand_on_one_line():
    assert to_yaml({"z": 1, "a": [2, 4, 8], "m": {"k": None}}) == "z: 1\na: [2, 4, 8]\nm:\n  k: null\n"


def test_what_is_used_twice_is_written_twice():
    same = [1, 2]
    assert "&" not in to_yaml({"a": same, "b": same})
