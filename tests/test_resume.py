"""An interrupted run that is gone on with equals an unbroken one, row for row and bit for bit."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import intensities, training_session, write_pictures
from small_runs import (
    assert_equal_runs,
    begun_script,
    config_file,
    ended,
    give_weights,
    killed_call,
    killed_run,
    n_epochs_written,
    untrained_run,
    workplace,
)

from saec.config import Config
from saec.faults import Fault
from saec.files import locked
from saec.runs import Progress, Run
from saec.runs.find import warn_of_unfinished
from saec.session import TrainingSession, load_session
from saec.training import go_on, train
from saec.training.build import build
from saec.training.job import plan_training

EPOCHS = 4
# What depends on the total of epochs, too: all runs below are begun with it.
WHOLE = training_session(
    training={"epochs": EPOCHS, "batch_size": 2, "precision": "fp32"},
    optimizer={"name": "adamw", "schedule": "warmup_cosine", "clip": 0.1},
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Config:
    workspace = workplace(tmp_path_factory.mktemp("resume"))
    write_pictures(workspace.data / "songs" / "images", intensities(6), per_recording=2)
    return workspace


@pytest.fixture(scope="module")
def unbroken(workspace) -> Run:
    return train(load_session(WHOLE, TrainingSession).named("unbroken"), workspace)


def short_session(n_epochs: int, **changes: Any) -> dict[str, Any]:
    precision = changes.pop("precision", "fp32")
    options = {"epochs": n_epochs, "batch_size": 2, "precision": precision}
    return training_session(training=options, **changes)


def assert_equal_folders(run: Run, expected: Run) -> None:
    for name in ("history.csv", "views.png", "history.png", "reconstructions.png"):
        assert (run.folder / name).is_file(), name
    assert_equal_runs(run, expected)
    assert not list(run.folder.glob(".*"))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}


# More epochs


def test_an_epoch_and_one_more_equal_two_in_bf16(workspace):
    """In fp32 so does a classification, whose runs have more state."""
    both = train(short_session(2, precision="bf16"), workspace)
    part = train(short_session(1, precision="bf16"), workspace)
    assert n_epochs_written(part.folder) == 1
    more = go_on(part, workspace, epochs=2)
    assert more.folder == part.folder
    assert_equal_folders(Run(part.folder), both)
    assert Run(part.folder).session.training.epochs == 2


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS replaces files that are mapped")
@pytest.mark.usefixtures("like_windows")
def test_a_history_that_is_open_elsewhere_ends_no_training(workspace, unbroken, log, monkeypatch):
    run = Run(shutil.copytree(unbroken.folder, workspace.models / "20000101_000000_open"))
    held = np.memmap(run.folder / "history.csv", mode="r")
    monkeypatch.setattr("time.sleep", lambda _: None)
    epoch = run.progress.epoch + 1
    go_on(run, workspace, epochs=epoch)
    assert Run(run.folder).progress.epoch == epoch and len(held)
    assert f"the history is not up to date: {run.folder / 'history.csv'} cannot be replaced" in log.text


def test_a_finished_run_is_returned_as_it_is_and_needs_no_data(workspace, unbroken, log, tmp_path):
    before = contents(unbroken.folder)
    assert go_on(Run(unbroken.folder), workspace) == unbroken
    assert go_on(Run(unbroken.folder), workspace, epochs=EPOCHS) == unbroken
    with pytest.raises(Fault, match="has 4 epochs already, training.epochs cannot be 3"):
        go_on(Run(unbroken.folder), workspace, epochs=3)
    assert contents(unbroken.folder) == before
    assert "is finished: 4 epochs" in log.text
    other = workplace(tmp_path)
    copied = shutil.copytree(unbroken.folder, tmp_path / unbroken.folder.name)
    Run(copied).lock.mkdir()  # which cannot be held then, as in a folder that cannot be written
    file = copied / "session.yaml"
    file.write_text(file.read_text().replace(str(Path("songs", "images")), "gone"))
    assert go_on(Run(copied), other).progress.finished


def test_data_or_recordings_that_have_changed_since_are_refused_with_the_remedy(config, pictures):
    run = train(short_session(1), config)
    before = contents(run.folder)
    (aside,) = run.record["valid"]["groups"]
    other = next(name for name in ("rec00", "rec01", "rec02") if name != aside)
    labels, names = pictures.parent / "labels.csv", sorted(file.name for file in pictures.iterdir())
    for groups in ({aside: other, other: aside}, {other: aside}):
        rows = [f"{name},song,{groups.get(name[:5], '')}" for name in names]
        labels.write_text("\n".join(["file,label,group", *rows]))
        with pytest.raises(Fault, match="samples or their groups have changed since"):
            go_on(run, config, epochs=2)
    labels.write_text(f"file,label\n{names[0]},song\n")  # the same recordings, set aside as before
    assert contents(run.folder) == before and go_on(run, config, epochs=2).progress.epoch == 2
    before = contents(run.folder)
    remedy = rf"start: {{weights_of: {run.timestamp}, weights: last}}"
    for change in (
        lambda: write_pictures(pictures, intensities(1, seed=7)),  # another first one
        lambda: shutil.copy(pictures / names[0], pictures / "new_segm_1.png"),
    ):
        change()
        with pytest.raises(Fault, match=f"the train samples or their groups have changed since .*{remedy}"):
            go_on(run, config, epochs=3)
    assert contents(run.folder) == before


def test_a_run_that_another_process_is_at_work_on_is_refused_and_left_as_it_is(config, pictures):
    run = train(short_session(1), config)
    before = contents(run.folder)
    with locked(run.lock, run.folder):
        with pytest.raises(Fault, match="another process is at work on .*: wait for it, or end it") as fault:
            go_on(run, config, epochs=2)
        assert str(run.folder) in str(fault.value)
        assert {name: now for name, now in contents(run.folder).items() if name != ".lock"} == before
    assert go_on(run, config, epochs=2).progress.epoch == 2
    assert not run.lock.exists()


CONTRAST = {"objective": "contrastive", "views": "pair"}  # whose head is taken over, too
STARTS: dict[str, Any] = {
    "scratch": "scratch",
    "a file": {"weights_from": "weights.pth", "freeze": 1},
    "a run": {"weights_of": "{parent}", "weights": "last", "freeze": 1},
    "latest": {"weights_of": "latest:parent"},
}


@pytest.fixture(scope="module")
def parent(workspace) -> Run:
    return train(load_session(short_session(1, **CONTRAST), TrainingSession).named("parent"), workspace)


def begun_run(session: dict[str, Any], config: Config) -> Run:
    """A run that was ended before anything was learnt."""
    training = build(plan_training(load_session(session, TrainingSession), config))
    return Run.create(config.models, training.session, training.record(), training.split)


@pytest.mark.parametrize("start", STARTS)
def test_a_run_ended_in_its_first_epoch_begins_with_the_same_weights_or_not(start, config, pictures, parent):
    parent = Run(shutil.copytree(parent.folder, config.models / parent.folder.name))
    shutil.copy(parent.folder / "best.pt", config.data / "weights.pth")
    session = short_session(1, **CONTRAST, start=STARTS[start])
    if start in ("a run", "latest"):
        where = STARTS[start]["weights_of"].format(parent=parent.timestamp)
        session |= {"model": None, "start": STARTS[start] | {"weights_of": where}}
    unbroken, begun, other = train(session, config), begun_run(session, config), begun_run(session, config)
    if start == "latest":
        shutil.copytree(parent.folder, config.models / "29991231_235959_parent")
    assert_equal_runs(go_on(begun, config), unbroken)
    (config.data / "weights.pth").write_bytes(b"others")
    give_weights(parent, seed=1, epoch=2)
    if start != "scratch":
        with pytest.raises(Fault, match=r"are (last|best), epoch 2 now, .* was begun with|SHA-256"):
            go_on(other, config)


def test_an_unfinished_run_is_spoken_of_unless_another_process_is_at_work_on_it(config, log):
    run = untrained_run(config)
    run.save("last", {"model": run.model()}, Progress(epoch=1, best_epoch=1), [])
    with locked(run.lock, run.folder):
        warn_of_unfinished(run.name, config.models)
        assert log.text == ""
    run.lock.mkdir()  # which cannot be held then, as in a folder that cannot be written
    warn_of_unfinished(run.name, config.models)
    assert log.text == ""
    run.lock.rmdir()
    warn_of_unfinished(run.name, config.models)
    assert f"not finished yet; to go on with it: saec train {run.folder}" in log.text
    assert not run.lock.exists()


# Kills


def writing(name: str) -> Callable[[Path], bool]:
    """While that file is being written."""
    return lambda folder: any(folder.glob(f".writing_*_{name}"))


MOMENTS = {
    "after the first epoch": lambda folder: (folder / "last.pt").exists(),
    "before the first epoch ends": lambda folder: (folder / "views.png").exists(),
    "writing the figure of views": writing("views.png"),
    "writing the first best weights": writing("best.pt"),
    "writing the first weights": writing("last.pt"),
    "writing the second weights": lambda f: n_epochs_written(f) == 1 and writing("last.pt")(f),
    "between weights and history": lambda f: n_epochs_written(f) == 1 and writing("history.csv")(f),
    "writing the figure of the history": lambda f: n_epochs_written(f) == 3 and writing("history.png")(f),
    "writing the last row": lambda f: n_epochs_written(f) == EPOCHS - 1 and writing("history.csv")(f),
    "writing the last figure": lambda f: n_epochs_written(f) == EPOCHS and writing("history.png")(f),
    "writing the reconstructions": writing("reconstructions.png"),
}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process to look at what it writes")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_moment_is_finished_as_if_unbroken(workspace, unbroken, moment):
    run = killed_run(workspace, moment.replace(" ", "_"), WHOLE, MOMENTS[moment])
    if moment.startswith("writing"):
        assert list(run.folder.glob(".writing_*"))
    assert_equal_folders(go_on(run, workspace), unbroken)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process to look at what it writes")
def test_a_run_killed_twice_is_finished_as_if_unbroken_from_the_command_line(workspace, unbroken):
    run = killed_run(workspace, "twice", WHOLE, lambda f: n_epochs_written(f) == 1 and writing("last.pt")(f))
    words, printed = [run.folder, "--config", config_file(workspace)], workspace.data / "twice.txt"
    process = begun_script("main_01_train", words, printed)
    while n_epochs_written(run.folder) < 3:
        assert process.exitcode is None, printed.read_text()
        time.sleep(0.001)
    process.kill()
    process.join()
    assert ended(begun_script("main_01_train", words, printed), printed)[0] == [str(run.folder)]
    assert_equal_folders(run, unbroken)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process to look at what it writes")
@pytest.mark.parametrize("patience", [None, 1])
def test_a_run_killed_as_it_begins_its_further_epochs_knows_of_them(workspace, patience):
    """With patience it had stopped early, which further epochs overrule."""
    session = short_session(2 if patience is None else 30, optimizer={"name": "adam", "learning_rate": 0.5})
    session["training"]["patience"] = patience
    run = train(load_session(session, TrainingSession).named(f"further_{patience}"), workspace)
    done = run.progress.epoch
    words = [run.folder, "--config", config_file(workspace), "--set", f"training.epochs={done + 3}"]
    assert killed_call(workspace, run.name, words, lambda folder: f"epochs: {done + 3}" in session_of(folder))
    assert run.progress.epoch == done
    assert go_on(Run(run.folder), workspace).progress.epoch > done


def session_of(folder: Path) -> str:
    return (folder / "session.yaml").read_text(encoding="utf-8")
