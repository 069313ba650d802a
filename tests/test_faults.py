"""Whatever is wrong with a session, a run or a path: one message with the remedy, and nothing is damaged."""

import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import (
    TINY,
    answer,
    contents,
    extraction_session,
    has_words,
    intensities,
    refused,
    training_session,
    write_pictures,
)
from damage import Trap
from small_runs import untrained_run, workplace
from sounds import CNN, LINEAR, MEL, features_session, heard_session, record, record_classes, tone

import main_01_train
import main_02_extract
from saec.config import Config
from saec.documents import read_mapping, to_yaml
from saec.faults import Fault, collect_faults, did_you_mean, listing
from saec.runs import Run
from saec.runs.find import all_runs

DATA = {"kind": "images", "train": "songs/images", "valid": 0.3}
ONE_EPOCH = {"epochs": 1, "batch_size": 4, "precision": "fp32"}


@pytest.fixture
def sounds(config: Config) -> Path:
    """Four recordings of each of three classes."""
    return record_classes(config.data / "sounds")


def session(**changes: Any) -> dict[str, Any]:
    return heard_session(training=ONE_EPOCH, **changes)


# Paths and this machine


@pytest.mark.parametrize("where", ["file", "below a file"])
def test_an_output_folder_that_is_a_file_is_refused(where, config, pictures):
    run = untrained_run(config)
    taken = config.data / "taken"
    taken.write_text("mine")
    out = taken if where == "file" else taken / "deeper"
    output = refused(main_02_extract, extraction_session(run.timestamp, out=str(out)), config)
    assert f"out: cannot write into {out} (" in output and "): choose another folder" in output
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("key", ["cache", "models"])
def test_a_cache_or_a_models_folder_that_is_a_file_is_refused(key, config, pictures):
    getattr(config, key).write_text("mine")
    output = refused(main_01_train, training_session(), config)
    assert f"cannot write into {getattr(config, key)} (" in output and "): choose another folder" in output
    assert getattr(config, key).read_text() == "mine"


def test_several_faults_of_the_data_are_reported_at_once(config, config_file, pictures):
    config_file.write_text("device: cuda:99\nworkers: 0\n")
    data = DATA | {"train": "nowhere", "valid": "songs/nowhere"}
    output = refused(
        main_01_train, training_session(data=data, start={"weights_of": "20250617_131810"}), config
    )
    assert "session session has 4 faults:" in output and not config.models.exists()
    for key in (
        "config.device: device cuda:99 is not there",
        "start.weights_of: no run",
        "data.train: no such",
        "data.valid: no such",
    ):
        assert f"\n  {key}" in output


def test_room_for_features_and_for_checkpoints_is_asked_for_before_work_begins(config, pictures, monkeypatch):
    """Of features once while they are computed and once in their files; flat ones are as large as latents."""
    run = untrained_run(config)
    session = extraction_session(run.timestamp, pooling="flatten", precision="fp32")
    for free, words in ((12_287, "features and what they are assembled from take"), (12_288, "")):
        monkeypatch.setattr("saec.disk.free_bytes", lambda folder, free=free: free)
        code, _, text = answer(main_02_extract, session, config)
        assert (code, words in text) == (2 if words else 0, True)
    output = refused(main_01_train, training_session(), config)
    assert (
        f"config.models: the checkpoints take 0.00 GB, the disk of {config.models} has 0.00 GB free" in output
    )


@pytest.mark.skipif(os.name == "nt", reason="there such paths are at home")
def test_a_windows_path_on_another_system_is_refused_and_never_created(config, pictures):
    before = sorted(config.data.parent.rglob("*"))
    path = r"C:\songs\images"
    for data in (DATA | {"train": path}, DATA | {"valid": path}):
        assert f"{path} is a Windows path" in refused(main_01_train, training_session(data=data), config)
    for changes in ({"data": {"images": path}}, {"out": path}):
        output = refused(main_02_extract, extraction_session("20000101_000000", **changes), config)
        assert f"{path} is a Windows path" in output and "run: no run '20000101_000000'" in output
    new = set(config.data.parent.rglob("*")) - set(before)
    assert not any("songs" in file.name for file in new) and not Path(path).exists()


# Trainings


def test_a_validation_of_another_width_says_what_to_do(config, pictures):
    write_pictures(config.data / "wide", intensities(4, width=64))
    text = refused(main_01_train, training_session(data=DATA | {"valid": "wide"}), config)
    assert "data.valid: pictures are (1, 128, 64), those of data.train are (1, 128, 32): take both of" in text
    share = training_session(data=DATA | {"valid": 0.1}, training=ONE_EPOCH)
    assert answer(main_01_train, share, config)[0] == 0


