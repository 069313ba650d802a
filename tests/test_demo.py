"""The demo: complete, the same every time, neither trivial nor hopeless, and done by three commands."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import contents
from PIL import Image
from small_runs import begun_script, config_file, ended, workplace

from saec.demo import KINDS, RATE, make_demo, syllable
from saec.sections.sets import PIXELS

TINY = {"n_recordings": 3, "n_syllables": 60}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    make_demo(folder, **TINY)
    return folder


def test_every_syllable_has_a_picture_and_a_label_and_the_sides_share_no_recording(demo):
    labels = pd.read_csv(demo / "labels.csv").set_index("file")
    sides = [sorted((demo / side / "images").glob("*.png")) for side in ("train", "valid")]
    assert list(labels.index) == sorted(file.name for side in sides for file in side)
    assert len(labels) == labels.index.nunique() == 60 and set(labels["label"]) == set(KINDS)
    with Image.open(sides[1][0]) as picture:
        assert picture.size == (256, 128) and picture.mode == "RGB"
    train, valid = (set(labels.loc[[file.name for file in side], "group"]) for side in sides)
    assert (len(train), len(valid)) == (2, 1) and not train & valid
    for side in sides:
        assert side[0].with_name("_feature_extraction_parameters.json").is_file()


def test_annotations_lie_within_their_recordings_and_do_not_overlap(demo):
    rows = pd.read_csv(demo / "recordings" / "annotations.csv")
    assert len(rows) == 60
    for name, own in rows.groupby("recording"):
        about, times = soundfile.info(demo / "recordings" / name), own[["start", "end"]].to_numpy().ravel()
        assert about.samplerate == RATE and about.subtype == "PCM_16"
        assert (np.diff(times) > 0).all() and 0 < times[0] and times[-1] < about.duration


def test_the_same_demo_comes_every_time_and_is_made_only_once(demo, tmp_path):
    make_demo(tmp_path / "demo", **TINY)
    again = contents(tmp_path / "demo")
    assert again == contents(demo)
    (tmp_path / "demo" / "labels.csv").unlink()
    make_demo(tmp_path / "demo", **TINY)
    assert not (tmp_path / "demo" / "labels.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_demo_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("saec.demo._rain", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "demo", **TINY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_syllables_vary_and_are_finite(kind):
    rng = np.random.default_rng(0)
    sung = [syllable(kind, rng, dialect_octaves=0.2, tempo=1.2) for _ in range(5)]
    assert len({len(sound) for sound in sung}) > 1
    for sound in sung:
        assert np.isfinite(sound).all() and np.abs(sound).max() == pytest.approx(1)
        assert 0.05 < len(sound) / RATE < 0.394


@pytest.mark.slow
def test_the_kinds_differ_but_not_trivially(trained):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    whole = trained[0].parents[1] / "data" / "demo"
    label = pd.read_csv(whole / "labels.csv").set_index("file")["label"]
    pixels, labels = {}, {}
    for side, n_pictures in (("train", 480), ("valid", 120)):
        files = sorted((whole / side / "images").glob("*.png"))
        assert len(files) == n_pictures
        pixels[side] = np.stack([_small(file) for file in files])
        labels[side] = [label[file.name] for file in files]
    probe = make_pipeline(PCA(64, random_state=0), LogisticRegression(max_iter=2000))
    right = probe.fit(pixels["train"], labels["train"]).score(pixels["valid"], labels["valid"])
    assert 0.4 < right < 0.95
    assert sum(file.stat().st_size for file in whole.rglob("*.wav")) < 25e6


def _small(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("L").resize((32, 32)), float).ravel() / 255


def _interrupted(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    raise KeyboardInterrupt


# Three commands of a new user, in a fresh folder, without a session; with fewer epochs here


def run(script: str, config_file: Path, *more: str) -> tuple[list[Path], str]:
    printed = config_file.parent / "printed.txt"
    process = begun_script(script, ["--config", config_file, *more], printed)
    lines, errors = ended(process, printed)
    return [Path(line) for line in lines], errors


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[Path], str]:
    """The config file, and what the first command prints, which makes the demo and trains on it."""
    file = config_file(workplace(tmp_path_factory.mktemp("new")))
    return file, *run("main_01_train", file, "--set", "training.epochs=3")


@pytest.mark.slow
def test_three_commands_make_train_extract_and_judge_the_demo(trained):
    file, (folder,), output = trained
    assert folder.name.endswith("_demo") and "no better than" not in output
    assert re.search(r"3 epochs, best epoch \d+ with validation loss \d+\.\d+", output)
    for name in ("views.png", "reconstructions.png", "history.png", "session.yaml", "best.pt"):
        assert (folder / name).stat().st_size

    files, output = run("main_02_extract", file)
    assert [file.suffix for file in files] == [".npz"] * 7 + [".png", ".json"]
    result = re.search(r"clusters against 10 labels, pooled features, k-means: V-measure (0\.\d+)", output)
    assert result and float(result[1]) > 0.3
    with np.load(files[2]) as reduced:
        assert reduced["X_red"].shape == reduced["X_2D"].shape == (len(reduced["N"]), 2)

    quick = "evaluations=[kmeans, {name: hdbscan, umap: {}, sweep: []}, {name: linear, n_repeats: 1}]"
    (folder,), output = run("main_03_evaluate", file, "--set", quick)
    assert (folder / "explorer.html").stat().st_size < 8e6
    scores = pd.read_csv(folder / "scores.csv").set_index(["method", "evaluation", "score"])["value"]
    ours, pixels = (scores[method, "kmeans", "v_measure"] for method in ("demo weighted stats", PIXELS))
    assert ours > pixels and scores["demo weighted stats", "linear", "macro_f1"] > 0.4
