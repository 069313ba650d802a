"""A probe scores latents while a model trains and changes nothing; `epochs: auto` goes by the set's size."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import intensities, training_session, write_pictures
from small_runs import assert_equal_runs, same, workplace
from sounds import heard_session, record_classes
from traces import STRIDED, write_traces

from saec.config import Config
from saec.evaluation.base import macro_f1
from saec.faults import Fault
from saec.features import POOLINGS, pool
from saec.runs import Run
from saec.session import SessionError, TrainingSession, load_session
from saec.training import go_on, plan_training, train
from saec.training.build import Training, build
from saec.training.plan import check_training
from saec.training.work import STEPS, with_epochs

OPTIONS = {"epochs": 2, "batch_size": 4, "precision": "fp32"}
FORGETFUL = {"name": "adamw", "schedule": "warmup_cosine"}  # its rates depend on the number of all steps


def label(names: list[str], table: Path) -> None:
    """Three classes by number, as the fixture's bars are; groups stay the recordings."""
    rows = [f"{name},{'abc'[i % 3]}" for i, name in enumerate(names)]
    table.write_text("\n".join(["file,label", *rows]) + "\n")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Config:
    workspace = workplace(tmp_path_factory.mktemp("probe"))
    songs = workspace.data / "songs"
    label(write_pictures(songs / "images", intensities(12), per_recording=3), songs / "labels.csv")
    for name in ("bare", "one"):
        names = write_pictures(workspace.data / name / "images", intensities(4), per_recording=1)
    rows = [f"{name},song" for name in names]
    (workspace.data / "one" / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    record_classes(workspace.data / "sounds")
    for number, name in enumerate("ab"):
        write_traces(workspace.data / "traces" / name, 6, shortest=20 + number)
    return workspace


def of_pictures(**changes: Any) -> dict[str, Any]:
    return training_session(**{"training": OPTIONS, "optimizer": FORGETFUL} | changes)


def of_traces(**changes: Any) -> dict[str, Any]:
    data = {"kind": "arrays", "train": "traces", "valid": 0.3, "scale": "file"}
    return training_session(data=data, model=STRIDED, views="plain", training=OPTIONS) | changes


def of_sounds(**changes: Any) -> dict[str, Any]:
    return heard_session(training=OPTIONS) | changes


KINDS = {
    "pictures": of_pictures,
    "views of a contrast": lambda **changes: of_pictures(views="pair", objective="contrastive") | changes,
    "sounds that are classified": of_sounds,
    "traces of several lengths": of_traces,
}


def trained(session: dict[str, Any], workspace: Config, name: str = "probed", **probe: Any) -> Run:
    session = session | {"training": session["training"] | {"probe": probe}} if probe else session
    return train(load_session(session, TrainingSession).named(name), workspace)


def built(session: dict[str, Any], workspace: Config, **training: Any) -> Training:
    session = session | {"training": session["training"] | training}
    return build(check_training(load_session(session, TrainingSession), workspace))


def column(run: Run, name: str = "valid_knn") -> list[float]:
    with (run.folder / "history.csv").open(encoding="utf-8", newline="") as lines:
        return [float(row[name]) for row in csv.DictReader(lines)]


# A probe


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_changes_no_weight_and_no_other_score_of_any_kind_of_data(workspace, kind):
    session = KINDS[kind]()
    plain, probed = trained(session, workspace), trained(session, workspace, every=1)
    states = [run.load("last") for run in (plain, probed)]
    scores = [row.pop("valid_knn") for row in states[1]["history"]]
    assert len(scores) == 2 and all(0 <= score <= 1 for score in scores) and column(probed) == scores
    assert same(*states) and same(plain.load("best")["model"], probed.load("best")["model"])
    log = (probed.folder / "log.txt").read_text(encoding="utf-8")
    assert re.findall(r"valid_knn (\d\.\d+)", log) == [f"{score:.5f}" for score in scores]
    assert probed.session.training.probe.n_neighbors == 5 and plain.session.training.probe is None


@pytest.mark.parametrize("kind", ["pictures", "traces of several lengths"])
@torch.no_grad()
def test_a_probe_is_the_macro_f1_of_neighbours_among_training_samples_as_they_are(workspace, kind):
    session = KINDS[kind]()
    run = trained(session, workspace, n_neighbors=2, pooling={"name": "mean", "trim": 0})
    parts, model = built(session, workspace), run.model("last")
    rows, labels = [], []
    for data in (parts.train.data, parts.valid.data):
        pooled = []
        for index in range(len(data)):  # one by one: nothing is padded
            raw = data.gather(np.array([index]), torch.device("cpu"))
            latents = model.encode(data.front(raw)).flatten(1, 2)
            pooled.append(pool(POOLINGS.parse({"name": "mean", "trim": 0}), latents))
        rows.append(torch.cat(pooled).numpy())
        labels.append(data.samples.labels)
    scaled = [(one - rows[0].mean(0)) / rows[0].std(0) for one in rows]
    predicted = []
    for row in scaled[1]:
        distances = np.linalg.norm(scaled[0] - row, axis=1)
        near = np.argsort(distances)[:2]
        votes = {name: (1 / distances[near])[labels[0][near] == name].sum() for name in np.unique(labels[0])}
        predicted.append(max(votes, key=votes.get))
    assert column(run)[-1] == pytest.approx(macro_f1(labels[1], np.array(predicted)))


def test_a_run_goes_on_as_if_unbroken_and_epochs_that_were_probed_are_not_probed_again(workspace):
    session = of_pictures(optimizer="adam")
    whole = trained(session | {"training": OPTIONS | {"epochs": 3}}, workspace, limit=6)
    part = trained(session, workspace, limit=6)
    state, last = part.load("last"), part.folder / "last.pt"
    state["history"][0]["valid_knn"] = 0.125  # which no epoch has
    torch.save(state, last)
    more = go_on(part, workspace, epochs=3)
    assert column(more) == [0.125, *column(whole)[1:]]
    assert same(more.load("last")["model"], whole.load("last")["model"])
    table = workspace.data / "songs" / "labels.csv"
    before = table.read_text()
    table.write_text(before.replace(",a", ",c"))
    with pytest.raises(Fault, match="have changed since"):
        go_on(Run(part.folder), workspace, epochs=4)
    table.write_text(before)


def test_epochs_that_are_left_out_have_no_score_and_the_figure_of_the_history_has_one_more_part(workspace):
    session = of_pictures(training=OPTIONS | {"epochs": 3})
    probed, plain = trained(session, workspace, every=2), trained(session, workspace)
    assert [np.isnan(score) for score in column(probed)] == [True, False, True]
    assert (probed.folder / "log.txt").read_text().count("valid_knn") == 1
    lengths = [(run.folder / "history.png").stat().st_size for run in (probed, plain)]
    assert lengths[0] > lengths[1]


def test_samples_with_labels_are_limited_evenly_by_class_and_others_are_left_out(workspace, log):
    table = workspace.data / "songs" / "labels.csv"
    before = table.read_text()
    table.write_text("\n".join(line for line in before.splitlines() if "_0004." not in line) + "\n")
    try:
        probe = built(of_pictures(), workspace, probe={"limit": 4}).probe
        every = built(of_pictures(), workspace, probe={"limit": 2000}).probe
    finally:
        table.write_text(before)
    counts = np.unique(probe.train.data.samples.labels, return_counts=True)[1].tolist()
    assert sorted(counts) == [1, 1, 2] and "" not in every.train.data.samples.labels
    assert "probe: 5 of 6 training samples of 3 classes classify 6 of 6 validation samples" in log.text


@pytest.mark.parametrize(
    ("data", "training", "words"),
    [
        ({"train": "bare/images"}, {}, ": it needs samples of two classes at least, got no labels"),
        ({"train": "one/images"}, {}, ": it needs samples of two classes at least, got one class, 'song'"),
        ({"valid": "bare/images"}, {}, ": no sample of data.valid is of a class that data.train has"),
        ({}, {"every": 3}, ".every: 3 is more than the 2 epochs of the training"),
        ({}, {"every": 601}, ".every: 601 is more than the 600 epochs that auto makes at most"),
        ({}, {"every": 0}, ".every: input should be greater than 0, got 0"),
        ({}, {"pooling": "maen"}, ".pooling: unknown pooling 'maen', did you mean 'mean'?"),
        ({}, {"limits": 3}, ".limits: unknown key, did you mean 'limit'?"),
    ],
)
def test_a_probe_that_cannot_be_is_a_fault_before_data_are_read(workspace, data, training, words):
    epochs = {"epochs": "auto"} if training.get("every") == STEPS + 1 else {}
    session = of_pictures(training=OPTIONS | epochs | {"probe": training})
    session["data"] = session["data"] | data
    with pytest.raises(SessionError) as fault:
        plan_training(load_session(session, TrainingSession), workspace)
    assert f"training.probe{words}" in str(fault.value)


def test_a_split_that_leaves_no_classes_for_a_probe_is_a_fault_and_makes_no_run(config):
    songs = config.data / "songs"
    names = write_pictures(songs / "images", intensities(4), per_recording=2)
    rows = [f"{name},{'ab'[i // 2]}" for i, name in enumerate(names)]  # a recording each
    (songs / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    with pytest.raises(Fault, match="training.probe: needs two classes and samples of them on both sides"):
        trained(of_pictures(), config, every=1)
    assert not list(config.models.glob("*_probed"))


# epochs: auto


@pytest.mark.parametrize(
    ("n_batches", "epochs"), [(1, 600), (2, 300), (7, 86), (9, 67), (10, 60), (19, 60), (1_600, 60)]
)
def test_automatic_epochs_are_60_and_more_where_these_are_fewer_than_600_steps(n_batches, epochs):
    session = load_session(of_pictures(training={"epochs": "auto"}), TrainingSession)
    assert with_epochs(session, n_batches).training.epochs == epochs
    given = load_session(of_pictures(), TrainingSession)
    assert with_epochs(given, n_batches) is given


def test_automatic_epochs_are_a_number_for_the_schedule_and_can_be_changed(workspace, monkeypatch, log):
    monkeypatch.setattr("saec.training.work.STEPS", 6)
    monkeypatch.setattr("saec.training.work.EPOCHS", 1)
    auto = of_pictures(training=OPTIONS | {"epochs": "auto"})
    assert "for about 3\n" in plan_training(load_session(auto, TrainingSession), workspace).estimate()
    run, same_run = (
        trained(auto, workspace),
        trained(of_pictures(training=OPTIONS | {"epochs": 3}), workspace),
    )
    assert_equal_runs(run, same_run)
    assert run.session.training.epochs == 3 and run.record["automatic_epochs"] == 3
    assert "automatic_epochs" not in same_run.record
    assert (
        built(auto, workspace, accumulate=2, probe={"every": 9}).session.training.epochs == 6
    )  # a step each
    assert "training.probe.every: 9 is more, so no epoch is probed" in log.text
    assert "training.epochs: auto is 3, with 2 steps an epoch" in log.text
    assert yaml.safe_load((run.folder / "session.yaml").read_text())["training"]["epochs"] == 3
    assert go_on(run, workspace, epochs=4).progress.epoch == 4


@pytest.mark.parametrize("word", ["many", "7.5", ""])  # 7 in quotes: test_session
def test_a_word_that_is_not_auto_is_a_fault(word):
    words = f"training.epochs: must be a number of epochs, or auto, got '{word}'"
    with pytest.raises(SessionError, match=words):
        load_session(of_pictures(training={"epochs": word}), TrainingSession)
