"""The README and the pages of docs/ are true: every command and every example in them runs."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sounds import record, tone

import main_00_prepare
import main_01_train
import main_02_extract
import main_03_evaluate
from benchmarks.gestures import PARTS, write_gestures
from saec import evaluate, extract, train
from saec.config import ROOT, load_config
from saec.data import DATA, VIEWS
from saec.demo import make_demo
from saec.evaluation import EVALUATIONS
from saec.extraction import ExtractionSession
from saec.extraction.data import ExtractionData
from saec.extraction.sources import SOURCES
from saec.extraction.sources.base import build_source
from saec.features import POOLINGS
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.preparation import PreparationSession
from saec.report import EvaluationSession
from saec.runs.find import find_run
from saec.samples import Samples
from saec.sections import SECTIONS
from saec.sections.base import Inputs
from saec.sections.sets import FeatureSet
from saec.session import TrainingSession, load_session
from saec.sound.handcrafted import EXTRACTORS
from saec.sound.spectra import SPECTRA

PAGES = {
    page: page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
}
TEXT = "\n".join(PAGES.values())
CODE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)
LINES = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, flags=re.S) for line in block.splitlines()]
COMMANDS = list(dict.fromkeys(LINES))  # each one once, in the order of the pages
SCRIPTS = {
    f"{script.__name__}.py": script
    for script in (main_00_prepare, main_01_train, main_02_extract, main_03_evaluate)
}
REGISTRIES = (DATA, VIEWS, MODELS, OBJECTIVES, OPTIMIZERS, POOLINGS, SPECTRA, EXTRACTORS, EVALUATIONS)
AXES = {registry.axis: registry for registry in (*REGISTRIES, SECTIONS, SOURCES)}
SESSIONS = re.findall(r"```(?:yaml|json)\n(.*?)```", TEXT, flags=re.S)
EXAMPLES = {re.search(r'\.register\("(\w+)"\)', code)[1]: code for code in CODE if ".register(" in code}
SMALL_MODELS = {
    "cnn": "model={name: cnn, widths: [2, 2, 2, 2], hidden: 8, latent: 4}",
    "convae": "model={name: convae, widths: [2, 2, 2], latent: 4}",
    "compact": "model={name: compact, widths: [4, 4, 4], latent: 8}",
    "movements": "model={name: movements, widths: [8], latent: 4, kernel: 3, movement_frames: 5}",
    "residual": "model={name: residual, bottleneck: 8}",
}
SOUND = {"sounds", "predict", "predictions", "tap", "handcrafted", "combine", "combined", "reef"}
TRACES = {"traces", "movements", "traces_update", "traces_early_stop"}
# In this order the commands find what others have made, wherever the pages name them.
ORDER = ("main_00_", "main_01_", "main_02_", "main_03_evaluate.py combine", "main_02_extract.py combined")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A small demo, and the same pictures under the names that the `default` sessions use."""
    folder = tmp_path_factory.mktemp("front_door")
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text("{device: cpu, workers: 0}")
    make_demo(folder / "data" / "demo", n_recordings=3, n_syllables=24)
    songs = folder / "data" / "songs"
    for part in ("recordings", "valid"):
        shutil.copytree(folder / "data" / "demo" / part, songs / part)
    write_gestures(folder / "data" / "traces", 0, dict.fromkeys(PARTS, 4), (0.3, 0.6))
    (folder / "data" / "photos").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "data" / "photos" / f"{number:02d}.jpg")
    clips = []
    for reef, n in {"sulawesi": 24, "test_kenya": 12, "test_bermuda": 12}.items():
        for number in range(n):
            clip = {"file_name": f"{reef}/{number:02d}.wav", "class": f"class{number % 2}", "dataset": reef}
            clips.append(clip | {"data_type": "test_data" if reef.startswith("test") else "train_data"})
            sound = tone(400 + 600 * (number % 2), 0.5, seed=number, rate=8_000)
            record(folder / "data" / "reef" / clip["file_name"], sound, 8_000)
    (folder / "data" / "reef" / "dataset.json").write_text(json.dumps({"audio": clips}))
    for part, n in {"train": 6, "new": 2, "few": 4, "more": 6}.items():
        for (name, hertz), number in product({"crow": 400, "finch": 3000}.items(), range(1, n + 1)):
            sound = tone(hertz * (1 + number / 100), 1 / 3, seed=number, rate=16_000)
            record(folder / "data" / "sounds" / part / name / f"caw_{number:02d}.wav", sound, 16_000)
    return folder


@pytest.fixture
def at_work(workplace, monkeypatch) -> Path:
    """The workplace as the current folder, whose config is used without a name."""
    monkeypatch.chdir(workplace)
    return workplace


