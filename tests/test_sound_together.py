"""Rooms work together on sound: one recording is encoded, features are combined, the nearest are searched."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import workplace
from sounds import HERTZ, MEL, RATE, features_session, heard_session, record, record_classes, tone
from test_explorer import content

from saec import evaluate, predict, prepare
from saec.config import Config
from saec.data import Raw
from saec.data.fronts import SoundFront
from saec.data.png import SIDECAR
from saec.extraction import ExtractionSession, extract
from saec.extraction.plan import plan_extraction
from saec.faults import Fault
from saec.features import Features
from saec.models import MODELS
from saec.models.base import Tap, run_to_tap
from saec.preparation.pictures import PREPARED
from saec.runs import Run
from saec.samples import FREQUENCIES, read_annotations
from saec.sections.scores import small_pictures
from saec.sections.sets import PIXELS
from saec.session import SessionError, load_session
from saec.sound.handcrafted import Handcrafted
from saec.sound.spectra import SPECTRA
from saec.training import go_on, train

SEGMENTS = {"segment_s": 0.1, "length_s": 0.1, "spectrum": MEL | {"hop_length": 32}}
COMBINE = {"classifier": "linear", "pca": 4}
CRAFTED = {"extractor": {"name": "handcrafted", "sample_rate": RATE}, "reduction": None}
LINEAR = {"name": "linear", "n_splits": 2, "n_repeats": 1, "curve": []}


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> tuple[Config, Run]:
    """A run that classifies segments of three classes, and recordings that it was not trained on."""
    config = workplace(tmp_path_factory.mktemp("together"))
    record_classes(config.data / "sounds", n=4, seconds=0.3)
    record_classes(config.data / "others", n=3, seconds=0.25)
    run = train(heard_session(data=SEGMENTS), config)
    return config, run


@pytest.fixture(scope="module")
def made(shared) -> dict[str, Path]:
    """Feature files of the other recordings: segments of the run, whole recordings by hand."""
    config, run = shared
    sessions = {"by_run": features_session(str(run.folder)), "by_hand": CRAFTED}
    return {
        method: extract(session | {"data": {"sounds": "others"}}, config).roles["pooled"]
        for method, session in sessions.items()
    }


def report_of(config: Config, made: dict[str, Path], **changes) -> Path:
    session = {
        "features": {method: str(file) for method, file in made.items()},
        "sounds": "others",
        "per": "recording",
        "evaluations": [LINEAR],
        "inspect": False,
        "explorer": None,
        "table": None,
    }
    return evaluate(session | changes, config).folder


@pytest.fixture(scope="module")
def combined(shared, made) -> Path:
    """A report in which both methods are combined, which is only read."""
    return report_of(shared[0], made, combine=COMBINE)


@pytest.mark.parametrize("name", MODELS.names())
def test_every_model_takes_sound(name):
    """A spectrum of 128 rows is fitted to what the model takes, whatever the length."""
    mel = SPECTRA.parse({"name": "mel", "n_fft": 512, "hop_length": 80, "n_mels": 128})(RATE)
    front = SoundFront(mel, n_frames=70)
    with torch.device("meta"):
        model = MODELS.parse(name)(front.shape)
        fitted = front.sized_for(*model.takes)
        assert model(torch.zeros(2, *fitted.shape)).shape[0] == 2
    assert fitted(Raw(torch.zeros(1, 4_000), torch.tensor([4_000]))).shape == (1, *fitted.shape)


# One recording


def test_what_is_predicted_of_a_recording_is_what_the_extraction_writes(shared):
    config, run = shared
    features = extract(features_session(str(run.folder), data={"sounds": "others"}), config)
    table = pd.read_csv(features.roles["predictions"])
    rows = table[table["file"] == "low/1.wav"]
    log = predict(run, config.data / "others" / "low" / "1.wav", config=config)
    assert log.segments == rows["predicted"].astype(str).tolist() and len(rows) == len(log.times) > 1
    np.testing.assert_allclose(log.times, rows[["start", "end"]], atol=1e-6)
    chances = rows[[f"p {name}" for name in log.classes]].to_numpy()
    np.testing.assert_allclose(log.probabilities, chances, atol=1e-2)  # there in bf16 where it pays
    assert log.predicted == max(log.mean, key=log.mean.get)
    assert sum(log.mean.values()) == pytest.approx(1)


def test_detections_are_written_in_the_forms_that_are_named_and_go_where_they_are_not(shared, tmp_path):
    config, run = shared
    wanted = {"threshold": 0.0, "background": "low", "tables": ["csv", "raven", "audacity"]}
    session = features_session(
        str(run.folder), data={"sounds": "others"}, out=str(tmp_path), predictions=wanted
    )
    roles = extract(session, config).roles
    detections = pd.read_csv(roles["detections"])
    predictions = pd.read_csv(roles["predictions"])
    assert detections["segments"].sum() == (predictions["predicted"] != "low").sum() > 0
    for file, rows in detections.groupby("file"):
        for form in ("raven", "audacity"):
            table = read_annotations(roles[f"{form} {file}"], required=("start", "end", "label"))
            assert table["label"].tolist() == rows["label"].tolist()
            np.testing.assert_allclose(table[["start_s", "end_s"]], rows[["start", "end"]], atol=1e-6)
            boxes = table[FREQUENCIES].astype(float).to_numpy()  # rows of the run's spectrum
            assert (boxes[:, 0] < 10).all() and (0.9 * RATE / 2 < boxes[:, 1]).all()
            assert (boxes[:, 1] <= RATE / 2).all()
    assert json.loads((tmp_path / f"saec_{run.timestamp}.json").read_text())["sample_s"] == 0.1
    extract(session | {"predictions": None, "overwrite": True}, config)
    assert not [*tmp_path.glob("*.txt"), *tmp_path.glob("detections*")]
    for changes, message in (
        ({"background": "lwo"}, "no class: 'lwo'.*mean 'low'"),
        ({"threshold": 2}, "threshold"),
    ):
        with pytest.raises(SessionError, match=message):
            extract(session | {"predictions": wanted | changes}, config)
    with pytest.raises(SessionError, match="predictions: only a classifier"):
        extract(CRAFTED | {"data": {"sounds": "others"}, "predictions": wanted}, config)


def test_a_tap_gives_what_the_block_gives(shared, tmp_path):
    config, run = shared
    file = config.data / "others" / "mid" / "0.wav"
    tapped = predict(run, file, tap="conv1", config=config)
    dropped = predict(run, file, layers_dropped=4, config=config)  # head, lin2, lin1, conv2
    assert np.array_equal(tapped.features, dropped.features)
    zeros = torch.zeros(1, *run.record["input_shape"])
    (_, n, rows, steps) = run_to_tap(run.model().encoder, zeros, Tap("block", 1))[0].shape
    assert tapped.features.shape[1:] == (n * rows, steps)
    with pytest.raises(Fault, match="no such recording: .*nowhere.wav"):
        predict(run, tmp_path / "nowhere.wav", config=config)
    with pytest.raises(Fault, match="no block 'conv9': did you mean 'conv"):
        predict(run, file, tap="conv9", config=config)


# Features of segments and of whole recordings


def test_rows_per_recording_are_means_over_its_segments(combined, made):
    answers = pd.read_csv(combined / "answers_session.csv")
    assert answers["file"].tolist() == sorted(f"{name}/{number}" for name in HERTZ for number in range(3))
    assert answers["label"].tolist() == [name.split("/")[0] for name in answers["file"]]
    methods = {"by_run", "by_hand", "combined", PIXELS}  # of the spectra that the run sees
    assert set(pd.read_csv(combined / "scores.csv")["method"]) == methods
    assert Features.load(made["by_hand"]).X.shape == (9, 136)


def test_segments_have_the_label_of_their_recording_and_are_no_whole_recordings(shared, made):
    config, _ = shared
    folder = report_of(config, {"by_run": made["by_run"]}, per="sample")
    answers = pd.read_csv(folder / "answers_session.csv")
    assert answers["file"].str.contains("_segm_").all() and len(answers) > 9
    assert answers["label"].tolist() == [name.split("/")[0] for name in answers["file"]]
    assert answers["group"].nunique() == 9
    with pytest.raises(SessionError, match="features that are compared must be of the same samples"):
        report_of(config, made, per="sample")


def test_groups_are_those_that_the_training_has_found_in_paths(shared, made, tmp_path):
    config, run = shared
    text = (run.folder / "session.yaml").read_text()
    try:
        (run.folder / "session.yaml").write_text(text.replace("group: null", "group: /(.)"))
        folder = report_of(config, {"by_run": made["by_run"]}, per="sample")
    finally:
        (run.folder / "session.yaml").write_text(text)
    answers = pd.read_csv(folder / "answers_session.csv", dtype=str)
    assert answers["group"].tolist() == [name.split("/")[1][0] for name in answers["file"]]


def page_of(folder: Path) -> dict:
    """The page's content, with starts and ends, and bands of frequencies."""
    read = content(folder / "explorer.html")
    for key in ("times", "bands"):
        pairs = np.frombuffer(base64.b64decode(read["stretches"][key]), "<f8").reshape(-1, 2)
        read[key] = dict(zip(read["names"], pairs.tolist(), strict=True))
    return read


