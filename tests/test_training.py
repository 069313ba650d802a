"""What a training leaves, what it starts from, and that the same session gives the same run again."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import TINY, intensities, training_session, write_pictures
from PIL import Image
from small_runs import history, same, workplace
from torch import Tensor

from saec.config import Config
from saec.data import Draws
from saec.data.png import table
from saec.faults import Fault
from saec.models import MODELS, model_table
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.runs import Run
from saec.runs.find import find_run, find_trained
from saec.session import SessionError, TrainingSession, load_session
from saec.together import Group
from saec.training import draw_views, plan_training, train
from saec.training.build import build
from saec.training.loop import one_epoch
from saec.training.plan import check_training

OPTIONS = {"epochs": 2, "batch_size": 2, "precision": "fp32"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Config:
    """A workplace that the tests of this file share, with the pictures of three recordings."""
    workspace = workplace(tmp_path_factory.mktemp("training"))
    write_pictures(workspace.data / "songs" / "images", intensities(6), per_recording=2)
    return workspace


@pytest.fixture(scope="module")
def run(workspace) -> Run:
    return train(load_session(tiny_session(), TrainingSession).named("first"), workspace)


def tiny_session(**changes: Any) -> dict[str, Any]:
    return training_session(**{"training": OPTIONS} | changes)


def data(**changes: Any) -> dict[str, Any]:
    return training_session()["data"] | changes


def after_an_epoch(session: dict[str, Any], workspace: Config) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights and scores, without a run folder."""
    built = build(check_training(load_session(session, TrainingSession), workspace))
    scores = one_epoch(built, built.train.training(0), "epoch 1", built.learner)
    return dict(built.model.state_dict()), scores


def log_of(run: Run) -> str:
    return (run.folder / "log.txt").read_text(encoding="utf-8")


# What a run leaves


def test_history_has_a_row_an_epoch_with_training_and_validation(run):
    rows = history(run)
    assert [list(row) for row in rows] == [["epoch", "learning_rate", "train_loss", "valid_loss"]] * 2
    assert [(row["epoch"], row["learning_rate"]) for row in rows] == [("1", "0.001"), ("2", "0.001")]
    assert all(0 < float(row[part]) < 1 for row in rows for part in ("train_loss", "valid_loss"))


def test_checkpoints_are_plain_and_the_best_is_of_the_lowest_validation_loss(run, workspace):
    last, best = (torch.load(run.folder / f"{name}.pt", weights_only=True) for name in ("last", "best"))
    assert set(last) == {"model", "objective", "learner", "progress", "history"}
    assert set(best) == {"model", "objective", "progress", "history"}  # weights alone, no optimizer
    assert last["progress"]["epoch"] == 2 and last["progress"]["finished"] is True
    assert last["learner"]["n_steps"] == 4
    assert best["progress"]["epoch"] == best["progress"]["best_epoch"] == last["progress"]["best_epoch"]
    losses = [float(row["valid_loss"]) for row in history(run)]
    assert [row["valid_loss"] for row in last["history"]] == losses
    assert run.progress.best == min(losses)
    assert run.progress.best_epoch == losses.index(min(losses)) + 1
    files = [*run.folder.iterdir(), *workspace.models.iterdir()]
    assert not [file.name for file in files if file.name.startswith(".")]  # half written


def test_the_session_is_written_with_every_default_and_loads_again(run, workspace):
    content = yaml.safe_load((run.folder / "session.yaml").read_text(encoding="utf-8"))
    record = content.pop("record")
    again = load_session(content, TrainingSession)
    assert again.named("first") == run.session
    assert content == again.model_dump(mode="json")
    assert content["data"] == {
        **{"kind": "images", "train": str(workspace.data / "songs" / "images"), "valid": 0.3},
        **{"channels": "intensity", "fit": "none", "limit": None, "skip_bad": False},
        **{"recursive": False, "group": None, "several": "none", "split_seed": None},
    }
    assert content["model"] == TINY and content["start"] == "scratch"
    assert content["objective"] == OBJECTIVES.parse("reconstruction").model_dump(mode="json")
    assert content["optimizer"] == OPTIMIZERS.parse("adam").model_dump(mode="json")
    assert content["views"]["threshold"] == [0.3, 0.5]
    expected = {"n": 2, "colormap": "viridis", "left_out": [], "groups": ["rec02"]}
    assert record["train"]["n"] == 4 and record["valid"] | expected == record["valid"]
    assert record["input_shape"] == [1, 128, 32] and record["threads"] == 1 and "torch" in record["versions"]


