"""Runs, features, combiners and sessions that version 0.1.0 made are read and give what they gave."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from saec import evaluate, extract, train
from saec.config import Config, load_config
from saec.evaluation.combiner import Combiner
from saec.extraction import ExtractionSession
from saec.features import Features
from saec.files import fingerprint
from saec.preparation import PreparationSession
from saec.report import EvaluationSession
from saec.runs import Run
from saec.session import TrainingSession, load_session
from saec.training import go_on

KEPT = Path(__file__).parent / "made_by_0_1_0"
RESOLVED = json.loads((KEPT / "resolved.json").read_text())
EXPECTED = np.load(KEPT / "expected.npz")
MTIME_NS = 1_700_000_000 * 10**9
SESSIONS = {
    "preparation": PreparationSession,
    "training": TrainingSession,
    "extraction": ExtractionSession,
    "evaluation": EvaluationSession,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Config:
    """A copy of the workplace that 0.1.0 left, with its paths and times of change."""
    folder = tmp_path_factory.mktemp("made") / "workplace"
    shutil.copytree(KEPT / "workplace", folder)
    for file in filter(Path.is_file, folder.rglob("*")):
        if file.suffix in (".json", ".yaml", ".csv"):
            file.write_text(file.read_text().replace("/WORKPLACE", str(folder)))
        os.utime(file, ns=(MTIME_NS, MTIME_NS))
    return load_config(folder / "config" / "config.yaml")


def session_of(made: Config, name: str) -> Path:
    (file,) = (made.data.parent / "sessions").glob(f"*/{name}.yaml")
    return file


def run_of(made: Config, name: str) -> Run:
    (folder,) = made.models.glob(f"*_{name}")
    return Run(folder)


@pytest.mark.parametrize(("name", "shape"), [("pictures", (2, 1, 128, 16)), ("sounds", (2, 1, 16, 11))])
def test_a_run_gives_the_same_latents_and_pictures(made, name, shape):
    run = run_of(made, name)
    assert run.progress.finished and run.session.model.name
    seen = np.sin(np.arange(np.prod(shape))).reshape(shape) / 2 + 0.5
    for weights in ("best", "last"):
        model = run.model(weights)
        assert (model.decoder is None) == (name == "sounds")
        with torch.no_grad():
            latents = model.encoder(torch.tensor(seen, dtype=torch.float32))
            computed = {"latents": latents} | ({"rebuilt": model.decoder(latents)} if model.decoder else {})
        for key, values in computed.items():
            np.testing.assert_allclose(values, EXPECTED[f"{name}_{weights}_{key}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["features", "predict", "tap", "handcrafted", "reference", "combined"])
def test_an_extraction_gives_the_features_and_predictions_that_were_kept(made, name, tmp_path):
    changed = {"out": str(tmp_path)} | ({} if name == "combined" else {"reduction": None})
    again = extract(yaml.safe_load(session_of(made, name).read_text()) | changed, made)
    combined = "saec_combiner_combine"
    added = (combined, f"scores_{combined}", f"probabilities_{combined}")  # of 0.1.0 there are tables alone
    assert again.paths
    for file in again.paths:
        (kept,) = made.data.rglob(file.name) if file.stem not in added else [file]
        if file.suffix == ".npz":
            (new, old) = (np.load(one) for one in (file, kept))
            assert new.files == old.files and new["N"].tolist() == old["N"].tolist()
            np.testing.assert_allclose(new["X"], old["X"], rtol=1e-5, atol=1e-5)
        elif file.suffix == ".csv":
            pd.testing.assert_frame_equal(pd.read_csv(file), pd.read_csv(kept), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["features", "predict", "tap", "handcrafted", "reference"])
def test_the_same_extraction_over_the_kept_files_has_nothing_to_do(made, name, caplog):
    def contents() -> dict[Path, tuple[int, bytes]]:
        files = [file for folder in (made.data, made.data / "songs") for file in folder.glob("*.*")]
        return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

    before = contents()
    features = extract(session_of(made, name), made)
    assert "nothing to do" in caplog.text and contents() == before and len(features.X) == 12


def test_an_interrupted_run_goes_on_and_ends_as_the_unbroken_one(made):
    """Its fingerprints are of the folder that 0.1.0 saw, so those that it would have made here are put in."""
    run, unbroken = run_of(made, "interrupted"), run_of(made, "pictures")
    assert (run.progress.epoch, run.progress.finished) == (1, False)
    images = made.data / "songs" / "images"
    files = [[file.name, file.stat().st_size, MTIME_NS] for file in sorted(images.iterdir())]
    of_all = fingerprint(1, str(images), files, False, [])
    text = (run.folder / "session.yaml").read_text()
    for part, rows in (("train", range(8)), ("valid", range(8, 12))):
        text = text.replace(run.record[part]["fingerprint"], fingerprint(of_all, list(rows)))
    (run.folder / "session.yaml").write_text(text)
    done = go_on(Run(run.folder), made)
    rows, expected = (pd.read_csv(one.folder / "history.csv") for one in (done, unbroken))
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-3)
    for key, weight in unbroken.load("last")["model"].items():
        torch.testing.assert_close(done.load("last")["model"][key], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["pictures", "sounds"])
def test_a_training_begins_with_the_weights_of_a_kept_run(made, name):
    parent = run_of(made, name)
    session: dict[str, Any] = yaml.safe_load(session_of(made, name).read_text())
    del session["model"]
    session["start"] = {"weights_of": parent.timestamp, "freeze": 1}
    session["training"]["epochs"] = 1
    child = train(session, made)
    assert child.record["parent"] == str(parent.folder) and child.session.model == parent.session.model
    before, after = (list(run.model().encoder.parameters())[0] for run in (parent, child))
    assert torch.equal(before, after)  # of the frozen block


def test_a_combiner_gives_the_same_answers(made):
    (file,) = made.data.glob("reports/*/combiner_combine.skops")
    (latents,) = made.data.glob("pooled_flatten_*_latents.npz")
    (handcrafted,) = made.data.glob("pooled_handcrafted_*.npz")
    features = {"latents": Features.load(latents).X, "handcrafted": Features.load(handcrafted).X}
    labels, scores = Combiner.load(file).predict(features)
    assert list(labels) == EXPECTED["combiner_classes"].tolist()
    np.testing.assert_allclose(scores, EXPECTED["combiner_scores"], rtol=0, atol=1e-5)


def test_kept_features_get_the_same_scores_in_a_report(made, tmp_path):
    (file,) = made.data.glob("reports/*/scores.csv")
    session = load_session(session_of(made, "combine"), EvaluationSession, [f"out={tmp_path}"])
    tables = (pd.read_csv(one) for one in (file, evaluate(session, made).folder / "scores.csv"))
    kept, again = (table.set_index(["set", "method", "evaluation", "score"]) for table in tables)
    assert set(kept.index) <= set(again.index)
    combined = kept.index.get_level_values("method") == "combined"  # whose parts weigh alike since
    assert (again.loc[kept.index, "value"] >= kept["value"] - 1e-6)[combined].all()
    kept = kept[~combined]
    for column in ("value", "spread"):
        np.testing.assert_allclose(again.loc[kept.index, column], kept[column], rtol=1e-3, atol=1e-6)


def holds(new: Any, old: Any) -> bool:
    """Whether all values are the same; more keys may have come."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and holds(new[key], old[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(holds, new, old))
    return new == old


@pytest.mark.parametrize("file", RESOLVED)
def test_a_session_file_means_what_it_meant(file):
    session = load_session(KEPT / file, SESSIONS[(KEPT / file).parent.name])
    new, old = session.model_dump(mode="json"), RESOLVED[file]
    different = {key for key in old if key not in new or not holds(new[key], old[key])}
    assert not different, {key: (new.get(key), old[key]) for key in different}