def test_the_page_has_the_sounds_of_segments_of_recordings_and_of_prepared_pictures(shared, made, tmp_path):
    config, _ = shared
    page = page_of(report_of(config, {"by_run": made["by_run"]}, per="sample", explorer={}))
    assert page["many"] == "sounds" and "sounds" in page["title"]
    assert page["times"]["low/0_segm_0000.100.wav"] == pytest.approx([0.1, 0.2])
    lowest, highest = page["bands"]["low/0_segm_0000.100.wav"]  # rows of the run's spectrum
    assert 0 <= lowest < 10 and 0.9 * RATE / 2 < highest <= RATE / 2
    for key, kind in (("clips", "data:audio/ogg"), ("thumbnails", "data:image/webp")):
        assert len(page[key]) == len(page["names"]) and all(one.startswith(kind) for one in page[key])
    page = page_of(
        report_of(config, {"by_hand": made["by_hand"]}, per="recording", explorer={"sounds_mb": 0})
    )
    assert page["many"] == "recordings" and page["times"]["mid/1"] == [0, 0.2625] and page["clips"] is None
    assert page["recordings"][0] == "../../others/high/0.wav" and page["bands"]["mid/1"] == [0, RATE / 2]
    look = {"sample_rate": RATE, "segment_s": 0.1, "n_fft": 64, "hop_length": 16}
    images = prepare(
        {"recordings": str(config.data / "others"), "out": str(tmp_path / "pictures"), **look}, config
    )
    names = sorted(file.name for file in images.glob("*.png"))
    np.savez(tmp_path / "features.npz", X=np.random.default_rng(0).normal(size=(len(names), 3)), N=names)
    session = {"features": str(tmp_path / "features.npz"), "images": str(images), "evaluations": []}
    page = page_of(evaluate(session | {"inspect": False, "table": None}, config).folder)
    assert page["many"] == "pictures" and len(page["clips"]) == len(names) and page["links"]
    assert page["times"][names[1]] == pytest.approx([0.08, 0.18])
    assert page["stretches"]["files"] == sorted(f"{name}/{n}.wav" for name in HERTZ for n in range(3))
    assert set(map(tuple, page["bands"].values())) == {(0, RATE / 2)}
    (images / SIDECAR).write_text('{"sampling_frequency": "x", "segment_duration_sec": null}')
    (images / PREPARED).unlink()  # then names alone tell something
    boxed = tmp_path / "boxed.csv"
    boxed.write_text(f"file,label,{','.join(FREQUENCIES)}\n{names[1]},x,200.5,900\n", encoding="utf-8")
    session |= {"inspect": False, "table": None, "labels": str(boxed)}
    page = page_of(evaluate(session, config).folder)
    assert page["times"][names[1]] == pytest.approx([0.08, np.nan], nan_ok=True) and "clips" not in page
    assert page["bands"][names[1]] == [200.5, 900] and np.isnan(page["bands"][names[0]]).all()


