"""A registry turns a signature into checked options, and says what is wrong with them in words."""

import re
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
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
    assert singers["wren"].__doc__ == "Small and loud." and singers.names() == ["crow", "wren"]


def test_one_function_serves_two_names_with_defaults_of_their_own(singers):
    @singers.register("linnet", defaults={"volume": 0.2})
    @singers.register("siskin")
    def small(length: int, *, volume: Annotated[float, Field(gt=0)] = 0.5, seed: int = 0) -> tuple:
        """Sings."""
        return volume, seed

    assert singers.parse("linnet").model_dump() == {"name": "linnet", "volume": 0.2, "seed": 0}
    assert singers.parse("siskin")(1) == (0.5, 0)
    assert singers.parse({"name": "linnet", "volume": 1})(1) == (1, 0)


def test_functions_and_classes_are_components_that_get_the_rest_from_the_program(singers):
    assert singers.parse({"name": "wren", "volume": 2})(7) == (7, 2.0, "gay")
    crow = singers.parse({"name": "crow", "verses": [2, 3]})(1)
    assert (crow.verses, crow.seed) == ((1, 2, 3), None)


def test_a_name_alone_means_all_defaults_and_a_component_is_taken_as_it_is(singers):
    wren = singers.parse("wren")
    assert wren == singers.parse({"name": "wren"}) and singers.parse(wren) is wren
    assert wren.model_dump() == {"name": "wren", "volume": 0.5, "mood": "gay"}
    with pytest.raises(ValidationError, match="frozen"):
        wren.volume = 3


@pytest.mark.parametrize("raw", [None, 3, True, ["wren"], {}, {"volume": 1}])
def test_what_is_no_component_is_refused_with_what_was_expected(singers, raw):
    words = f"must be the singer's name or a mapping with `name`, got {raw!r}"
    with pytest.raises(ValueError, match=re.escape(words)):
        singers.parse(raw)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wern", "unknown singer 'wern', did you mean 'wren'?"),
        ("ostrich", "unknown singer 'ostrich', choose from crow, wren"),
        (None, "unknown singer None, choose from crow, wren"),
        (["wren"], "unknown singer ['wren']"),
        ({}, "unknown singer {}"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all_there_are(singers, name, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        singers.parse({"name": name})


def test_every_option_that_is_wrong_is_named_at_once(singers):
    with pytest.raises(ValidationError) as caught:
        singers.parse({"name": "wren", "volum": 1, "volume": -1, "mood": "angry"})
    faults = words_of(caught.value)
    assert set(faults) == {"volum", "volume", "mood"}
    assert faults["volum"] == "unknown key, did you mean 'volume'?"
    assert faults["volume"] == "input should be greater than 0, got -1"
    assert "'gay' or 'sad'" in faults["mood"] and "got 'angry'" in faults["mood"]


@pytest.mark.parametrize(
    ("raw", "faults"),
    [
        ({"name": "wren", "xyz": 1}, {"xyz": "unknown key, choose from name, volume, mood"}),
        ({"name": "wren", "length": 7}, {"length": "unknown key, choose from name, volume, mood"}),
        ({"name": "crow"}, {"verses": "is missing"}),
    ],
)
def test_an_unknown_key_like_no_other_names_all_there_are_and_a_missing_one_is_named(singers, raw, faults):
    with pytest.raises(ValidationError) as caught:
        singers.parse(raw)
    assert words_of(caught.value) == faults


@pytest.mark.parametrize("value", ["loud", None, [1], {"a": 1}, float("nan"), float("inf")])
def test_a_value_of_the_wrong_kind_is_named_with_what_came(singers, value):
    with pytest.raises(ValidationError) as caught:
        singers.parse({"name": "wren", "volume": value})
    assert words_of(caught.value)["volume"].endswith(f"got {value!r}")


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("*, width=1", "the option `width` needs a type"),
        ("width: int = 1", "options stand after a `*`: write `*, width`"),
        ("pitch: int, *, width: int = 1", "the program passes (length), and options after a `*`: missing a"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_at_registration(options, words):
    namespace = {}
    exec(f"def wren(length: int, {options}) -> int: ...", namespace)
    with pytest.raises(TypeError, match=re.escape(f"singer 'wren': {words}")):
        Registry("singer", given="length").register("wren")(namespace["wren"])
    Registry("singer", given="length").register("lark")(lambda length=1: length)  # it is passed


def test_another_key_and_base_may_carry_the_name_and_no_option_hides_what_the_base_says():
    class Placed(Component):
        position: str

    registry = Registry("data kind", key="kind", base=Placed)

    @registry.register("sounds")
    def sounds(folder: str, *, rate: int = 8000) -> tuple[str, int]:
        return folder, rate

    parsed = registry.parse({"kind": "sounds", "position": "here"})
    assert parsed.position == "here" and parsed("there") == (
        "there",
        8000,
    )  # what the base says is not passed on
    with pytest.raises(ValueError, match="a mapping with `kind`, got {'name': 'sounds'}"):
        registry.parse({"name": "sounds"})

    def hiding(folder: str, *, position: str = "") -> None: ...

    with pytest.raises(NameError, match="an option cannot be called 'position'"):
        registry.register("hiding")(hiding)


def test_a_section_names_the_path_to_faults_of_its_components_and_is_written_whole(singers):
    class Concert(Strict):
        first: Annotated[Any, singers] = "wren"
        second: Annotated[Any, singers] | None = None
        n_songs: int = 1

    assert Concert().first == singers.parse("wren")
    with pytest.raises(ValidationError) as caught:
        Concert.model_validate({"first": {"name": "wren", "mod": 1}, "second": "cow", "n_songs": "x", "z": 1})
    faults = words_of(caught.value)
    assert set(faults) == {"first.mod", "second", "n_songs", "z"}
    assert faults["first.mod"] == "unknown key, did you mean 'mood'?"
    assert faults["second"] == "unknown singer 'cow', did you mean 'crow'?"
    crow = {"name": "crow", "verses": [1], "seed": None}
    written = Concert(first=crow).model_dump(mode="json")
    assert written == {"first": crow, "second": None, "n_songs": 1}
    assert Concert.model_validate(written).first.verses == (1,)


@pytest.mark.parametrize(
    ("axis", "given", "words"),
    [
        (OPTIMIZERS, "adam warmup=0.2 factor=0.1", "warmup is of `schedule: warmup_cosine or linear`"),
        (OPTIMIZERS, "sgd schedule=linear warmup=0.2 factor=0.2", "factor is of `schedule: plateau`"),
        (OPTIMIZERS, "lars schedule=plateau factor=0.2 plateau_patience=3", ""),
        (OPTIMIZERS, "adamw plateau_patience=3", "plateau_patience is of `schedule: plateau`"),
        (OBJECTIVES, "contrastive variant=barlow variance=1", "variance is of `variant: vicreg`"),
        (OBJECTIVES, "sparse_reconstruction alpha_max=0.5", "alpha_max is of `schedule: step or step"),
        (OBJECTIVES, "sparse_reconstruction alpha_max=0.5 schedule=step", ""),
    ],
)
def test_an_option_that_another_one_has_not_used_is_named_unless_it_is_as_it_was(axis, given, words):
    name, *options = given.split()
    values = {key: yaml.safe_load(text) for key, text in (option.split("=") for option in options)}
    unused = axis.parse({"name": name} | values).unused()
    assert len(unused) == bool(words) and "".join(unused).startswith(words)
