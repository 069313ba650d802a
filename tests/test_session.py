"""A session is checked whole before anything is read, and says every fault with its path."""

from pathlib import Path

import pytest
import yaml
from conftest import TINY, extraction_session, training_session

from saec.documents import read_mapping, to_yaml
from saec.extraction import ExtractionSession
from saec.faults import Fault
from saec.models import MODELS
from saec.registry import Component
from saec.report import EvaluationSession
from saec.session import SessionError, TrainingSession, load_session

ROOT = Path(__file__).parents[1]


def faults_of(raw: dict, kind: type = TrainingSession, changes: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(SessionError) as caught:
        load_session(raw, kind, changes)
    assert str(caught.value).splitlines()[1:] == [f"  {fault}" for fault in caught.value.faults]
    return caught.value.faults


def test_what_a_session_leaves_out_has_a_default():
    raw = {"data": {"kind": "images", "train": "songs"}, "model": "compact"}
    session = load_session(raw, TrainingSession)
    names = (session.views.name, session.objective.name, session.optimizer.name)
    assert names == ("plain", "reconstruction", "adam")
    assert (session.training.epochs, session.training.batch_size, session.start) == (10, 8, "scratch")
    assert (session.data.valid, session.data.channels) == (0.1, "intensity")
    assert load_session(training_session(), TrainingSession).model.model_dump(mode="json") == TINY


def test_no_path_is_touched_when_a_session_is_loaded():
    raw = training_session(data={"kind": "images", "train": r"C:\nowhere", "valid": "/nowhere/else"})
    assert load_session(raw, TrainingSession).data.train == r"C:\nowhere"


def test_every_fault_is_reported_at_once_with_its_path_and_the_nearest_name():
    raw = training_session(
        data={"kind": "images", "train": "songs", "chanels": "rgb", "fit": "stretch"},
        views={"name": "denoise", "threshold": [0.3, 2], "treshold": 1},
        optimizer="adma",
        training={"epochs": 0, "bach_size": 3, "seed": -1, "precision": "fp16"},
        strat="scratch",
    )
    assert sorted(faults_of(raw)) == [
        "data.chanels: unknown key, did you mean 'channels'?",
        "data.fit: input should be 'none', 'pad', 'crop' or 'resize', got 'stretch'",
        "optimizer: unknown optimizer 'adma', did you mean 'adam'?",
        "strat: unknown key, did you mean 'start'?",
        "training.bach_size: unknown key, did you mean 'batch_size'?",
        "training.epochs: input should be greater than 0, got 0",
        "training.precision: input should be 'auto', 'fp32' or 'bf16', got 'fp16'",
        "training.seed: input should be greater than or equal to 0, got -1",
        "views.threshold.1: input should be less than or equal to 1, got 2",
        "views.treshold: unknown key, did you mean 'threshold'?",
    ]


def test_the_message_begins_with_the_file_and_the_number_of_faults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(training_session(modle=1, training={"epochs": "many"})))
    with pytest.raises(SessionError, match=r"mine.yaml has 2 faults:\n") as caught:
        load_session(file, TrainingSession)
    assert isinstance(caught.value, Fault) and isinstance(caught.value, ValueError)
    file.write_text(yaml.safe_dump(training_session(modle=1)))
    words = "mine.yaml has a fault:\n  modle: unknown key, did you mean 'model'"
    with pytest.raises(SessionError, match=words):
        load_session(file, TrainingSession)


@pytest.mark.parametrize("key", ["data", "views", "model", "objective", "optimizer"])
def test_a_value_of_the_wrong_kind_for_a_component_is_a_fault_with_its_path(key):
    for value in (3, 1.5, True, [1], ["adam"], {}, *([None] if key != "model" else [])):
        (fault,) = faults_of(training_session() | {key: value})
        assert fault.startswith(f"{key}: must be the ") and fault.endswith(f"got {value!r}")
    for name in (3, None, [7]):
        (fault,) = faults_of(training_session(optimizer={"name": name}))
        assert fault == f"optimizer: unknown optimizer {name!r}, choose from adam, adamw, lars, sgd"


@pytest.mark.parametrize(
    ("key", "kind", "raw"),
    [("training", TrainingSession, training_session()), ("data", ExtractionSession, {"run": "a"})],
)
def test_a_value_of_the_wrong_kind_for_a_section_is_a_fault_with_its_path(key, kind, raw):
    for value in (None, 3, "x", [1]):
        fault = f"{key}: must be a mapping of keys to values, got {value!r}"
        assert faults_of(raw | {key: value}, kind) == [fault]