def test_a_run_is_named_by_second_and_session_and_one_of_two_by_its_folder(run, workspace, config):
    assert run.folder.parent == workspace.models
    assert re.fullmatch(r"\d{8}_\d{6}_first", run.folder.name)
    assert find_run(run.timestamp, workspace.models) == Run.at(run.folder) == run
    assert find_run("latest:first", workspace.models) == run
    names = [f"{run.timestamp}_{name}" for name in ("first", "my_songs")]
    first, songs = (Run(shutil.copytree(run.folder, config.models / name)) for name in names)
    with pytest.raises(Fault, match=f"2 models answer to '{run.timestamp}'") as fault:
        find_trained(run.timestamp, config)
    there = f"keep one of them in {config.models}:\n  {names[0]}\n  {names[1]}"
    assert there in str(fault.value)
    assert find_trained(names[0], config) == first
    assert find_run("latest:my songs", config.models) == find_run("latest:my_songs", config.models) == songs


def test_figures_are_valid_pictures_and_the_log_has_the_plan_every_epoch_and_the_outcome(run):
    for name in ("views.png", "history.png", "reconstructions.png"):
        with Image.open(run.folder / name) as figure:
            assert figure.format == "PNG"
            assert min(figure.size) > 60 and len(np.unique(np.asarray(figure))) > 50
    for words in ("data: train 4 pictures, valid 2", "model: compact", "epoch 1 of 2", "epoch 2 of 2"):
        assert words in log_of(run)
    assert re.search(
        r"epoch 1 of 2: .* for data, \d+ s left\n(?s:.*)epoch 2 of 2: .* for data\n", log_of(run)
    )
    assert "first: 2 epochs, best epoch" in log_of(run)
    table = (run.folder / "model.txt").read_text(encoding="utf-8")
    assert table == model_table(run.model(), run.input_shape) and table.startswith("block ")


def test_the_best_model_rebuilds_pictures_with_the_validation_loss_that_was_noted(run, workspace):
    built = build(check_training(run.session, workspace))
    model = run.model("best")
    errors = []
    with torch.no_grad():
        for batch in built.valid.validation():
            rebuilt = model.decoder(model.encoder(batch.seen))
            errors.extend((rebuilt - batch.target).square().mean(dim=(1, 2, 3)).tolist())
    assert np.isclose(np.mean(errors), run.progress.best, rtol=1e-5)


# Whether it has learnt anything


def test_a_run_that_is_no_better_than_the_mean_picture_says_so_with_its_error(run):
    error = re.search(r"no better than an answer that has learnt nothing \((\d\.\d+)\)", log_of(run))[1]
    valid, targets = sorted(Path(run.session.data.train).glob("rec02*")), []
    for index, file in enumerate(valid):
        chance = Draws.validation(np.array([index]), torch.device("cpu"), 0).uniform(7)[0, 0].item()
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        colours = table("viridis").astype(int)
        levels = np.abs(pixels[:, :, None, :] - colours).sum(axis=3).argmin(axis=2) / 255
        targets.append(np.where(levels < 0.3 + 0.2 * chance, 0, levels))
    assert float(error) == pytest.approx(np.mean((targets - np.mean(targets, axis=0)) ** 2), abs=6e-6)


def test_a_run_that_learns_does_not_warn(workspace):
    levels = np.full((16, 128, 8), 250, np.uint8)
    levels[::2] = 5
    write_pictures(workspace.data / "bright and dark", levels, "gray")
    session = tiny_session(
        views="plain",
        data=data(train="bright and dark", valid="bright and dark"),
        optimizer={"name": "adam", "learning_rate": 0.02},
        training=dict(OPTIONS, epochs=6),
    )
    run = train(session, workspace)
    assert run.progress.best < 0.1  # of the mean picture it is 0.23
    assert "no better than" not in log_of(run)