def small(line: str) -> list[str]:
    """Returns the changes that make the session of a command small, in the order of `--set`."""
    script, *words = shlex.split(line)[1:]
    if script == "main_01_train.py" and "RUN_FOLDER" not in words:
        if "reference" in line:
            return ["training.epochs=1", "data.limit=2"]
        models = {"classify_cnn": "cnn", "convae": "convae", "transfer": None, "photos": "residual"}
        models |= dict.fromkeys(TRACES, "movements")
        model = models.get(words[0] if words else "", "compact")
        changes = ["training.epochs=1", *([SMALL_MODELS[model]] if model else [])]
        changes += ["data.size=32", "data.valid=3"] if "photos" in words else []
        return [change for change in changes if change.split("=")[0] not in line]
    if script == "main_03_evaluate.py" and "reef" in words:
        return ["evaluations=[{name: forest, n_repeats: 1, curve: []}, affinity]"]
    if script == "main_02_extract.py" and not (SOUND | TRACES) & set(words):
        return ["reduction.dims=[2]", "reconstructions=2"]
    if script == "main_03_evaluate.py" and not (SOUND | TRACES) & set(words):
        return ["evaluations=[{name: kmeans, sweep: [2], resamples: 1}]", "pixels=false"]
    return []


def run_line(line: str, workplace: Path) -> int:
    """Runs the command in this process, on the workplace, with a small session."""
    script, *words = shlex.split(line)[1:]
    config_file = workplace / "config" / "config.yaml"
    if "RUN_FOLDER" in words:
        run = find_run("latest:demo", load_config(config_file).models)
        words[words.index("RUN_FOLDER")] = str(run.folder)
    words += [word for change in small(line) for word in ("--set", change)]
    main = SCRIPTS[script].main
    return main([*words, "--config", str(config_file)])


def step(line: str) -> int:
    """Returns when a command runs: scripts one after the other, the combiner last."""
    return max(i for i, start in enumerate(ORDER) if start in line) if any(s in line for s in ORDER) else 2


def test_every_command_of_the_pages_runs(workplace, capsys):
    assert len(COMMANDS) >= 20 and all(line.startswith("python main_0") for line in COMMANDS)
    for line in sorted(COMMANDS, key=step):  # the first shard of two prints no path
        code = run_line(line, workplace)
        captured = capsys.readouterr()
        assert code == 0, f"{line}\n{captured.err}"
        paths = captured.out.splitlines()
        assert paths or "--check" in line or "--shard" in line, line
        assert all(Path(path).is_absolute() and Path(path).exists() for path in paths), line


