"""A registry turns a signature into checked options, and says what is wrong with them in words."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from saec.registry import Component, Registry, Strict


@pytest.fixture
def singers() -> Registry:
    """One axis with two components, a function and a class."""
    registry = Registry("singer")

    @registry.register("wren")
    def wren(
        length: int, *, volume: Annotated[float, Field(gt=0)] = 0.5, mood: Literal["gay", "sad"] = "gay"
    ) -> tuple:
        """Small and loud."""
        return length, volume, mood

    @registry.register("crow")
    class Crow:
        def __init__(self, length: int, *, verses: tuple[int, ...], seed: int | None = None):
            self.verses, self.seed = (length, *verses), seed

    return registry


def words_of(error: ValidationError) -> dict[str, str]:
    """The faults by path."""
    return {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors()}


def test_names_types_and_defaults_of_options_come_from_the_signature(singers):
    fields = singers["wren"].model_fields
    assert list(fields) == ["name", "volume", "mood"]
    assert (fields["volume"].annotation, fields["volume"].default) == (float, 0.5)
    assert (fields["mood"].annotation, fields["mood"].default) == (Literal["gay", "sad"], "gay")
    assert singers["crow"].model_fields["verses"].is_required()


def test_what_stands_before_the_star_is_no_option_but_passed_by_the_program(singers):
    wren = singers.parse({"name": "wren", "volume": 2})
    assert wren(7) == (7, 2.0, "gay")
    with pytest.raises(ValidationError, match="unknown key"):
        singers.parse({"name": "wren", "length": 7})


def test_a_class_is_a_component_as_a_function_is(singers):
    crow = singers.parse({"name": "crow", "verses": [2, 3]})(1)
    assert (crow.verses, crow.seed) == ((1, 2, 3), None)


def test_the_docstring_comes_along(singers):
    assert singers["wren"].__doc__ == "Small and loud."


def test_a_name_alone_means_all_defaults(singers):
    assert singers.parse("wren") == singers.parse({"name": "wren"})
    assert singers.parse("wren").model_dump() == {"name": "wren", "volume": 0.5, "mood": "gay"}


def test_a_component_is_taken_as_it_is(singers):
    wren = singers.parse("wren")
    assert singers.parse(wren) is wren


def test_names_are_sorted(singers):
    assert singers.names() == ["crow", "wren"]


@pytest.mark.parametrize(
    "raw, words",
    [
        (None, "must be the singer's name or a mapping with `name`, got None"),
        (3, "must be the singer's name or a mapping with `name`, got 3"),
        (True, "must be the singer's name or a mapping with `name`, got True"),
        (["wren"], r"must be the singer's name or a mapping with `name`, got \['wren'\]"),
        ({}, "must be the singer's name or a mapping with `name`, got {}"),
        ({"volume": 1}, "must be the singer's name or a mapping with `name`, got {'volume': 1}"),
        ("wern", "unknown singer 'wern', did you mean 'wren'?"),
        ("ostrich", "unknown singer 'ostrich', choose from crow, wren"),
        ({"name": None}, "unknown singer None, choose from crow, wren"),
        ({"name": ["wren"]}, r"unknown singer \['wren'\]"),
        ({"name": {}}, "unknown singer {}"),
    ],
)
def test_what_is_no_component_is_refused_with_what_was_expected(singers, raw, words):
    with pytest.raises(ValueError, match=words):
        singers.parse(raw)


def test_every_option_that_is_wrong_is_named_at_once(singers):
    with pytest.raises(ValidationError) as caught:
        singers.parse({"name": "wren", "volum": 1, "volume": -1, "mood": "angry"})
    faults = words_of(caught.value)
    assert set(faults) == {"volum", "volume", "mood"}
    assert faults["volum"] == "unknown key, did you mean 'volume'?"
    assert faults["volume"] == "input should be greater than 0, got -1"
    assert "'gay' or 'sad'" in faults["mood"] and "got 'angry'" in faults["mood"]


def test_an_unknown_key_like_no_other_names_all_there_are(singers):
    with pytest.raises(ValidationError, match="unknown key, choose from name, volume, mood"):
        singers.parse({"name": "wren", "xyz": 1})


@pytest.mark.parametrize("value", ["loud", None, [1], {"a": 1}, float("nan"), float("inf")])
def test_a_value_of_the_wrong_kind_is_named_with_what_came(singers, value):
    with pytest.raises(ValidationError) as caught:
        singers.parse({"name": "wren", "volume": value})
    assert words_of(caught.value)["volume"].endswith(f"got {value!r}")


def test_an_option_without_default_must_be_given(singers):
    with pytest.raises(ValidationError) as caught:
        singers.parse("crow")
    assert words_of(caught.value) == {"verses": "is missing"}


def test_options_cannot_be_changed_afterwards(singers):
    with pytest.raises(ValidationError, match="frozen"):
        singers.parse("wren").volume = 3


def test_fixed_arguments_are_no_options_and_one_builder_serves_many_names():
    registry = Registry("model")
    for name, width in (("narrow", 1), ("wide", 9)):

        @registry.register(name, width=width)
        def build(n: int, *, width: int, depth: int = 2) -> tuple[int, int, int]:
            return n, width, depth

    assert list(registry["wide"].model_fields) == ["name", "depth"]
    assert registry.parse("narrow")(5) == (5, 1, 2)
    assert registry.parse({"name": "wide", "depth": 3})(5) == (5, 9, 3)
    with pytest.raises(ValidationError, match="unknown key"):
        registry.parse({"name": "wide", "width": 1})


def test_a_name_is_registered_once(singers):
    with pytest.raises(KeyError, match="singer 'wren' is registered twice"):
        singers.register("wren")(lambda: None)


@pytest.mark.parametrize("option", ["name", "copy", "json", "schema", "options", "target"])
def test_an_option_that_would_hide_something_is_refused_at_registration(option):
    namespace = {}
    exec(f"def wren(length: int, *, {option}: int = 1) -> int: ...", namespace)
    with pytest.raises(NameError, match=f"singer 'wren': an option cannot be called '{option}'"):
        Registry("singer").register("wren")(namespace["wren"])


def test_an_option_that_would_hide_what_the_base_says_is_refused():
    class Placed(Component):
        place: str

    def sounds(folder: str, *, place: str = "") -> None: ...

    with pytest.raises(NameError, match="an option cannot be called 'place'"):
        Registry("data kind", key="kind", base=Placed).register("sounds")(sounds)


def test_another_key_and_base_may_carry_the_name():
    class Placed(Component):
        place: str

    registry = Registry("data kind", key="kind", base=Placed)

    @registry.register("sounds")
    def sounds(folder: str, *, rate: int = 8000) -> tuple[str, int]:
        return folder, rate

    found = registry.parse({"kind": "sounds", "place": "here"})
    assert found.place == "here" and found("there") == ("there", 8000)  # what the base says is not passed on
    with pytest.raises(ValueError, match="a mapping with `kind`, got {'name': 'sounds'}"):
        registry.parse({"name": "sounds"})


def test_a_section_that_holds_a_component_names_the_path_to_its_faults(singers):
    class Concert(Strict):
        first: singers.field = "wren"
        second: singers.field | None = None
        n_songs: int = 1

    assert Concert().first == singers.parse("wren")
    with pytest.raises(ValidationError) as caught:
        Concert.model_validate({"first": {"name": "wren", "mod": 1}, "second": "cow", "n_songs": "x", "z": 1})
    faults = words_of(caught.value)
    assert set(faults) == {"first.mod", "second", "n_songs", "z"}
    assert faults["first.mod"] == "unknown key, did you mean 'mood'?"
    assert faults["second"] == "unknown singer 'cow', did you mean 'crow'?"


def test_a_section_keeps_the_options_of_its_component_when_written(singers):
    class Concert(Strict):
        first: singers.field

    written = Concert(first={"name": "crow", "verses": [1]}).model_dump(mode="json")
    assert written == {"first": {"name": "crow", "verses": [1], "seed": None}}
    assert Concert.model_validate(written).first.verses == (1,)