def test_a_decoder_that_was_not_learnt_is_left_out_of_all_that_is_shown_and_measured(workspace):
    for reconstruction in (0, 1):
        objective = {"name": "contrastive", "reconstruction": reconstruction}
        run = train(tiny_session(views="pair", objective=objective), workspace)
        assert (run.model().decoder is None) == (not reconstruction) and run.closed
        assert (run.folder / "reconstructions.png").exists() == bool(reconstruction)


def test_patience_stops_a_training_that_no_longer_improves(workspace):
    wild = {"name": "adam", "learning_rate": 0.5}
    run = train(tiny_session(optimizer=wild, training=dict(OPTIONS, epochs=30, patience=2)), workspace)
    losses = [float(row["valid_loss"]) for row in history(run)]
    assert 3 <= len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 3
    assert run.progress.stopped and run.progress.finished
    assert "stopped early" in log_of(run)


NORMED = [
    ("resnet18", (32, 32), "classification", 2),
    ("resnet18", (32, 32), {"name": "contrastive", "variant": "nt_xent", "last_norm": True}, 1),
    ("resnet18", (32, 32), {"name": "contrastive", "variant": "vicreg"}, 1),
    ("resnet18", (32, 32), {"name": "contrastive", "variant": "barlow", "last_norm": True}, 1),
    ("cnn", (32, 32), "classification", 1),  # of the last layer's 2 x 2 numbers
    ("convae", (32, 32), "reconstruction", 1),
    ("conv1d_strided", (16, 4), "reconstruction", 2),
    ("conv1d_strided", (16, 4), "sparse_reconstruction", 2),
    ("conv1d_strided", (16, 4), "contrastive", 2),  # one of the two views is decoded
]


@pytest.mark.parametrize(("model", "size", "objective", "least"), NORMED)
def test_a_last_batch_of_one_sample_stops_no_training(model, size, objective, least, config):
    """Batch norms that would see one number get it with the batch before; others go on as ever."""
    names = write_pictures(config.data / "songs" / "images", np_noise(12, *size), "gray", per_recording=1)
    rows = [f"{name},{'ab'[number % 2]}" for number, name in enumerate(names)]
    (config.data / "songs" / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    options = {"epochs": 2, "batch_size": 4, "accumulate": 2, "precision": "fp32"}
    views = "pair" if isinstance(objective, dict) or objective == "contrastive" else "plain"
    changes = {"model": model, "objective": objective, "views": views, "training": options}
    raw = training_session(**changes, data=data(valid=0.25))
    if model == "resnet18" and views == "pair":
        raw["objective"] |= {"reconstruction": 0}
    plan = check_training(load_session(raw, TrainingSession), config)
    built = build(plan)
    assert plan.least_batch == least and len(built.train.data) == 9
    assert [len(batch) for batch in built.train.training(0)] == ([4, 5] if least == 2 else [4, 4, 1])
    for epoch in range(2):
        scores = one_epoch(built, built.train.training(epoch), "epoch", built.learner)
        assert np.isfinite(scores["loss"])
    assert np.isfinite(one_epoch(built, built.valid.validation(), "validation")["loss"])
    if least == 2:
        with pytest.raises(
            Fault, match=f"data.train: 9 pictures are left .* of {model} need 2 in each process"
        ):
            build(plan, Group(world_size=5))
        one = load_session(raw, TrainingSession, ["training.batch_size=1", "views=plain"])
        with pytest.raises(SessionError, match=f"training.batch_size: .*{model}|compares samples of a batch"):
            check_training(one, config)


@pytest.mark.parametrize("bars", [(14, 14), (2, 2), (14, 2), ()])
def test_a_run_records_how_much_more_happens_in_the_middle_of_its_samples(bars, config):
    """A bar of 4 of 32 columns has 8 means in each, and the sum of (sin^2 - 1/2)^2 over all columns is 4."""
    levels = np.zeros((4, 128, 32), np.uint8)
    for picture, first in zip(levels, 2 * bars, strict=False):
        picture[20:60, first : first + 4] = 200
    write_pictures(config.data / "songs" / "images", levels)
    raw = tiny_session(data=data(valid="songs/images", channels="intensity"))
    built = build(check_training(load_session(raw, TrainingSession), config))
    middle = built.record()["train"].get("middle")
    if not bars:
        assert middle is None
        return
    sine = np.sin(np.pi * (np.arange(32) + 0.5) / 32) ** 2 - 0.5
    fitted = [8 * sine[first : first + 4].sum() / 4 for first in 2 * bars]
    expected = np.mean(fitted) - 2 * np.std(fitted, ddof=1) / 2
    assert middle == pytest.approx(expected, abs=1e-3)


def np_noise(n: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width)).astype(np.uint8)