def test_a_table_of_sounds_says_labels_groups_and_splits(shared, made):
    config, _ = shared
    names = [f"others/{name}/{number}.wav" for name in HERTZ for number in range(3)]
    rows = [f"{name},a {i // 3},g{i % 3},train" for i, name in enumerate(names)]
    (config.data / "others.csv").write_text("\n".join(["file,label,group,split", *rows]))
    features = extract(CRAFTED | {"data": {"sounds": "others.csv"}, "variant": "table"}, config)
    one = {"one": features.paths[0]}
    folder = report_of(config, one, sounds="others.csv", per="sample", evaluations=["kmeans"])
    answers = pd.read_csv(folder / "answers_session.csv")
    assert answers["label"].nunique() == 3 and set(answers["group"]) == {"g0", "g1", "g2"}


def test_segments_of_a_stretch_have_the_label_of_the_stretch(shared, tmp_path):
    config, run = shared
    record(config.data / "long.wav", tone(300, 1.0))
    table = config.data / "long.csv"
    table.write_text("file,label,group,start,end\nlong.wav,first,a,0,0.4\nlong.wav,second,b,0.5,1.0\n")
    session = features_session(str(run.folder), data={"sounds": "long.csv"}, out="long")
    one = {"one": extract(session, config).roles["pooled"]}
    folder = report_of(config, one, sounds="long.csv", per="sample", evaluations=["kmeans"])
    answers = pd.read_csv(folder / "answers_session.csv")
    starts = answers["file"].str.extract(r"_segm_(\d+\.\d+)")[0].astype(float)
    assert answers["label"].tolist() == ["first" if start < 0.4 else "second" for start in starts]
    assert len(answers) == 4 + 5


# Trainings


def test_a_transfer_of_another_length_goes_on_at_its_parents(shared):
    config, parent = shared
    begun = heard_session(
        data=SEGMENTS | {"length_s": 0.08},
        start={"weights_of": str(parent.folder)},
        training={"epochs": 1, "batch_size": 4, "precision": "fp32"},
    )
    del begun["model"]
    run = train(begun, config)
    assert run.record["input_shape"] == parent.record["input_shape"]
    assert go_on(run, config, epochs=2).progress.epoch == 2


