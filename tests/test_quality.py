"""The quality benchmark on a small made set: every contender is scored alike, and no job is done twice."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import TINY, intensities, training_session, write_pictures

from benchmarks import labelled, quality, steps
from benchmarks.labelled import SCORED_ON, SETS, LabelledSet, skewed
from benchmarks.learning import features_of_sound, pooling_of
from benchmarks.quality_table import tables
from benchmarks.scored import FLOORS, rebuilt, scores
from saec.config import Config
from saec.faults import Fault

N = 36


@pytest.fixture
def made(tmp_path: Path) -> LabelledSet:
    """Bars at three heights, in six recordings of which each has all three."""
    images = tmp_path / "bars" / "images"
    names = write_pictures(images, intensities(N), per_recording=6)
    rows = [f"{name},{'lmh'[index % 3]},{index // 6}" for index, name in enumerate(names)]
    (images.parent / "labels.csv").write_text("\n".join(["file,label,group", *rows]))
    config = Config(data=tmp_path, models=tmp_path / "models", cache=tmp_path / "cache", device="cpu")
    return LabelledSet("bars", images, images, config)


def call(monkeypatch: pytest.MonkeyPatch, made: LabelledSet, workspace: Path, *more: str) -> list[dict]:
    """The rows of results after a call of the command line."""
    session = workspace / "tiny.json"
    session.write_text(json.dumps(training_session(model=TINY, views="pair", objective="contrastive")))
    monkeypatch.setitem(SETS, "bars", lambda workspace, config: made)
    monkeypatch.setattr("benchmarks.learning.CALIBRATED_S", 0.0)
    contenders = [*FLOORS, str(session), f"{session} objective.reconstruction=0", f"{session} + raw pixels"]
    words = ["--sets", "bars", "--contenders", *contenders, "--seeds", "0", "--seconds", "0.1"]
    folders = ["--workspace", str(workspace), "--results", str(workspace / "results.jsonl"), "--threads", "2"]
    monkeypatch.setattr(sys, "argv", ["quality", *words, *folders, *more])
    quality.main()
    return quality.written(workspace / "results.jsonl")


def test_poolings_are_named_with_their_options():
    pooling = pooling_of("weighted_stats trim=0 window=2")
    assert (pooling.name, pooling.trim, pooling.window) == ("weighted_stats", 0, 2)


@pytest.mark.slow
def test_a_contender_is_scored_by_every_pooling_beside_pixels(made, tmp_path, monkeypatch, capsys):
    rows = call(monkeypatch, made, tmp_path)
    pooled = [(state, pooling) for state in ("untrained", "trained") for pooling in quality.POOLED]
    assert [(row["state"], row["pooling"]) for row in rows] == [("", "")] * 2 + pooled * 2 + [("", "")]
    assert [row["contender"] for row in rows[:2]] == list(FLOORS)
    assert rows[1]["linear all"] == pytest.approx(1)
    assert all(0 <= row[score] <= 1 for row in rows for score in ("linear 5", "knn all", "hdbscan v_measure"))
    assert rows[5]["seconds"] > 0 and 0 < rows[5]["unexplained"] < 20
    assert "reconstruction: 0.0" in (made.config.models / rows[9]["run"] / "session.yaml").read_text()
    assert rows[10]["features"] == rows[1]["features"] + rows[4]["features"]  # side by side
    assert "tiny.json trained mean_std" in capsys.readouterr().out
    assert call(monkeypatch, made, tmp_path) == rows  # nothing was done again


def test_pictures_have_the_features_of_the_recordings_that_they_were_made_of(made, tmp_path):
    sounds, rng = tmp_path / "recordings", np.random.default_rng(0)
    sounds.mkdir()
    recordings = np.array([name.partition("_segm_")[0] for name in made.data.samples.names])
    for recording in np.unique(recordings):
        soundfile.write(sounds / f"{recording}.wav", rng.uniform(-0.5, 0.5, 4000), 8000)
    crafted = "handcrafted extractor.sample_rate=8000"
    rows = features_of_sound(crafted, replace(made, sounds=sounds))
    assert rows.shape == (N, 136) and len(np.unique(rows, axis=0)) == len(np.unique(recordings)) == 6
    assert all(len(np.unique(rows[recordings == one], axis=0)) == 1 for one in recordings)
    with pytest.raises(Fault, match="bars has pictures alone"):
        features_of_sound(crafted, made)


def test_raw_pixels_tell_bars_apart_and_noise_does_not(made):
    assert FLOORS["pixels"](made.data).shape == (N, N)  # as many components as there are pictures, or 64
    result = scores(FLOORS["raw pixels"](made.data), made, seed=0)
    assert result["linear all"] == pytest.approx(1) and result["linear 5"] > 0.9
    noise = scores(np.random.default_rng(0).normal(size=(N, 8)), made, seed=0)
    assert noise["linear all"] < 0.6 and noise["kmeans v_measure"] < 0.3


def test_groups_that_are_left_out_are_clustered_alone_and_never_learnt_from(made):
    one_by_one = LabelledSet("bars", made.train, made.scored, made.config, left_out=("2", "4"))
    groups = one_by_one.data.samples.groups
    parts = one_by_one.parts(0)
    assert len(parts) == 2
    for out, (clustered, [(table_now, wanted)]) in zip(("2", "4"), parts, strict=True):
        assert set(groups[clustered]) == set(groups[wanted]) == {out}
        assert out not in groups[table_now] and len(table_now) + len(wanted) == N


@pytest.mark.parametrize(("how", "counts"), [("most", [12, 9, 9]), ("zipf", [12, 6, 4])])
def test_skewed_sets_have_one_common_class_or_proportions_of_ranks(made, tmp_path, how, counts):
    few = skewed(f"bars_{how}", made, tmp_path)
    assert sorted(np.unique(few.data.samples.labels, return_counts=True)[1], reverse=True) == counts
    assert few.train == few.scored and skewed(f"bars_{how}", made, tmp_path) == few
    alone = LabelledSet("alone", made.train, made.scored, made.config, left_out=("2", "4"))
    labels = skewed(f"alone_{how}", alone, tmp_path).data.samples
    drawn = [labels.labels[labels.groups == group].tolist() for group in np.unique(labels.groups)]
    assert len(drawn) == 6 and len({tuple(sorted(one)) for one in drawn}) == 1  # each group alike


def test_models_are_held_to_the_picture_in_its_colours(made):
    same = SimpleNamespace(
        height=128, time_pool=4, eval=lambda: same, encoder=lambda x: x, decoder=lambda x: x
    )
    assert rebuilt(same, made.data)["rgb mse"] == 0 and made.data.about["colormap"] == "viridis"


def test_a_table_has_a_line_a_contender_with_mean_and_range_over_seeds():
    row = {"set": "bars", "contender": "default", "state": "trained", "pooling": "mean_std"}
    table = tables([row | {"seed": seed, "linear 5": score} for seed, score in enumerate((0.5, 0.7))])
    assert "| default trained mean_std |" in table and "0.600 ± 0.100" in table


def test_sets_are_named_for_what_they_hold_and_need_the_real_data(tmp_path, monkeypatch):
    monkeypatch.delenv("SAEC_REAL_DATA", raising=False)
    config = Config(data=tmp_path, models=tmp_path, cache=tmp_path, device="cpu")
    for name in sorted(set(SETS) - {"demo"}):
        with pytest.raises(Fault, match="SAEC_REAL_DATA"):
            SETS[name](tmp_path, config)
    assert not set(SCORED_ON) & set(labelled.DEVELOPED_ON)


@pytest.mark.slow
def test_a_session_that_learns_for_so_many_steps_is_scored_as_all_are(made, tmp_path):
    few = steps._few("few", made, tmp_path, 18)
    assert len(list(few.train.iterdir())) == 18 and few.scored == made.scored
    rows = [steps.scored(few, n_steps, seed=0) for n_steps in (0, 2)]
    assert [row["n"] for row in rows] == [12, 12]  # bars are told apart untrained, too: scores may be equal
    assert all(0 <= row[score] <= 1 for row in rows for score in ("kmeans v_measure", "knn all"))
