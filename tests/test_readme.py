"""The front door holds: its commands run, its tables name what there is, its Python works."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from saec import config
from saec.config import ROOT, load_config
from saec.data import DATA, VIEWS
from saec.demo import make_demo
from saec.evaluation import EVALUATIONS
from saec.features import POOLINGS
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.runs.find import find_run
from saec.sound.handcrafted import EXTRACTORS
from saec.sound.spectra import SPECTRA

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:bash|python)\n(.*?)```", README, flags=re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("python ")]
AXES = {
    "data kind": DATA,
    "view": VIEWS,
    "model": MODELS,
    "objective": OBJECTIVES,
    "optimizer": OPTIMIZERS,
    "pooling": POOLINGS,
    "spectrum": SPECTRA,
    "extractor": EXTRACTORS,
    "evaluation": EVALUATIONS,
}
SOUND = {"sounds", "predict", "predictions", "tap", "handcrafted", "combine", "combined"}
SMALL_CNN = "model={name: cnn, widths: [2, 2, 2, 2], hidden: 8, latent: 4}"
QUICK = ["training.epochs=1", "model={name: compact, widths: [4, 4, 4], latent: 8}"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A small demo, and the same pictures under the names that the `default` sessions use."""
    place = tmp_path_factory.mktemp("front_door")
    (place / "config").mkdir()
    (place / "config" / "config.yaml").write_text("{device: cpu, workers: 0}")
    make_demo(place / "data" / "demo", n_recordings=3, n_syllables=24)
    songs = place / "data" / "songs"
    for part in ("recordings", "valid"):
        shutil.copytree(place / "data" / "demo" / part, songs / part)
    for part, n in {"train": 6, "new": 2, "few": 4, "more": 6}.items():
        write_classes(place / "data" / "sounds" / part, {"crow": 400.0, "finch": 3000.0}, n)
    return place


def write_classes(folder: Path, pitches: dict[str, float], n: int) -> None:
    """So many tones a class, a third of a second at 16 kHz, with noise."""
    rng = np.random.default_rng(0)
    for name, hz in pitches.items():
        (folder / name).mkdir(parents=True)
        for place in range(n):
            tone = np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * np.arange(5_333) / 16_000)
            sound = 0.3 * tone + 0.02 * rng.normal(size=len(tone))
            soundfile.write(folder / name / f"caw_{place + 1:02d}.wav", sound, 16_000)


def run_line(line: str, workplace: Path) -> int:
    """The command in this process, on the workplace, with a small model where a session does not name one."""
    script, *words = shlex.split(line)[1:]
    config_file = workplace / "config" / "config.yaml"
    if "RUN_FOLDER" in words:
        run = find_run("latest:demo", load_config(config_file).models)
        words[words.index("RUN_FOLDER")] = str(run.folder)
    elif script == "main_01_train.py" and {"classify", "transfer"} & set(words):
        words += ["--set", "training.epochs=1"]
        words += ["--set", SMALL_CNN] if "classify" in words else []
    elif script == "main_01_train.py" and "reference" not in line:
        words += [word for change in QUICK for word in ("--set", change) if change.split("=")[0] not in line]
    elif script == "main_01_train.py":
        words += ["--set", "training.epochs=1", "--set", "data.limit=2"]
    elif script == "main_02_extract.py" and not SOUND & set(words):
        words += ["--set", "reduction.dims=[2]", "--set", "reconstructions=2"]
    elif script == "main_03_evaluate.py" and not SOUND & set(words):
        words += ["--set", "evaluations=[{name: kmeans, sweep: [2], resamples: 1}]", "--set", "pixels=false"]
    main = importlib.import_module(script.removesuffix(".py")).main
    return main([*words, "--config", str(config_file)])


def test_every_command_of_the_readme_runs(workplace, capsys):
    assert len(COMMANDS) >= 10
    for line in COMMANDS:
        code = run_line(line, workplace)
        captured = capsys.readouterr()
        assert code == 0, f"{line}\n{captured.err}"
        paths = captured.out.splitlines()
        assert paths or "--check" in line, line
        assert all(Path(path).is_absolute() and Path(path).exists() for path in paths), line


@pytest.mark.parametrize("line", COMMANDS[:3])
def test_a_script_checks_its_session_as_a_program_of_its_own(line, workplace):
    script = shlex.split(line)[1]
    config_file = workplace / "config" / "config.yaml"
    words = [sys.executable, str(ROOT / script), "--check", "--config", str(config_file)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=workplace)
    no_run_yet = script != "main_01_train.py" and "no finished run" in done.stderr
    assert done.returncode == (2 if no_run_yet else 0), done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.parametrize("axis", AXES)
def test_the_tables_name_every_component(axis):
    row = next(line for line in README.splitlines() if line.startswith(f"| {axis} |"))
    named = re.findall(r"`([^`]+)`", row.split("|")[3])
    assert sorted(named) == AXES[axis].names()


def test_the_component_that_the_readme_adds_trains():
    code = next(block for block in BLOCKS if "@MODELS.register" in block)
    try:
        exec(code, {})
        model = MODELS.parse({"name": "tiny", "width": 4})((1, 128, 64))
        pictures = torch.rand(2, 1, 128, 64)
        assert model(pictures).shape == (2, 4, 1, 8)
        assert model.decoder(model(pictures)).shape == pictures.shape
    finally:
        MODELS._components.pop("tiny", None)


def test_the_lines_that_load_features_are_right(tmp_path, monkeypatch):
    code = next(block for block in BLOCKS if "np.load" in block)
    file = tmp_path / re.search(r'np\.load\("(.+?)"\)', code)[1]
    file.parent.mkdir(parents=True)
    np.savez(file, X_red=np.zeros((3, 8)), X_2D=np.zeros((3, 2)), N=np.array(["a.png", "b.png", "c.png"]))
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(code, found)
    assert found["X_red"].shape == (3, 8) and found["X_2D"].shape == (3, 2) and len(found["names"]) == 3


def test_the_lines_that_listen_are_right(workplace, monkeypatch):
    assert run_line("python main_01_train.py classify", workplace) == 0
    code = next(block for block in BLOCKS if "from saec import predict" in block)
    monkeypatch.setattr(config, "DEFAULT", workplace / "config" / "config.yaml")
    monkeypatch.chdir(workplace)
    found: dict = {}
    exec(code, found)
    heard = found["heard"]
    assert heard.predicted in ("crow", "finch") and sum(heard.mean.values()) == pytest.approx(1, abs=1e-5)
    assert heard.probabilities.shape == (1, 2) and heard.times.shape == (1, 2)


@pytest.mark.slow
def test_the_lines_from_python_do_what_the_scripts_do(workplace, monkeypatch):
    code = next(block for block in BLOCKS if "from saec import evaluate" in block)
    monkeypatch.setattr(config, "DEFAULT", workplace / "config" / "config.yaml")
    monkeypatch.chdir(ROOT)
    found: dict = {}
    exec(code, found)
    assert found["features"].X.ndim == 3 and found["report"].folder.is_dir()
    assert set(found["report"].scores["evaluation"]) == {"kmeans"}