@pytest.mark.parametrize("key", ["epochs", "batch_size", "patience"])
def test_a_count_is_a_whole_number_and_nothing_that_looks_like_one(key):
    for value in (True, "8", 8.0):
        fault = f"training.{key}: input should be a valid integer, got {value!r}"
        assert faults_of(training_session(training={key: value})) == [fault]


NINES = 5000 * "9"  # more digits than Python takes
A_COLUMN = "must be a column's number, from 0, or its name"
A_SCALE = "must be as many factors, none of them 0, as offsets"


@pytest.mark.parametrize(
    ("kind", "options", "fault"),
    [
        ("arrays", {"columns": [True]}, f"columns.0: {A_COLUMN}, got True"),
        ("arrays", {"columns": ["pitch", 1.5]}, f"columns.1: {A_COLUMN}, got 1.5"),
        ("arrays", {"drop": [-1]}, f"drop.0: {A_COLUMN}, got -1"),
        ("arrays", {"columns": {}}, "columns: input should be a list, got {}"),
        ("arrays", {"names": "TDX"}, "names: input should be a list, got 'TDX'"),
        ("arrays", {"names": [0]}, "names.0: input should be a valid string, got 0"),
        ("arrays", {"scale": "sets"}, "scale: input should be 'none', 'file' or 'set' or a list, got 'sets'"),
        ("arrays", {"scale": [[1], ["x"]]}, "scale.1.0: input should be a valid number, got 'x'"),
        ("arrays", {"scale": [[1, 2], [1]]}, f"scale: {A_SCALE}, got ((1.0, 2.0), (1.0,))"),
        ("arrays", {"scale": [[1], [0]]}, f"scale: {A_SCALE}, got ((1.0,), (0.0,))"),
        ("arrays", {"scale": [[1], [True]]}, "scale.1.0: must be a number, got True"),
        ("arrays", {"rate_hz": True}, "rate_hz: must be a number, got True"),
        ("images", {"limit": True}, "limit: must be a number, got True"),
        ("audio", {"channel": "left"}, "channel: input should be 'mean' or a valid integer, got 'left'"),
        ("audio", {"channel": -1}, "channel: input should be greater than or equal to 0, got -1"),
        ("audio", {"length_s": 0}, "length_s: input should be greater than 0, got 0"),
        ("audio", {"channel": 1.5}, "channel: input should be a valid integer, got 1.5"),
        ("audio", {"channel": NINES}, f"channel: {f'input should be a valid integer, got {NINES!r}'[:2000]}"),
        ("audio", {"skip_bad": "x"}, "skip_bad: input should be a valid boolean, got 'x'"),
        ("audio", {"standardise": [0, "x"]}, "standardise.1: input should be a valid number, got 'x'"),
        ("audio", {"standardise": [0]}, "standardise.1: is missing"),
        (
            "audio",
            {"standardise": [0, 1, 2]},
            "standardise: a list should have at most 2 items, got [0, 1, 2]",
        ),
        (
            "audio",
            {"spectrum": {"name": "mel", "n_mels": True}},
            "spectrum.n_mels: must be a number, got True",
        ),
    ],
)
def test_an_option_of_the_data_of_another_type_is_one_fault_that_says_what_it_may_be(kind, options, fault):
    assert faults_of(training_session(data={"kind": kind, "train": "x"} | options)) == [f"data.{fault}"]


def test_a_session_without_a_model_or_data_or_an_empty_one_names_what_is_missing():
    raw = training_session()
    del raw["model"]
    no_model = f"start: scratch needs a `model`, choose from {', '.join(MODELS.names())}"
    assert faults_of(raw) == [no_model]
    assert faults_of({}) == ["data: is missing", no_model]
    assert faults_of({}, ExtractionSession) == ["data: is missing"]
    assert faults_of(training_session(data={"kind": "images"})) == ["data.train: is missing"]


def test_validation_is_a_folder_a_share_between_0_and_1_or_a_number_of_samples():
    words = "must be a folder, a share between 0 and 1, or a whole number of samples"
    for valid in ("songs/valid", 0.01, 0.99, 2, 200, -3, 0, 1, 1.5, -0.1, None, True, [0.1]):
        raw = training_session(data={"kind": "images", "train": "songs", "valid": valid})
        if valid in ("songs/valid", 0.01, 0.99, 2, 200):
            assert load_session(raw, TrainingSession).data.valid == valid
        else:
            assert faults_of(raw) == [f"data.valid: {words}, got {valid!r}"]


