"""The benchmark of traces: gestures are what they are said to be, scores are right, contenders work."""

import argparse
from copy import deepcopy
from itertools import count

import numpy as np
import pytest

from benchmarks import traces, traces_baselines, traces_speed
from benchmarks.gestures import COLUMNS, PARTS, gestures, primitives, write_gestures
from benchmarks.traces_scored import f1_of_peaks, recovery
from benchmarks.traces_table import tables
from saec.config import Config

SMALL = {
    "conv1d": {"name": "conv1d", "encoder_blocks": 2, "decoder_blocks": 2, "inner": 768},
    "movements": {"name": "movements", "widths": [8], "latent": 12, "kernel": 3, "movement_frames": 5},
}


@pytest.fixture
def made() -> dict:
    return {part: list(gestures(3, part, 4, (2, 4))) for part in PARTS}


def test_gestures_are_the_same_by_seed_and_no_speaker_is_in_two_parts(made, tmp_path):
    again = write_gestures(tmp_path, 3, {"valid": 4}, (2, 4))["valid"]
    assert all(np.array_equal(a.trace, b.trace) for a, b in zip(made["valid"], again, strict=True))
    assert [len(np.load(file)) for file in sorted((tmp_path / "valid").iterdir())] == [
        len(one.trace) for one in again
    ]
    speakers = [{one.speaker for one in files} for files in made.values()]
    assert len(set.union(*speakers)) == sum(map(len, speakers))
    assert primitives(3).shape[1:] == (len(COLUMNS), 30) and 6 <= len(primitives(3)) <= 10


def test_a_trace_is_the_sum_of_its_movements_with_noise_whatever_the_speaker(made):
    one, kernels = made["test"][0], primitives(3)
    sums = [
        sum(
            np.convolve(one.activations[:, p], kernels[p, column])[: len(one.trace)]
            for p in range(len(kernels))
        )
        for column in range(len(COLUMNS))
    ]
    correlations = [np.corrcoef(one.trace[:, k], own)[0, 1] for k, own in enumerate(sums)]
    assert min(correlations) > 0.97
    for k, frames in enumerate(one.peaks):
        assert (one.activations[frames, k] >= 0.48).all()


def test_true_activations_are_recovered_also_when_they_are_late_turned_or_mixed_with_others(made):
    rng = np.random.default_rng(0)

    def codes(part: str) -> list[np.ndarray]:
        late = [np.roll(-one.activations, 4, axis=0)[:, ::-1] for one in made[part]]
        return [np.concatenate([rng.normal(size=of.shape), of], axis=1) for of in late]

    result = recovery((codes("valid"), made["valid"]), (codes("test"), made["test"]))
    assert result["recovery"] > 0.97 and result["f1"] > 0.97 and result["smoothed"] == 0
    noise = {part: [rng.normal(size=one.activations.shape) for one in made[part]] for part in made}
    assert recovery((noise["valid"], made["valid"]), (noise["test"], made["test"]))["recovery"] < 0.3


def test_a_peak_counts_once_and_only_within_50_ms():
    assert f1_of_peaks(np.array([10, 52]), np.array([12, 50])) == 1
    assert f1_of_peaks(np.array([10, 56]), np.array([12, 50])) == 0.5
    assert f1_of_peaks(np.array([10, 11]), np.array([10])) == pytest.approx(2 / 3)
    assert f1_of_peaks(np.array([]), np.array([10])) == 0


@pytest.mark.parametrize("name", traces_baselines.MODELS)
def test_baselines_encode_each_frame_on_frames_and_on_windows(made, name, monkeypatch):
    monkeypatch.setattr(traces_baselines, "N_LEARNT", 300)
    monkeypatch.setattr(traces_baselines, "ALPHAS", (1.0,))
    monkeypatch.setattr(traces_baselines, "ATOMS", (13,))
    monkeypatch.setattr(traces_baselines, "WINDOWS", (1, 3))
    scaled = [traces.scaled(one.trace) for one in made["train"]]
    encoders = list(traces_baselines.baselines(name, scaled, 0))
    assert {settings["window"] for settings, _ in encoders} == {1, 3}
    assert all(encode(scaled[0]).shape[0] == len(scaled[0]) for _, encode in encoders)
    assert np.allclose(traces_baselines.windows(scaled[0], 3)[5, 1::3], scaled[0][5])


@pytest.mark.slow
def test_codes_along_a_path_are_scored_and_shown_in_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "N_FILES", dict.fromkeys(PARTS, 2))
    session = traces.session_of() | {"model": SMALL["movements"]}
    session["training"]["epochs"] = 3
    monkeypatch.setattr(traces, "session_of", lambda: deepcopy(session))
    monkeypatch.setattr(traces, "ALPHAS", (0.0, 0.5))
    config = Config(data=tmp_path, models=tmp_path / "models", cache=tmp_path / "cache", device="cpu")
    jobs = ("gestures", "unpenalised")
    rows = [{"job": job, "seed": 0, **row} for job in jobs for row in traces.JOBS[job](0, config)]
    assert {row["contender"] for row in rows} == {"path", "unpenalised"}
    assert all(0 <= row["sparsity"] <= 1 and row["mse"] > 0 and "f1" in row for row in rows)
    assert "unpenalised" in tables(rows)


def test_contenders_train_and_evaluate_all_traces(tmp_path, monkeypatch):
    monkeypatch.setattr(traces_speed, "N_FILES", {"train": 3, "valid": 2})
    monkeypatch.setattr(traces_speed, "SECONDS", (0.1, 0.3))
    monkeypatch.setattr(traces_speed, "SAME", traces_speed.SAME | {"model": SMALL["conv1d"]})
    options, number = argparse.Namespace(device="cpu", threads=1), count()
    for work in traces_speed.GOALS:
        workspace = tmp_path / str(next(number))
        for entry in traces_speed.entries(work, workspace, options):
            assert entry.setup(entry.task)(0.0)["pictures_per_s"] > 0, entry.name