def test_a_loss_that_is_no_number_ends_the_training(config, pictures):
    session = training_session(optimizer={"name": "adam", "learning_rate": 1e30})
    output = refused(main_01_train, session, config)
    (run,) = all_runs(config.models)
    assert "epoch 1: the loss is nan" in output
    assert "try a lower optimizer.learning_rate, or optimizer.clip" in output
    assert f"epochs kept in {run.folder}: 0" in output
    assert not list(run.folder.glob("*.pt"))


def test_a_loss_that_is_no_number_leaves_the_epochs_before_it(config, pictures):
    assert answer(main_01_train, training_session(training=ONE_EPOCH), config)[0] == 0
    (run,) = all_runs(config.models)
    state = run.load("last")  # as a rate that is too high would leave it
    state["model"]["encoder.0.0.weight"][:] = torch.nan
    torch.save(state, run.folder / "last.pt")
    kept = {name: (run.folder / name).read_bytes() for name in ("best.pt", "history.csv")}
    text = refused(main_01_train, run.folder, config, "--set", "training.epochs=2")
    assert "epoch 2: the loss is nan" in text and f"epochs kept in {run.folder}: 1" in text
    assert {name: (run.folder / name).read_bytes() for name in kept} == kept
    assert run.progress.epoch == 1


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "pickle", "trap", "other tensors", "no model"])
def test_a_file_of_a_run_that_is_damaged_or_something_else_is_named_and_left_as_it_is(kind, config, pictures):
    run, trap = untrained_run(config), config.data / "trapped"
    document, damage = run.folder / "session.yaml", ("best.pt is ", "last.pt is ")
    if kind == "no model":
        lacking = read_mapping(document) | {"model": None, "start": {"weights_of": run.timestamp}}
        document.write_text(to_yaml(lacking), encoding="utf-8")
        damage = ("session.yaml lacks its `model`",)
    good = (run.folder / "best.pt").read_bytes()
    for file in (run.folder / "best.pt", run.folder / "last.pt") if kind != "no model" else ():
        if kind == "trap":
            torch.save({"model": Trap(trap)}, file)
        elif kind == "other tensors":
            torch.save({"weight": torch.zeros(3)}, file)
        else:
            damaged = {"empty": b"", "text": b"text" * 9, "cut": good[:-100], "pickle": pickle.dumps(3, 2)}
            file.write_bytes(damaged[kind])
    before = contents(run.folder)
    for output in (
        refused(main_01_train, run.folder, config),
        refused(main_02_extract, extraction_session(run.timestamp), config),
    ):
        assert any(str(run.folder / words) in output for words in damage)
        assert "restore it from a copy" in output
    assert contents(run.folder) == before and not trap.exists()


# What a session asks for


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> tuple[Config, Run]:
    """A finished classifier of three classes, in a workplace of its own."""
    workspace = workplace(tmp_path_factory.mktemp("classifier"))
    record_classes(workspace.data / "sounds")
    write_pictures(workspace.data / "songs" / "images", intensities(2))
    assert answer(main_01_train, session(), workspace)[0] == 0
    return workspace, all_runs(workspace.models)[0]


def crafted(**options: Any) -> dict[str, Any]:
    return {"run": None, "extractor": {"name": "handcrafted"} | options}