def test_a_start_from_trained_weights_needs_no_model():
    raw = training_session(start={"weights_of": "20250617_131810", "freeze": 2})
    del raw["model"]
    session = load_session(raw, TrainingSession)
    assert session.model is None
    assert session.start.model_dump() == {"weights_of": "20250617_131810", "weights": "best", "freeze": 2}


@pytest.mark.parametrize(
    ("start", "faults"),
    [
        (
            "scrtch",
            ["start: must be `scratch` or a mapping with `weights_of` or `weights_from`, got 'scrtch'"],
        ),
        (None, ["start: must be `scratch` or a mapping with `weights_of` or `weights_from`, got None"]),
        ({}, ["start.weights_of: is missing"]),
        ({"weights_of": 20250617}, ["start.weights_of: input should be a valid string, got 20250617"]),
        (
            {"weights_of": "a", "freez": 1, "weights": "worst"},
            [
                "start.weights: must be best, last or best_<phase> such as best_alpha_0.25, got 'worst'",
                "start.freez: unknown key, did you mean 'freeze'?",
            ],
        ),
    ],
)
def test_a_start_that_is_neither_scratch_nor_weights_is_refused(start, faults):
    assert faults_of(training_session(start=start)) == faults


def test_the_faults_of_an_extraction_session_are_all_reported():
    raw = extraction_session(
        20250617,
        pooling={"name": "mean_std", "trim": 0.7},
        reduction={"dims": [2, 0], "neighbors": 5},
        variant="two words",
        weigths="best",
        latents="float64",
    )
    paths = sorted(fault.split(":")[0] for fault in faults_of(raw, ExtractionSession))
    expected = ["latents", "pooling.trim", "reduction.dims.1", "reduction.neighbors", "run", "variant"]
    assert paths == [*expected, "weigths"]


@pytest.mark.parametrize("trim", [-1, 0.5, 2.0, True, "2", None])
def test_a_trim_is_a_share_or_a_number_of_steps(trim):
    faults = faults_of(extraction_session("a", pooling={"name": "mean", "trim": trim}), ExtractionSession)
    words = f"pooling.trim: must be a share below 0.5 or a whole number of time steps, got {trim!r}"
    assert faults == [words]


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("objective.pooling", {"views": "pair", "objective": {"name": "contrastive"}}),
        ("objective.pooling", {"objective": {"name": "classification"}}),
        ("training.probe.pooling", {"training": {"probe": {}}}),
    ],
)
def test_a_window_is_settled_in_extractions_alone(key, changes):
    *above, last = key.split(".")
    section = changes
    for one in above:
        section = section[one]
    section[last] = {"name": "weighted_stats", "window": "auto"}
    words = f"{key}: `window: auto` is of extractions of a run, which settles it: give a number"
    assert faults_of(training_session(**changes), TrainingSession) == [words]
    section[last] = {"name": "weighted_stats", "window": "some"}
    (fault,) = faults_of(training_session(**changes), TrainingSession)
    assert fault.startswith(f"{key}.window: input should be a valid number or 'auto', got 'some'")


def test_a_session_is_named_by_its_name_else_by_its_file_in_plain_letters(tmp_path):
    file = tmp_path / "my song (2).yaml"
    file.write_text(yaml.safe_dump(training_session()))
    session = load_session(file, TrainingSession)
    again = load_session(session, TrainingSession, ["training.epochs=7"])
    assert session.name == again.name == "my_song__2_"
    assert (again.training.epochs, session.training.epochs) == (7, 2)
    assert load_session(file, TrainingSession, ["name=other songs"]).name == "other_songs"
    assert load_session(training_session(name="mine"), TrainingSession).name == "mine"
    assert load_session(training_session(), TrainingSession).name == "session"
    for name in (3, "", None, ["a"]):
        assert faults_of(training_session(name=name)) == [f"name: must be a word, got {name!r}"]