def test_a_decoder_of_whole_batches_is_no_partner_of_parts(shared):
    config, _ = shared
    wanted = heard_session(model={"name": "convae", "widths": [2], "latent": 2}, views="pair")
    with pytest.raises(SessionError, match="decodes a part of a batch.* `model.unpooling: nearest`"):
        train(wanted | {"objective": "contrastive"}, config)


# The combiner


def test_pixels_beside_sounds_are_of_the_spectra_that_a_run_sees(shared, made, tmp_path):
    config, run = shared
    folder = report_of(config, made, out=str(tmp_path / "both"))
    scores = pd.read_csv(folder / "scores.csv").query("score == 'macro_f1'").set_index("method")["value"]
    assert list(scores.index) == [*made, PIXELS] and scores[PIXELS] == 1  # tones of three pitches
    wanted = load_session(features_session(str(run.folder), data={"sounds": "others"}), ExtractionSession)
    source = plan_extraction(wanted.but(variant="again"), config).source
    small = small_pictures(source.sized(source.kind.open()))
    assert small.shape == (27, 32 * 32)  # segments, of which recordings are the means
    alone = report_of(config, {"by_hand": made["by_hand"]}, out=str(tmp_path / "alone"))
    words = "no pixels to compare with: none of these features are of a run, whose spectra they would be of"
    assert PIXELS not in set(pd.read_csv(alone / "scores.csv")["method"])
    assert words in (alone / "report.html").read_text(encoding="utf-8")


def test_a_combiner_answers_for_new_recordings_as_it_would_have_in_the_report(shared, made, combined):
    config, _ = shared
    about = json.loads((combined / "combiner_session.json").read_text(encoding="utf-8"))
    assert about["per"] == "recording" and [one["method"] for one in about["methods"]] == list(made)
    session = {"combiner": str(combined / "combiner_session.skops"), "data": {"sounds": "others"}}
    result = extract(session, config)
    table = pd.read_csv(result.roles["predictions"])
    assert table["predicted"].tolist() == table["label"].tolist()  # which it has learnt
    assert result.X.shape == (9, 3) and table.filter(like="p ").sum(axis=1).to_numpy() == pytest.approx(1)
    latest = extract(session | {"combiner": "latest:session", "out": "new/folder"}, config)
    there = sorted(path.name for path in (config.data / "new" / "folder").iterdir())
    assert there == sorted(file.name for file in latest.paths)
    np.testing.assert_array_equal(latest.X, result.X)


def test_a_combiner_goes_on_with_the_methods_that_are_done(shared, combined, monkeypatch, log):
    config, _ = shared
    session = {"combiner": str(combined / "combiner_session.skops"), "data": {"sounds": "others"}}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Handcrafted, "__call__", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        extract(session | {"out": "broken"}, config)
    result = extract(session | {"out": "broken"}, config)
    assert "going on: 27 of 27 sounds are done" in log.text
    np.testing.assert_array_equal(result.X, extract(session | {"out": "unbroken"}, config).X)
    assert list(result.roles) == ["X", "probabilities", "predictions", "predictions_files"]
    assert not [path for path in (config.data / "broken").iterdir() if path.name.startswith(".")]


def test_what_a_combiner_needs_is_reported_at_once(shared, combined, tmp_path):
    config, _ = shared
    alone = shutil.copy(combined / "combiner_session.skops", tmp_path)  # without the JSON beside it
    words = {
        "latest:nobody": "no report of session 'nobody' .* has kept a combiner",
        alone: "no such file: .*combiner_session.json",
    }
    for reference, fault in words.items():
        with pytest.raises(SessionError, match=fault):
            extract({"combiner": reference, "data": {"sounds": "others"}}, config)
    session = {"combiner": str(combined / "combiner_session.skops"), "data": {"sounds": "others"}}
    with pytest.raises(SessionError, match="reduction: a combiner gives scores of classes"):
        extract(session | {"reduction": {"dims": [2]}}, config)


# The nearest


def test_the_nearest_recordings_to_a_recording_by_each_method_and_by_all(shared, made):
    config, _ = shared
    new = record(config.data / "new" / "crow.wav", tone(310, 0.3, seed=77))
    folder = report_of(config, made, similar={"to": str(new), "n": 3})
    table = pd.read_csv(folder / "similar_session.csv")
    assert set(table["method"]) == {"by_run", "by_hand", "all together"}
    together = table[table["method"] == "all together"]
    assert together["label"].tolist()[0] == "low" and together["query"].unique().tolist() == ["crow"]
    own = pd.read_csv(report_of(config, made, similar={"to": "low/1.wav", "n": 2}) / "similar_session.csv")
    assert (own["query"] == "low/1").all() and not (own["file"] == "low/1").any()