def test_a_script_checks_its_session_as_a_program_of_its_own(workplace):
    words = [sys.executable, str(ROOT / "main_01_train.py"), "--check", "--set", "training.epochs=1"]
    words += ["--config", str(workplace / "config" / "config.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=workplace)
    assert (done.returncode, done.stdout) == (0, "") and "Traceback" not in done.stderr, done.stderr


def test_the_tables_name_every_component_and_links_lead_to_files():
    for axis, registry in AXES.items():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| {axis} |"))
        assert sorted(re.findall(r"`([^`]+)`", row.split("|")[3])) == registry.names(), axis
    for page, text in PAGES.items():
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https:")]
        assert not [link for link in links if not (page.parent / link).exists()], page


def test_the_house_has_the_rooms_that_its_page_names():
    page = PAGES[ROOT / "docs" / "house.md"]
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    files = [path for path in (ROOT / "src" / "saec").iterdir() if not path.name.startswith(("__", "py."))]
    assert sorted(re.findall(r"`(\w+)`", "".join(table))) == sorted(path.stem for path in files)
    named = re.findall(r"`(\w+/[\w/]+\.py)`", page)
    assert not [
        name for name in named if not any((top / name).exists() for top in (ROOT / "src" / "saec", ROOT))
    ]


def test_the_readme_is_short_and_names_the_tests_that_run():
    readme = PAGES[ROOT / "README.md"]
    assert len(readme.splitlines()) <= 250
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    tests = [line for line in lines if line.startswith("python -m pytest")]
    assert tests and all(f"{line}`" in readme for line in tests)


@pytest.mark.parametrize("text", SESSIONS, ids=lambda text: text.split()[0])
def test_every_session_of_the_pages_is_right(text, tmp_path):
    (tmp_path / "session.yaml").write_text(text, encoding="utf-8")
    keys = yaml.safe_load(text).keys()
    if "recordings" in keys:
        kind = PreparationSession
    elif "training" in keys:
        kind = TrainingSession
    else:
        kind = ExtractionSession if {*SOURCES.names()} & keys else EvaluationSession
    load_session(tmp_path / "session.yaml", kind)


@pytest.fixture
def registered() -> Iterator[Callable[[str], str]]:
    """Executes the code that registers a component, returns the axis, and takes the component out again."""
    before = {axis: dict(registry._components) for axis, registry in AXES.items()}

    def execute(name: str) -> str:
        exec(EXAMPLES[name], {})
        return next(axis for axis, registry in AXES.items() if name in registry.names())

    yield execute
    for axis, registry in AXES.items():
        registry._components.clear()
        registry._components.update(before[axis])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_components_that_the_pages_add_work_in_sessions(name, registered, at_work):
    axis = registered(name)
    if axis == "section":
        sets = {"birds": FeatureSet("birds", {}, Samples.of(["a.png"], label="finch"))}
        section = SECTIONS.parse({"name": name, name: True})(Inputs(load_config(), at_work, sets=sets))
        assert section.describe() and section.write(at_work)[0].files
    elif axis == "source":
        data, faults = ExtractionData(images=str(at_work / "data" / "demo" / "valid" / "images")), []
        computed = build_source({name: "intensity"}, data, load_config(), faults).compute(
            at_work / "part", None
        )
        assert not faults and len(computed.arrays["pooled"]) == len(computed.samples)
    elif axis == "evaluation":
        X = np.random.default_rng(0).normal(size=(12, 3))
        np.savez(at_work / "data" / "features.npz", X=X, N=[f"{'ab'[i % 2]}_{i:02d}.png" for i in range(12)])
        session = {"features": "features.npz", "labels": {"pattern": "(?P<label>[ab])_"}, "evaluations": name}
        assert name in set(evaluate(session).scores["score"])
    else:
        train_and_extract(name, axis, registered, at_work)


def train_and_extract(name: str, axis: str, registered: Callable[[str], str], at_work: Path) -> None:
    """Trains with the component for an epoch, then extracts with the run."""
    folder = "demo/valid/images"
    session: dict = {"model": "tiny", "training": {"epochs": 1}}
    session["data"] = {"kind": "images", "train": "demo/train/images", "valid": folder, "fit": "resize"}
    if name != "tiny":
        registered("tiny")
    if axis == "data kind":
        folder = "matrices"
        (at_work / "data" / folder).mkdir()
        for i, matrix in enumerate(np.random.default_rng(0).uniform(size=(8, 32, 16))):
            np.save(at_work / "data" / folder / f"rec{i // 2}_segm_{i:04d}.npy", matrix)
        session["data"] = {"kind": name, "train": folder, "valid": 0.3}
    elif axis != "pooling":
        session[{"view": "views"}.get(axis, axis)] = name
    run = train(session)
    pooling = name if axis == "pooling" else "mean"
    session = {"run": str(run.folder), "data": {"images": folder}, "pooling": pooling, "reduction": None}
    assert any(f"pooled_{pooling}_" in file.name for file in extract(session).paths)


def test_the_lines_that_load_features_are_right(tmp_path, monkeypatch):
    code = next(code for code in CODE if "np.load" in code)
    file = tmp_path / re.search(r'np\.load\("(.+?)"\)', code)[1]
    file.parent.mkdir(parents=True)
    np.savez(file, X_red=np.zeros((3, 8)), X_2D=np.zeros((3, 2)), N=np.array(["a.png", "b.png", "c.png"]))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["X_red"].shape == (3, 8) and names["X_2D"].shape == (3, 2) and len(names["names"]) == 3


def test_the_lines_that_predict_are_right(at_work):
    assert run_line("python main_01_train.py classify", at_work) == 0
    code = next(code for code in CODE if "from saec import predict" in code)
    names: dict = {}
    exec(code, names)
    prediction = names["prediction"]
    assert prediction.predicted in ("crow", "finch")
    assert sum(prediction.mean.values()) == pytest.approx(1, abs=1e-5)
    assert prediction.probabilities.shape == (1, 2) and prediction.times.shape == (1, 2)


def test_the_lines_that_read_codes_are_right(tmp_path, monkeypatch):
    code = next(code for code in CODE if "Codes.load" in code)
    (tmp_path / "data" / "traces").mkdir(parents=True)
    values = np.eye(5, 3, dtype=np.float32)
    np.savez(
        tmp_path / "data" / "traces" / "codes_saec_20250617_131810.npz",
        values=values,
        offsets=np.array([0, 2, 5]),
        N=np.array(["s01/a", "s01/b"]),
    )
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert np.array_equal(names["first"], values[:2]) and names["when"].tolist() == [0, 1]


@pytest.mark.slow
def test_the_lines_from_python_do_what_the_scripts_do(at_work):
    shutil.copytree(ROOT / "session_params", at_work / "session_params", dirs_exist_ok=True)
    code = next(code for code in CODE if "from saec import evaluate" in code)
    names: dict = {}
    exec(code, names)
    assert names["features"].X.ndim == 3 and names["report"].folder.is_dir()
    assert set(names["report"].scores["evaluation"]) == {"kmeans"}