@pytest.mark.parametrize(
    "change, where, value",
    [
        ("training.epochs=3", ("training", "epochs"), 3),
        ("training.patience=null", ("training", "patience"), None),
        ("views.soft=true", ("views", "soft"), True),
        ("views.threshold=[0.1, 1e-1]", ("views", "threshold"), [0.1, 0.1]),
        ("model.latent=16", ("model", "latent"), 16),
        ("optimizer.learning_rate=1e-2", ("optimizer", "learning_rate"), 0.01),
        ("optimizer=adamw", ("optimizer", "name"), "adamw"),
        ("data.train=20250617_131810", ("data", "train"), "20250617_131810"),
        ("start={weights_of: a=b}", ("start", "weights_of"), "a=b"),
    ],
)
def test_set_changes_one_option_wherever_it_stands(change, where, value):
    session = load_session(training_session(), TrainingSession, [change]).model_dump(mode="json")
    assert session[where[0]][where[1]] == value


def test_set_keeps_the_other_options_reaches_what_is_left_out_and_the_later_change_holds():
    raw = training_session(views="denoise")
    changes = ["views.soft=true", "views.noise=0", "training.epochs=3", "training.epochs=4"]
    session = load_session(raw, TrainingSession, changes)
    expected = training_session(views={"name": "denoise", "soft": True, "noise": 0})
    assert session.views == load_session(expected, TrainingSession).views
    assert session.training.epochs == 4 and raw["views"] == "denoise"  # what was given is not changed
    session = load_session(extraction_session("a"), ExtractionSession, ["pooling.trim=0.2"])
    assert (session.pooling.name, session.pooling.trim) == ("mean_std", 0.2)


@pytest.mark.parametrize("raw", [training_session(), training_session(start="scratch")])
def test_set_gives_a_start_from_scratch_the_weights_of_a_run(raw):
    changes = ["start.weights_of=latest:x", "start.freeze=1"]
    start = load_session(raw, TrainingSession, changes).start
    assert (start.weights_of, start.weights, start.freeze) == ("latest:x", "best", 1)


@pytest.mark.parametrize(
    "change, fault",
    [
        ("training.epoch=3", "training.epoch: unknown key, did you mean 'epochs'?"),
        ("training.epochs=0", "training.epochs: input should be greater than 0, got 0"),
        ("training.epochs=", "training.epochs: input should be a valid integer, got None"),
        ("training.epochs.x=3", "training.epochs: input should be a valid integer, got {'x': 3}"),
        ("model.widths.0=3", "model.widths: input should be a list, got {'0': 3}"),
        ("modle.latent=3", "modle: unknown key, did you mean 'model'?"),
        ("views=denoize", "views: unknown view 'denoize', did you mean 'denoise'?"),
    ],
)
def test_a_change_is_checked_as_the_session_is(change, fault):
    assert faults_of(training_session(), changes=(change,)) == [fault]


@pytest.mark.parametrize("change", ["training.epochs", "=3", "", "training..epochs=3", ".=3", "training.=3"])
def test_a_change_without_key_and_value_or_that_is_no_yaml_is_refused(change):
    with pytest.raises(Fault, match="--set expects key.path=value, got"):
        load_session(training_session(), TrainingSession, [change])
    with pytest.raises(Fault, match=r"--set training.epochs=\[ is not YAML"):
        load_session(training_session(), TrainingSession, ["training.epochs=["])


@pytest.mark.parametrize(
    "raw, kind",
    [
        (training_session(), TrainingSession),
        (training_session(optimizer={"name": "adam", "learning_rate": 1e-3, "clip": 1}), TrainingSession),
        (training_session(start={"weights_of": "20250617_131810"}), TrainingSession),
        (extraction_session("20250617_131810", variant="1e-3"), ExtractionSession),
        (extraction_session("latest:demo", reduction={"dims": [2, 8]}), ExtractionSession),
        ({"extractor": "handcrafted", "data": {"sounds": "songs"}}, ExtractionSession),
    ],
)
def test_a_session_written_as_yaml_and_read_again_equals_itself(tmp_path, raw, kind):
    session = load_session(raw, kind)
    file = tmp_path / "again.yaml"
    file.write_text(to_yaml(session.model_dump(mode="json")), encoding="utf-8")
    again = load_session(file, kind)
    assert again == session.named("again") and again.model_dump() == session.model_dump()
    assert to_yaml(again.model_dump(mode="json")) == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "kind, params",
    [(TrainingSession, "training"), (ExtractionSession, "extraction"), (EvaluationSession, "evaluation")],
)
def test_every_shipped_session_is_right(kind, params):
    files = sorted((ROOT / "session_params" / params).glob("*"))
    assert files
    for file in files:
        session = load_session(file, kind)
        assert not any(part.unused() for _, part in session if isinstance(part, Component))
        assert len(read_mapping(file)) <= 20