TOO_SHORT = "model: needs spectra of at least 16 rows and 16 frames, got 16 x 14: choose a smaller"
START = {"model": None}
OTHER_ROWS = (
    "the spectrum has 16 rows, the model takes 128: choose `data.spectrum.n_mels: 128` of a mel spectrum"
)
TRAINING: list[tuple[dict[str, Any], str]] = [
    ({"model": TINY}, f"data.train: {OTHER_ROWS}, or another model"),
    ({"model": "cnn"}, TOO_SHORT),
    ({"model": "convae"}, TOO_SHORT),
    ({"name": 245 * "n"}, "nnn' is too long for names of files: at most 160 letters"),
    ({"objective": "reconstruction"}, "objective: reconstruction needs a model with a decoder, cnn has none"),
    (
        {"objective": {"name": "reconstruction", "loss": "ssim_l1"}, "data": {"standardise": "item"}},
        "objective.loss: takes values in [0, 1]: choose another, or data that are not standardised",
    ),
    (START | {"start": {"freeze": 5}}, "start.freeze: cnn has 4 blocks, got 5"),
    (START | {"start": {"freeze": -1}}, "start"),
    (START | {"start": {"freeze": "all"}}, "start"),
    (
        START | {"start": {"weights_of": "20000101_000000"}},
        "start.weights_of: no run '20000101_000000' ... there are\n  {run.folder.name}",
    ),
    (
        {"model": CNN | {"hidden": 5}, "start": {}},
        "model: {run.folder} has  ... 'hidden': 4 ... 'hidden': 5 ... leave `model` out, or `start: scratch`",
    ),
    (
        START | {"data": {"spectrum": LINEAR}, "start": {"freeze": 1}},
        "the spectrum has 128 rows, the model takes 16",
    ),
]
IMAGES = {"data": {"images": "songs/images"}}
EXTRACTION: list[tuple[dict[str, Any], str]] = [
    (IMAGES, "takes sounds: say `data: {{sounds: ...}}`, not `images`"),
    ({"data": {}}, "name one of `arrays`, `images`, `sounds`"),
    ({"data": {"sounds": []}}, "data.sounds: a list should have at least 1 item, got []"),
    ({"data": {"images": "songs/images", "sounds": "sounds"}}, "name one of `arrays`, `images`, `sounds`"),
    ({"tap": "conv3"}, "run: the encoder has no block 'conv3': did you mean 'conv"),
    ({"layers_dropped": 6}, "run: the model has 5 blocks, 6 cannot be dropped"),
    ({"tap": "conv1", "layers_dropped": 1}, "both say where features are taken: keep one"),
    ({"tap": "conv1", "backend": "onnx"}, "need the encoder's blocks: choose `backend: torch`"),
    ({"variant": 195 * "v"}, "variant: 'saec_ ... vvv' is too long for names of files"),
    ({"data": {"sounds": "sounds", "fit": "crop"}}, "fit: "),
    ({"data": {"sounds": "nowhere"}}, "data.sounds: no folder of recordings"),
    ({"run": None, "combiner": ""}, "combiner: a path is expected, got an empty text"),
    (crafted() | {"tap": "conv1"}, "`tap` is an option of a `run`"),
    (
        crafted() | {"pooling": "mean_std", "latents": "float16", "weights": "best"},
        "`latents` is an option of a `run`; `pooling` is an option of a `run`; `weights` is an option of a "
        "`run`, without effect with `extractor`: leave it out",
    ),
    ({"run": None, "combiner": "c", "pooling": "mean"}, "`pooling` ... without effect with `combiner`"),
    (
        {"run": None, "pretrained": {"file": "a.onnx", "input": "image"}, "layers_dropped": 1},
        "`layers_dropped` is an option of a `run`, without effect with `pretrained`",
    ),
    (
        {"run": None, "pretrained": {"file": "s3://songs/a.onnx", "sample_rate": 8000, "window_s": 0.25}},
        "pretrained: a path of this machine is expected, got an address, s3://",
    ),
    (crafted() | {"data": {"sounds": "sounds", "fit": "crop"}}, "data.fit: `extractor` takes samples as"),
    ({"extractor": "handcrafted"}, "got extractor and run"),
    (crafted() | IMAGES, "handcrafted takes sounds: say `data: {{sounds: ...}}`, not `images`"),
    (crafted(segment_s=0.1, step_s=1e-5), "step_s must be at least 0.001 s"),
    (crafted(sample_rate=2000, window_s=0.1), "13 MFCC need as many filters ... a higher sampling rate"),
]
ASKED = [("train", *case) for case in TRAINING] + [("extract", *case) for case in EXTRACTION]


@pytest.mark.parametrize(("what", "changes", "words"), ASKED)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(what, changes, words, classifier):
    workspace, run = classifier
    before = contents(workspace.data), contents(workspace.models)
    if what == "train":
        wanted = session(data=changes.get("data", {})) | {
            key: changes[key] for key in changes if key != "data"
        }
        if "start" in changes:
            wanted["start"] = {"weights_of": run.timestamp} | changes["start"]
        text = refused(main_01_train, wanted, workspace)
    else:
        text = refused(main_02_extract, features_session(**{"run": run.timestamp} | changes), workspace)
    assert has_words(text, words.format(run=run))
    assert (contents(workspace.data), contents(workspace.models)) == before


@pytest.mark.parametrize("n_drawn", [0, 3])
def test_reconstructions_that_a_model_without_decoder_cannot_make_are_said_to_be_none(n_drawn, classifier):
    workspace, run = classifier
    wanted = features_session(run.timestamp, reconstructions=n_drawn)
    code, _, text = answer(main_02_extract, wanted, workspace, "--check")
    assert code == 0 and ("no decoder: no reconstructions" in text) == bool(n_drawn)