def test_views_are_drawn_before_any_training(workspace, tmp_path):
    before = sorted(workspace.models.glob("*"))
    with Image.open(draw_views(tiny_session(), tmp_path / "views.png", workspace)) as figure:
        assert figure.format == "PNG" and min(figure.size) > 60
    assert sorted(workspace.models.glob("*")) == before


def test_a_validation_on_one_sample_is_warned_of(workspace, log):
    write_pictures(workspace.data / "two", intensities(2, width=8), "gray", per_recording=1)
    build(check_training(load_session(tiny_session(data=data(train="two")), TrainingSession), workspace))
    assert "validation has a single sample, so its scores say next to nothing: enlarge data.valid" in log.text


# The same again


@pytest.mark.parametrize(("precision", "n_epochs"), [("fp32", 2), ("bf16", 1)])
def test_the_same_session_gives_the_same_run_bit_for_bit(run, workspace, precision, n_epochs):
    session = tiny_session(training=dict(OPTIONS, precision=precision, epochs=n_epochs))
    first, second = (run if precision == "fp32" else train(session, workspace)), train(session, workspace)
    assert (first.folder / "history.csv").read_bytes() == (second.folder / "history.csv").read_bytes()
    assert same(first.load("last"), second.load("last"))
    assert same(first.load("best"), second.load("best"))
    assert first.session.training.precision == precision


def test_another_seed_gives_other_weights(workspace):
    sessions = (tiny_session(training=dict(OPTIONS, seed=seed)) for seed in (0, 0, 1))
    first, again, other = (after_an_epoch(session, workspace) for session in sessions)
    assert same(first[0], again[0]) and first[1]["loss"] == again[1]["loss"] != other[1]["loss"]
    assert not any(same(first[0][key], other[0][key]) for key in first[0] if key.endswith("weight"))


def test_runs_that_begin_in_one_second_get_timestamps_of_their_own(config):
    session = load_session(tiny_session(), TrainingSession)
    with ThreadPoolExecutor(3) as threads:
        runs = list(threads.map(lambda _: Run.create(config.models, session, {"input_shape": [1]}), range(3)))
    assert len({run.timestamp for run in runs}) == 3
    assert all(run.record == {"input_shape": [1]} for run in runs)
    assert sorted(config.models.iterdir()) == sorted(run.folder for run in runs)


# Starting from trained weights


def hot(run: Run, **start: Any) -> dict[str, Any]:
    return tiny_session(start={"weights_of": run.timestamp, **start}, model=None)


def test_a_number_of_samples_is_set_aside_by_a_seed_of_its_own_and_the_run_lists_the_split(workspace):
    def split_of(seed: int) -> pd.DataFrame:
        options = OPTIONS | {"epochs": 1, "seed": seed}
        session = tiny_session(data=data(valid=2, split_seed=3), training=options)
        return pd.read_csv(train(session, workspace).folder / "split.csv")

    first = split_of(0)
    assert list(first) == ["file", "label", "group", "split"] and len(first) == 6
    groups = {side: set(rows["group"]) for side, rows in first.groupby("split")}
    assert (len(groups["train"]), len(groups["valid"])) == (2, 1) and not groups["train"] & groups["valid"]
    pd.testing.assert_frame_equal(first, split_of(1))


