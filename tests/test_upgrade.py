"""Sessions in the reference's spelling become ours, or say what to do."""

import copy
import json

import pytest
import yaml
from conftest import extraction_session, training_session

from saec.extraction import ExtractionSession
from saec.session import SessionError, TrainingSession, load_session
from saec.upgrade import upgrade_extraction, upgrade_training

REFERENCE = yaml.safe_load("""
imgpath_train: xc/train/images
imgpath_test: xc/test/images
batch_size_tr: 8
batch_size_te: 32
n_epochs: 1
hot_start: false
model_tag: GenB3blocks
data_generator:
  da: {rot_deg: 0.25, trans_prop: 0.005, brightness: 0.4, contrast: 0.4, gnoisesigm: 0.1, gnoiseprob: 0.5}
  den: {thld_lo: 0.3, thld_up: 0.5}
""")
OURS = yaml.safe_load("""
data: {kind: images, train: xc/train/images, valid: xc/test/images, channels: rgb}
views: {name: denoise, threshold: [0.3, 0.5], soft: false, rotation_deg: 0.25, shift: 0.005,
        brightness: 0.4, contrast: 0.4, noise: 0.1, noise_prob: 0.5}
model: GenB3blocks
objective: {name: reconstruction, loss: mse}
optimizer: {name: adam, learning_rate: 0.001}
training: {epochs: 1, batch_size: 8}
""")


def reference(**changes) -> dict:
    return copy.deepcopy(REFERENCE) | changes


def faults_of(raw: dict, kind: type = TrainingSession) -> list[str]:
    with pytest.raises(SessionError) as caught:
        load_session(raw, kind)
    return caught.value.faults


def test_the_references_training_session_becomes_ours_word_for_word(tmp_path, log):
    raw = reference()
    assert upgrade_training(raw) == OURS and raw == REFERENCE
    assert "batch_size_te is not needed" in log.text
    file = tmp_path / "params.json"
    file.write_text(json.dumps(raw))
    session = load_session(file, TrainingSession, ["training.epochs=3", "data.fit=pad"])
    assert (session.model.name, session.training.epochs, session.data.fit) == ("GenB3blocks", 3, "pad")
    assert session.views.threshold == (0.3, 0.5) and session.data.train == "xc/train/images"


def test_a_hot_start_takes_the_weights_of_a_run():
    ours = upgrade_training(reference(hot_start=True, model_tag="20250617_131810", n_epochs=2))
    expected = {key: value for key, value in OURS.items() if key != "model"}
    assert ours == expected | {
        "start": {"weights_of": "20250617_131810"},
        "training": {"epochs": 2, "batch_size": 8},
    }
    assert load_session(reference(hot_start=True, model_tag="latest:a"), TrainingSession).model is None


@pytest.mark.parametrize(
    ("hot", "tag", "kind"),
    [
        ("true", "GenB3blocks", "an architecture"),
        ("false", "20250617_131810", "no architecture"),
        ("false", "GenB4blocks", "no architecture"),
    ],
)
def test_a_mixture_of_hot_and_cold_names_the_file_and_both_remedies(tmp_path, hot, tag, kind):
    file = tmp_path / "mixed.yaml"
    file.write_text(yaml.safe_dump(reference(hot_start=hot == "true", model_tag=tag)))
    what = rf"hot_start: {hot} with model_tag: {tag} \({kind}\)"
    fresh = "for fresh weights set hot_start: false and model_tag to one of .*GenB3blocks"
    trained = (
        "for trained ones set hot_start: true and model_tag to that run's timestamp or latest:<session name>"
    )
    with pytest.raises(SessionError, match=f"(?s)mixed.yaml has a fault:\n  {what}: {fresh}.*; {trained}"):
        load_session(file, TrainingSession)


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


def test_values_of_the_wrong_kind_are_faults_with_their_path_and_ours_have_our_path():
    raw = reference(n_epochs="many", imgpath_train=None)
    raw["data_generator"]["den"] = 3
    paths = [fault.split(":")[0] for fault in faults_of(raw)]
    assert sorted(paths) == ["data_generator.den", "imgpath_train", "n_epochs"]
    assert faults_of(reference(n_epochs=0)) == ["training.epochs: input should be greater than 0, got 0"]
    for hot in ("false", 0, None, "yes"):
        faults = faults_of(reference(hot_start=hot))
        assert faults == [f"hot_start: input should be a valid boolean, got {hot!r}"]


def test_our_keys_beside_the_references_add_options_or_replace_components(log):
    ours = {
        "training": {"seed": 7, "epochs": 4},
        "model": {"latent": 64},
        "views": {"soft": True},
        "optimizer": "adamw",
        "objective": {"name": "contrastive", "temperature": 0.1},
    }
    session = load_session(
        reference(name="mine", **ours), TrainingSession, ["data.fit=pad", "training.seed=8"]
    )
    assert (session.name, session.training.seed, session.training.epochs) == ("mine", 8, 4)
    assert (session.training.batch_size, session.optimizer.name) == (8, "adamw")
    assert (session.model.name, session.model.latent) == ("GenB3blocks", 64)
    assert (session.views.soft, session.views.rotation_deg) == (True, 0.25)
    assert (session.objective.name, session.objective.temperature) == ("contrastive", 0.1)
    assert "the session has its own: training, model, views, optimizer, objective" in log.text
    raw = {"imgpath": "a", "model_tag": "b", "variant": "c", "reduction": None, "data": {"fit": "pad"}}
    extraction = load_session(raw, ExtractionSession)
    assert (extraction.variant, extraction.reduction, extraction.data.images) == ("c", None, "a")
    assert faults_of(reference(training={"sed": 1})) == ["training.sed: unknown key, did you mean 'seed'?"]


def test_the_references_extraction_session_becomes_ours_and_its_timestamp_stays_text(tmp_path):
    raw = {"imgpath": "xc/images", "model_tag": "20250617_131810"}
    assert upgrade_extraction(raw) == {"run": "20250617_131810", "data": {"images": "xc/images"}}
    file = tmp_path / "extract.yaml"
    file.write_text("imgpath: xc/images\nmodel_tag: 20250617_131810\n")
    session = load_session(file, ExtractionSession)
    assert (session.run, session.pooling.name) == ("20250617_131810", "mean_std")
    assert session.reduction.dims == (2, 4, 8, 16)
    faults = faults_of({"imgpth": "xc/images", "model_tag": "20250617_131810"}, ExtractionSession)
    assert faults == ["imgpath: is missing", "imgpth: unknown key, did you mean 'imgpath'?"]


def test_our_sessions_pass_unchanged():
    training, extraction = training_session(), extraction_session("a")
    assert upgrade_training(training) is training and upgrade_extraction(extraction) is extraction
    assert upgrade_training({}) == {} and upgrade_extraction({}) == {}
