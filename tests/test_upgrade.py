"""Sessions in the reference's spelling become ours, or say what to do."""

import copy
import json

import pytest
import yaml
from conftest import extraction_session, training_session

from saec.extraction import ExtractionSession
from saec.session import SessionError, TrainingSession, load_session
from saec.upgrade import upgrade_extraction, upgrade_training

REFERENCE = {
    "imgpath_train": "xc/train/images",
    "imgpath_test": "xc/test/images",
    "batch_size_tr": 8,
    "batch_size_te": 32,
    "n_epochs": 1,
    "hot_start": False,
    "model_tag": "GenB3blocks",
    "data_generator": {
        "da": {
            "rot_deg": 0.25,
            "trans_prop": 0.005,
            "brightness": 0.40,
            "contrast": 0.40,
            "gnoisesigm": 0.10,
            "gnoiseprob": 0.50,
        },
        "den": {"thld_lo": 0.30, "thld_up": 0.50},
    },
}
OURS = {
    "data": {"kind": "images", "train": "xc/train/images", "valid": "xc/test/images", "channels": "rgb"},
    "views": {
        "name": "denoise",
        "threshold": [0.30, 0.50],
        "soft": False,
        "rotation_deg": 0.25,
        "shift": 0.005,
        "brightness": 0.40,
        "contrast": 0.40,
        "noise": 0.10,
        "noise_prob": 0.50,
    },
    "model": "GenB3blocks",
    "objective": {"name": "reconstruction", "loss": "mse"},
    "optimizer": {"name": "adam", "learning_rate": 1e-3},
    "training": {"epochs": 1, "batch_size": 8},
}


def reference(**changes) -> dict:
    return copy.deepcopy(REFERENCE) | changes


def faults_of(raw: dict, kind: type = TrainingSession) -> list[str]:
    with pytest.raises(SessionError) as caught:
        load_session(raw, kind)
    return caught.value.faults


def test_the_references_full_training_session_becomes_ours_word_for_word():
    assert upgrade_training(reference()) == OURS


def test_it_is_a_session_that_can_be_run_and_changed():
    session = load_session(reference(), TrainingSession, ["training.epochs=3", "data.fit=pad"])
    assert (session.model.name, session.training.epochs, session.data.fit) == ("GenB3blocks", 3, "pad")
    assert session.views.threshold == (0.3, 0.5)


def test_it_is_read_from_the_references_json(tmp_path):
    file = tmp_path / "params.json"
    file.write_text(json.dumps(reference()))
    assert load_session(file, TrainingSession).data.train == "xc/train/images"


def test_what_is_given_is_not_changed():
    raw = reference()
    upgrade_training(raw)
    assert raw == REFERENCE


def test_the_batch_size_of_tests_is_said_to_be_unneeded(heard):
    upgrade_training(reference())
    assert "batch_size_te is not needed" in heard.text


def test_a_hot_start_takes_the_weights_of_a_run():
    ours = upgrade_training(reference(hot_start=True, model_tag="20250617_131810", n_epochs=2))
    expected = {key: value for key, value in OURS.items() if key != "model"}
    assert ours == expected | {
        "start": {"weights_of": "20250617_131810"},
        "training": {"epochs": 2, "batch_size": 8},
    }
    assert load_session(reference(hot_start=True, model_tag="latest:a"), TrainingSession).model is None


@pytest.mark.parametrize(
    "changes, what",
    [
        ({"hot_start": True}, r"hot_start: true with model_tag: GenB3blocks \(an architecture\)"),
        (
            {"model_tag": "20250617_131810"},
            r"hot_start: false with model_tag: 20250617_131810 \(no architecture\)",
        ),
        ({"model_tag": "GenB4blocks"}, r"hot_start: false with model_tag: GenB4blocks \(no architecture\)"),
    ],
)
def test_a_mixture_of_hot_and_cold_names_the_file_and_both_remedies(tmp_path, changes, what):
    file = tmp_path / "mixed.yaml"
    file.write_text(yaml.safe_dump(reference(**changes)))
    fresh = "for fresh weights set hot_start: false and model_tag to one of .*GenB3blocks"
    trained = (
        "for trained ones set hot_start: true and model_tag to that run's timestamp or latest:<session name>"
    )
    with pytest.raises(SessionError, match=f"(?s)mixed.yaml has a fault:\n  {what}: {fresh}.*; {trained}"):
        load_session(file, TrainingSession)


@pytest.mark.parametrize("hot", ["false", 0, None, "yes"])
def test_a_hot_start_that_is_no_truth_value_is_a_fault(hot):
    (fault,) = faults_of(reference(hot_start=hot))
    assert fault == f"hot_start: input should be a valid boolean, got {hot!r}"


def test_a_typing_error_in_a_key_of_the_reference_names_the_nearest():
    raw = reference(n_epoch=1)
    raw["data_generator"]["da"]["rot_degree"] = raw["data_generator"]["da"].pop("rot_deg")
    del raw["n_epochs"], raw["data_generator"]["den"]
    assert sorted(faults_of(raw)) == [
        "data_generator.da.rot_deg: is missing",
        "data_generator.da.rot_degree: unknown key, did you mean 'rot_deg'?",
        "data_generator.den: is missing",
        "n_epoch: unknown key, did you mean 'n_epochs'?",
    ]


def test_values_of_the_wrong_kind_are_faults_with_their_path():
    raw = reference(n_epochs="many", imgpath_train=None)
    raw["data_generator"]["den"] = 3
    paths = [fault.split(":")[0] for fault in faults_of(raw)]
    assert sorted(paths) == ["data_generator.den", "imgpath_train", "n_epochs"]


def test_values_that_only_we_refuse_are_named_by_our_path():
    raw = reference(n_epochs=0)
    assert faults_of(raw) == ["training.epochs: input should be greater than 0, got 0"]


def test_our_keys_among_the_references_are_faults():
    assert any(fault.startswith("training: unknown key") for fault in faults_of(reference(training={})))


def test_the_references_extraction_session_becomes_ours():
    raw = {"imgpath": "xc/images", "model_tag": "20250617_131810"}
    assert upgrade_extraction(raw) == {"run": "20250617_131810", "data": {"images": "xc/images"}}
    session = load_session(raw, ExtractionSession)
    assert (session.run, session.pooling.name, session.reduction.dims) == (
        "20250617_131810",
        "mean_std",
        (2, 4, 8, 16),
    )


def test_a_typing_error_in_the_references_extraction_session_is_named():
    faults = faults_of({"imgpth": "xc/images", "model_tag": "20250617_131810"}, ExtractionSession)
    assert faults == ["imgpath: is missing", "imgpth: unknown key, did you mean 'imgpath'?"]


def test_a_timestamp_of_the_reference_stays_text(tmp_path):
    file = tmp_path / "extract.yaml"
    file.write_text("imgpath: xc/images\nmodel_tag: 20250617_131810\n")
    assert load_session(file, ExtractionSession).run == "20250617_131810"


def test_our_sessions_pass_unchanged():
    for ours, upgrade in (
        (training_session(), upgrade_training),
        (extraction_session("a"), upgrade_extraction),
    ):
        assert upgrade(ours) is ours
    assert upgrade_training({}) == {} and upgrade_extraction({}) == {}