def test_a_hot_start_begins_with_the_parents_weights_learns_on_and_leaves_its_parent_alone(run, workspace):
    before = run.load("last")
    for weights in ("best", "last"):
        built = build(check_training(load_session(hot(run, weights=weights), TrainingSession), workspace))
        assert same(dict(built.model.state_dict()), dict(run.load(weights)["model"]))
        assert built.progress.epoch == 0 and built.learner.n_steps == 0
        assert built.session.model == MODELS.parse(TINY)
    child = train(hot(run) | {"training": dict(OPTIONS, epochs=1)}, workspace)
    assert same(before, run.load("last"))
    theirs, own = run.load("best")["model"], child.load("last")["model"]
    assert theirs.keys() == own.keys()
    assert not any(same(theirs[key], own[key]) for key in own if key.endswith("weight"))
    assert [row["epoch"] for row in history(child)] == ["1"]
    assert child.session.start.weights_of == run.timestamp
    assert child.record["parent"] == str(run.folder)


def test_frozen_blocks_stay_as_they_are_statistics_included_in_bf16_too(run, workspace):
    session = hot(run, freeze=2) | {"training": dict(OPTIONS, precision="bf16")}
    own, theirs = after_an_epoch(session, workspace)[0], run.load("best")["model"]
    frozen = [key for key in own if key.startswith(("encoder.0.", "encoder.1."))]
    assert any("running_mean" in key for key in frozen)
    assert all(same(own[key], theirs[key]) for key in frozen)
    third = [key for key in own if key.startswith("encoder.2.")]
    assert third and not any(same(own[key], theirs[key]) for key in third)


def test_all_blocks_can_be_frozen(run, workspace):
    built = build(check_training(load_session(hot(run, freeze=5), TrainingSession), workspace))
    assert not any(weight.requires_grad for weight in built.model.encoder.parameters())


def test_a_start_may_say_the_model_of_its_parent_and_no_other_channels(run, workspace):
    words = "on 1 channels, these data have 3: choose `intensity`"
    with pytest.raises(SessionError, match=words):
        train(hot(run) | {"data": data(channels="rgb")}, workspace)
    same_model = plan_training(load_session(hot(run) | {"model": TINY}, TrainingSession), workspace)
    assert same_model.parent == run


# Data of all kinds


def test_one_picture_in_colours_trains_an_architecture_of_the_reference(workspace):
    write_pictures(workspace.data / "one", intensities(1, width=64))
    write_pictures(workspace.data / "wide", intensities(3, width=64), per_recording=1)
    one = data(train="one", valid="wide", channels="rgb")
    run = train(tiny_session(data=one, model="GenB3blocks", training=dict(OPTIONS, epochs=1)), workspace)
    assert run.record["train"]["n"] == 1 and run.record["valid"]["n"] == 3
    assert np.isfinite(float(history(run)[0]["train_loss"]))
    assert all(torch.isfinite(weight).all() for weight in run.load("last")["model"].values())
    assert run.record["input_shape"] == [3, 128, 64] and run.channels == 3
    with torch.no_grad():
        assert run.model("last").encoder(torch.rand(1, 3, 128, 64)).shape == (1, 256, 1, 8)


def test_folders_that_share_file_names_are_warned_of(workspace, log):
    session = tiny_session(data=data(valid="songs/images"), training=dict(OPTIONS, epochs=1))
    build(check_training(load_session(session, TrainingSession), workspace))
    assert "train and valid share 6 file names, validation will look too good" in log.text


# Extras


def test_tensorboard_gets_the_scores_of_every_epoch(workspace):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(tiny_session(training=dict(OPTIONS, epochs=1, tensorboard=True)), workspace)
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    values = [event.value for event in events.Scalars("valid_loss")]
    assert np.allclose(values, [float(row["valid_loss"]) for row in history(run)], rtol=1e-6)


def test_a_checkpoint_of_a_gpu_is_read_without_one(run, tmp_path, monkeypatch):
    """torch writes beside each tensor where it lay; here it says that all lay on a GPU."""
    copied = Run(shutil.copytree(run.folder, tmp_path / run.folder.name))
    for name in ("best", "last"):
        file, state = copied.folder / f"{name}.pt", run.load(name)
        with monkeypatch.context() as patch:
            patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
            torch.save(state, file)
        assert b"cuda:0" in file.read_bytes()
        if not torch.cuda.is_available():
            with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
                torch.load(file, weights_only=True)
        assert same(copied.load(name), state)
        assert same(dict(copied.model(name).state_dict()), dict(run.model(name).state_dict()))
    assert copied.progress == run.progress