def test_a_run_on_pictures_takes_no_sounds(config, pictures, sounds):
    text = refused(main_02_extract, features_session(untrained_run(config).timestamp), config)
    assert "takes images: say `data: {images: ...}`, not `sounds`" in text


def test_a_child_that_gets_other_spectra_than_its_parent_is_warned(classifier, config, sounds):
    start = {"weights_of": str(classifier[1].folder), "freeze": 1}
    child = session(data={"spectrum": MEL | {"window": "hamming"}}) | {"start": start, "model": None}
    code, _, text = answer(main_01_train, child, config)
    assert code == 0 and has_words(text, "data.spectrum is name='mel' ... was trained with name='mel'")


# Predictions of a classifier


def predictions(config: Config, run: Run, **changes: Any) -> tuple[Path, pd.DataFrame, str]:
    """The table that an extraction writes, and what it logs."""
    code, out, text = answer(main_02_extract, features_session(str(run.folder), **changes), config)
    assert code == 0, text
    (file,) = [Path(line) for line in out.splitlines() if "predictions_2" in line]
    return file, pd.read_csv(file), text


def test_a_label_that_training_never_saw_is_warned_of_at_prediction(config, sounds, classifier):
    record(sounds / "odd" / "0.wav", tone(2000))
    _, rows, text = predictions(config, classifier[1])
    assert "1 labels are of no class that was learnt, and count as wrong:\n  odd" in text
    assert rows["label"].tolist() == ["high"] * 4 + ["low"] * 4 + ["mid"] * 4 + ["odd"]
    assert set(rows["predicted"]) <= {"high", "low", "mid"} and "p odd" not in rows


def test_folders_that_are_no_classes_are_no_labels(config, sounds, classifier):
    for site in ("site0", "site1"):
        record(config.data / "sites" / site / "0.wav", tone(2000))
    _, rows, text = predictions(config, classifier[1], data={"sounds": "sites"})
    assert "2 folders are no classes that were learnt, so they are no labels:\n  site0\n  site1" in text
    assert "label" not in rows and "accuracy" not in text


@pytest.mark.parametrize(
    ("data", "files", "folder"),
    [
        ("sounds/low/0.wav", ["0.wav"], "sounds"),
        (["sounds/low", "sounds/mid"], [f"{n}/{k}.wav" for n in ("low", "mid") for k in range(4)], "sounds"),
        ("sounds/table.csv", ["low/0.wav"] * 2, "sounds"),
    ],
)
def test_predictions_are_of_recordings_folders_or_a_table(data, files, folder, config, sounds, classifier):
    (sounds / "table.csv").write_text("file,start,end\nlow/0.wav,0,0.1\nlow/0.wav,0.1,0.2\n")
    file, rows, _ = predictions(config, classifier[1], data={"sounds": data})
    assert rows["file"].tolist() == files and file.parent == config.data / folder


def test_recordings_and_folders_side_by_side_have_predictions_of_their_own(config, sounds, classifier):
    """None lie among the recordings, which are listed as before."""
    tables = {}
    for data in ("low/0.wav", "low/1.wav", "low", "mid"):
        file, rows, _ = predictions(config, classifier[1], data={"sounds": f"sounds/{data}"})
        assert file not in tables and file.parent == sounds
        tables[file] = rows["file"].tolist()
    assert list(tables.values()) == [["0.wav"], ["1.wav"], *2 * [[f"{n}.wav" for n in range(4)]]]
    assert len(list((sounds / "low").iterdir())) == 4


# The words


def test_a_listing_shows_the_first_and_counts_the_rest():
    assert listing("abc") == "  a\n  b\n  c"
    assert listing(range(1012), most=2) == "  0\n  1\n  ... and 1,010 more"


def test_the_nearest_name_is_named_or_all_of_them():
    assert did_you_mean("epoch", ["epochs", "seed"]) == "did you mean 'epochs'?"
    assert did_you_mean("xyz", ["epochs", "seed"]) == "choose from epochs, seed"
    assert did_you_mean(None, ["epochs"]) == "choose from epochs"


def test_faults_are_noted_under_their_key_and_bugs_are_not():
    def refuse(word: str) -> None:
        raise Fault(f"no {word}")

    faults = []
    assert collect_faults(faults, "a.b", str.upper, "x") == "X"
    assert collect_faults(faults, "a.b", refuse, "way") is None
    assert faults == ["a.b: no way"]
    with pytest.raises(ZeroDivisionError):
        collect_faults(faults, "a.b", lambda: 1 // 0)
