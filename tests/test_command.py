"""The command line: sessions in, paths out, one clear message for a fault, and an exit code."""

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import extraction_session, intensities, training_session, write_pictures
from small_runs import begun_script, untrained_run

import main_01_train
import main_02_extract
from saec import command, processes
from saec.config import Config, load_config
from saec.runs import Run

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(file.stem for file in ROOT.glob("main_*.py"))
COMPUTING = ("torch", "pandas", "sklearn", "scipy", "matplotlib")
ONE_EPOCH = {"epochs": 1, "batch_size": 4, "precision": "fp32"}
on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")


class Answer(NamedTuple):
    code: int
    paths: list[Path]  # on stdout
    output: str  # on stderr


class Workspace(NamedTuple):
    """A workplace with twelve pictures, and sessions that are written into it."""

    folder: Path

    @property
    def config(self) -> Config:
        return load_config(self.config_file)

    @property
    def config_file(self) -> Path:
        return self.folder / "config" / "config.yaml"

    def session(self, name: str, content: dict[str, Any]) -> str:
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        return str(file)

    def train(self, *words: str) -> Answer:
        return answer(main_01_train, *words, "--config", str(self.config_file))

    def extract(self, *words: str) -> Answer:
        return answer(main_02_extract, *words, "--config", str(self.config_file))

    def files(self) -> dict[str, bytes]:
        """All files and folders, with the files' contents."""
        paths = sorted(self.folder.rglob("*"))
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}

    def refused(self, *words: str) -> str:
        """The fault of a training that ends with 2, prints no path and writes nothing."""
        before = self.files()
        answered = self.train(*words)
        assert (answered.code, answered.paths) == (2, []) and self.files() == before
        return answered.output

    def checked(self, *words: str, script: Any = main_01_train) -> str:
        """What a check says, which ends with 0, prints no path and writes nothing."""
        before = self.files()
        answered = answer(script, *words, "--check", "--config", str(self.config_file))
        assert (answered.code, answered.paths) == (0, []) and self.files() == before
        return answered.output


def answer(script: Any, *words: str) -> Answer:
    """What the script answers in this process. stdout holds absolute paths alone."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = script.main(list(words))
    paths = [Path(line) for line in out.getvalue().splitlines()]
    assert all(path.is_absolute() and path.exists() for path in paths)
    assert "Traceback" not in err.getvalue()
    return Answer(code, paths, err.getvalue())


def new_workspace(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    workspace.config_file.parent.mkdir()
    workspace.config_file.write_text("device: cpu\nworkers: 0\n")
    write_pictures(workspace.config.data / "songs" / "images", intensities(12))
    return workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return new_workspace(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Workspace:
    return new_workspace(tmp_path_factory.mktemp("command"))


@pytest.fixture(scope="module")
def trained(shared) -> Answer:
    return shared.train(shared.session("song", training_session(training=ONE_EPOCH)))


@pytest.fixture(scope="module")
def interrupted(shared) -> tuple[int, str, str, Path]:
    """Exit code, stdout, stderr and run folder of a training that somebody stopped with Ctrl-C."""
    session = shared.session("endless", training_session(training=ONE_EPOCH | {"epochs": 100_000}))
    printed = shared.config_file.parent / "printed.txt"
    process = begun_script("main_01_train", [session, "--config", shared.config_file], printed)
    started = time.monotonic()
    while not list(shared.config.models.glob("*_endless/history.csv")) and process.is_alive():
        assert time.monotonic() < started + 120
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    out, err = printed.read_text(), Path(f"{printed}.err").read_text()
    (folder,) = shared.config.models.glob("*_endless")
    return process.exitcode, out, err, folder


def n_epochs(run: Path) -> int:
    with (run / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
    return len(rows)


def test_a_training_answers_with_its_run_folder_alone_and_what_is_no_run_is_refused(shared, trained):
    (run,) = trained.paths
    assert trained.code == 0 and "epoch 1 of 1" in trained.output
    assert run.parent == shared.config.models and re.fullmatch(r"\d{8}_\d{6}_song", run.name)
    assert f"{run.parent} is no run's folder" in shared.refused(str(run.parent))


def test_extractions_answer_with_their_files_and_last_their_json_in_the_order_of_sessions(shared, trained):
    session = shared.session("features", extraction_session("latest:song"))
    answered = shared.extract(session)
    saec = f"saec_{trained.paths[0].name[:15]}"
    names = [f"full_features_{saec}.npz", f"pooled_mean_std_{saec}.npz"]
    names += [f"reconstructions_{saec}.png", f"{saec}.json"]
    assert answered.code == 0 and [path.name for path in answered.paths] == names
    again = shared.extract(session)
    assert again.paths == answered.paths and "nothing to do" in again.output
    sessions = [
        shared.session(word, extraction_session("latest:song", variant=word, reconstructions=0))
        for word in ("second", "first")
    ]
    answered = shared.extract(*sessions)
    assert [path.stem.split("_")[-1] for path in answered.paths] == 3 * ["second"] + 3 * ["first"]


def test_a_run_goes_on_to_another_total_of_epochs_and_is_finished_then(shared, trained, monkeypatch):
    (run,) = trained.paths
    monkeypatch.chdir(run.parent)
    answered = shared.train(run.name, "--set", "training.epochs=3")  # from any working directory
    assert (answered.code, answered.paths) == (0, [run])
    assert n_epochs(run) == 3
    assert yaml.safe_load((run / "session.yaml").read_text())["training"]["epochs"] == 3
    before = shared.files()
    answered = shared.train(str(run))
    assert (answered.code, answered.paths) == (0, [run]) and "is finished: 3 epochs" in answered.output
    assert shared.files() == before
    output = shared.refused(str(run), "--set", "training.epochs=2")
    assert f"{run} has 3 epochs already, training.epochs cannot be 2" in output
    for change in ("training.batch_size=3", "training.epochs=0", "training.epochs", "x=1"):
        output = shared.refused(str(run), "--set", change)
        assert f"takes --set training.epochs=<number> only, got '{change}'" in output


@on_posix
def test_ctrl_c_ends_with_130_and_keeps_what_is_complete(interrupted):
    code, out, err, folder = interrupted
    assert (code, out) == (130, "")
    assert "interrupted: what was complete is kept" in err and "Traceback" not in err
    assert n_epochs(folder) >= 1 and (folder / "last.pt").exists()


@on_posix
def test_a_session_with_an_unfinished_run_begins_anew_and_the_run_can_go_on_where_it_was(shared, interrupted):
    *_, folder = interrupted
    answered = shared.train(shared.session("endless", training_session(training=ONE_EPOCH)))
    assert answered.code == 0 and answered.paths != [folder]
    assert f"to go on with it: saec train {folder}" in answered.output
    before, total = (folder / "history.csv").read_text(), n_epochs(folder) + 1
    answered = shared.train(str(folder), "--set", f"training.epochs={total}")
    assert (answered.code, answered.paths) == (0, [folder])
    assert n_epochs(folder) == total and (folder / "history.csv").read_text().startswith(before)
    assert not list(folder.glob(".writing_*"))


@pytest.mark.parametrize("words", [["demo"], ["demo.yaml"], []])
def test_a_session_is_read_by_name_and_without_one_it_is_the_demo(workspace, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "the demo data are not there yet" in workspace.checked(*words)
    assert "the demo data are not there yet" in workspace.checked(*words, script=main_02_extract)


@pytest.mark.parametrize("folder", [".", "lab/ä"])
def test_init_copies_config_and_sessions_which_then_come_before_those_shipped(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab, init = tmp_path / folder, ("init", folder)
    assert answer(command, *init) == (0, [lab], "")
    for top in ("config", "session_params"):
        assert {path.relative_to(lab): path.read_bytes() for path in (lab / top).rglob("*.*")} == {
            path.relative_to(ROOT): path.read_bytes() for path in (ROOT / top).rglob("*.*")
        }
    monkeypatch.chdir(lab)
    for script in ("training", "extraction"):
        demo = lab / "session_params" / script / "demo.yaml"
        assert command.find_session("demo", script) == demo
        demo.unlink()
        assert command.find_session("demo", script) == ROOT / "session_params" / script / "demo.yaml"
    checked = answer(command, "train", "--check")
    assert checked.code == 0 and f"config {lab / 'config' / 'config.yaml'}" in checked.output
    shutil.rmtree(lab / "session_params")
    assert "session demo" in answer(command, "train", "--check").output


def test_init_leaves_a_folder_as_it_is_that_has_one_of_the_files(tmp_path):
    own = tmp_path / "session_params" / "training" / "demo.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    answered = answer(command, "init", str(tmp_path))
    assert (answered.code, answered.paths) == (2, []) and str(own) in answered.output
    assert "nothing is written, for these files exist: give another folder" in answered.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own] and own.read_text() == "mine"


def test_the_command_has_the_scripts_as_its_verbs_with_their_options(workspace):
    session = workspace.session("mine", training_session())
    words = (session, "--set", "training.epochs=5", "--check", "--config", str(workspace.config_file))
    by_script, by_command = answer(main_01_train, *words), answer(command, "train", *words)
    assert [by_script.code, by_command.code] == [0, 0]
    assert (
        by_script.output.split("about")[0][9:] == by_command.output.split("about")[0][9:]
    )  # time of the day
    with redirect_stdout(io.StringIO()) as out:
        assert command.main(["--help"]) == 0
    for verb in ("prepare", "train", "extract", "evaluate", "init"):
        assert verb in out.getvalue()
        with redirect_stdout(io.StringIO()) as of_one:
            assert command.main([verb, "--help"]) == 0
        assert ("--set" in of_one.getvalue()) == (verb != "init")
    for words in ([], ["trian"], ["train", "--chek"]):
        assert answer(command, *words).code == 2


@pytest.mark.parametrize("name, hint", [("dmeo", "did you mean 'demo'?"), ("xyz", "choose from .*demo")])
def test_an_unknown_session_names_the_nearest_or_all_there_are(workspace, name, hint):
    for answered, params in ((workspace.train(name), "training"), (workspace.extract(name), "extraction")):
        assert (answered.code, answered.paths) == (2, [])
        words = rf"no session file {name}, and none of that name in .*{params}: {hint}"
        assert re.search(words, answered.output)


def test_check_prints_sessions_with_every_default_and_what_it_prints_is_a_session(workspace, monkeypatch):
    session = workspace.session("mine", training_session())
    monkeypatch.chdir(workspace.folder)  # a session may lie anywhere and be named relatively
    output = workspace.checked("mine.yaml", "--set", "training.epochs=5")
    summary = "12 pictures, about 4 of them for validation, 1x128x32"
    for words in ("session mine", "epochs: 5", "learning_rate: 0.001", "GB of cache", "for 5", summary):
        assert words in output
    assert "weights, latent 8 x 1 x 8" in output
    printed = workspace.checked(session).split("session mine\n")[1].split("\n\n")[0]
    assert printed in workspace.checked(workspace.session("again", yaml.safe_load(printed)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.widths=[0,8]", "model.widths.0: input should be greater than 0, got 0"),
        ("model.latent=0", "model.latent: input should be greater than 0, got 0"),
        ("model.time_halvings=5", "time_halvings must be at most 4, one more than there are widths, got 5"),
        ("epochs", "--set expects key.path=value, got 'epochs'"),
        ("training.epochs=0", "mine.yaml has a fault:\n  training.epochs: input should be greater than 0"),
        ("training.epochs=[", "--set training.epochs=[ is not YAML"),
        ("trainin.epochs=3", "trainin: unknown key, did you mean 'training'?"),
    ],
)
def test_a_change_that_is_not_right_is_a_fault_of_a_check_too(workspace, change, words):
    session = workspace.session("mine", training_session())
    for more in ([], ["--check"]):
        assert words in workspace.refused(session, *more, "--set", change)


def test_check_prints_the_paths_and_the_precision_that_will_be_taken(workspace):
    run = untrained_run(workspace.config)
    images = workspace.config.data / "songs" / "images"
    output = workspace.checked(workspace.session("mine", training_session(training={"epochs": 1})))
    assert f"train: {images}\n" in output and re.search("precision: (fp32|bf16)\n", output)
    features = workspace.session("features", extraction_session(run.timestamp))
    output = workspace.checked(features, script=main_02_extract)
    assert f": {images}\n" in output and f" in {images.parent}: new" in output
    assert f"files of saec_{run.timestamp}" in output and "12 pictures 1x128x32" in output
    assert re.search(r"\(cpu\), (fp32|bf16)\n", output)


def test_check_of_several_prints_every_session_once_and_a_change_holds_for_all(workspace):
    names = [workspace.session(name, training_session()) for name in ("one", "two")]
    output = workspace.checked("demo", names[0])
    for words in ("session demo\n", "session one\n", "the demo data are not there yet", "12 pictures"):
        assert output.count(words) == 1
    output = workspace.checked(*names, "--set", "training.epochs=7", "--set", "views.soft=true")
    assert output.count("epochs: 7") == 2 and output.count("soft: true") == 2


def test_all_sessions_are_read_and_checked_before_the_first_starts(workspace):
    good = workspace.session("good", training_session(training=ONE_EPOCH))
    bad = workspace.session("bad", training_session(modle=1, training={"epochs": 0}))
    worse = workspace.session("worse", training_session(views="denoize"))
    output = workspace.refused(good, bad, worse)
    assert f"{bad} has 2 faults:" in output and f"{worse} has a fault:" in output
    assert "did you mean 'model'?" in output and "did you mean 'denoise'?" in output
    names = [
        workspace.session(name, training_session(data={"kind": "images", "train": f"songs/{name}"}))
        for name in ("here", "there")
    ]
    output = workspace.refused(good, *names)
    for name in ("here", "there"):
        folder = workspace.config.data / "songs" / name
        assert f"session {name} has a fault:\n  data.train: no such folder: {folder}" in output
    output = workspace.refused(*2 * [workspace.session("bad", training_session(modle=1))])
    assert (
        output.count("modle") == 1 and len(output.splitlines()) == 2
    )  # the same fault once, and nothing else


def test_the_latest_run_of_an_earlier_session_is_the_one_of_this_very_call(workspace):
    parts = training_session(training=ONE_EPOCH)
    first = workspace.session("first", parts)
    before = workspace.train(first).paths[0]
    second = workspace.session("second", parts | {"model": None, "start": {"weights_of": "latest:first"}})
    answered = workspace.train(first, second)
    assert answered.code == 0 and answered.paths[0] not in (before, *answered.paths[1:])
    assert Run(answered.paths[1]).record["parent"] == str(answered.paths[0])


def test_the_latest_of_a_session_that_has_no_finished_run_lists_what_there_is(workspace):
    session = workspace.session("features", extraction_session("latest:song"))
    answered = workspace.extract(session)
    assert answered.code == 2
    assert (
        f"no finished run of session 'song' in {workspace.config.models}: there is none yet"
        in answered.output
    )
    run = untrained_run(workspace.config)
    answered = workspace.extract(session)
    assert answered.code == 2 and answered.output.endswith(f"there are\n  {run.folder.name}\n")
    for file in run.folder.glob("*.pt"):
        file.unlink()
    answered = workspace.extract(workspace.session("features", extraction_session("latest:untrained")))
    assert answered.code == 2 and f"{run.folder.name} is not finished" in answered.output


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["prepare"], "saec prepare is the work of one process: start it without torchrun"),
        (["evaluate"], "saec evaluate is the work of one process: start it without torchrun"),
        (["extract", "--shard", "0/2"], "--shard: torchrun parts the work already: leave it out"),
        (["extract", "--engine", "ray"], "--engine: torchrun parts the work already: leave it out"),
        (["train"], "the demo data are not there: start it once without torchrun"),
    ],
)
def test_what_processes_of_torchrun_cannot_share_is_a_fault(workspace, monkeypatch, words, fault):
    for name in processes.GIVEN:
        monkeypatch.setenv(name, "2" if name == "WORLD_SIZE" else "0")
    answered = answer(command, *words, "--config", str(workspace.config_file))
    assert answered.code == 2 and fault in answered.output
    assert not (workspace.config.data / "demo").exists()


def test_a_config_that_is_not_right_or_a_gpu_that_is_not_there_is_a_fault(workspace):
    session = workspace.session("mine", training_session())
    workspace.config_file.write_text("device: cuda:99\nworkers: 0\n")
    output = workspace.refused(session)
    assert re.search("config.device: device cuda:99 is not there.*: choose auto or cpu", output)
    workspace.config_file.write_text("devise: cpu")
    output = workspace.refused(session)
    assert f"{workspace.config_file} cannot be used:\n  devise: unknown key, did you mean 'device'?" in output


def test_words_that_are_no_options_end_with_2_and_help_with_0(workspace):
    assert workspace.train("--chek").code == 2
    with redirect_stdout(io.StringIO()) as out:
        assert main_01_train.main(["--help"]) == 0
    assert "--check" in out.getvalue() and "--set" in out.getvalue()


def test_a_path_that_stdout_cannot_encode_is_escaped(tmp_path):
    (tmp_path / "spät").mkdir()
    workspace = new_workspace(tmp_path / "spät")
    features = extraction_session(untrained_run(workspace.config).timestamp, reconstructions=0)
    words = [workspace.session("features", features), "--config", str(workspace.config_file)]
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) as out:
        assert main_02_extract.main(words) == 0
    out.seek(0)
    assert all(f"{os.sep}sp\\xe4t{os.sep}" in line for line in out.read().splitlines())


@pytest.mark.parametrize("module", ["saec", "saec.command", *SCRIPTS])
def test_help_and_the_package_wait_for_nothing_that_computes(module):
    is_script = module in SCRIPTS
    call = f"{module}.main(['--help'])" if module != "saec" else ""
    code = f"import os, sys, {module}\n{call}\nprint([name for name in {COMPUTING} if name in sys.modules])"
    names = ("OMP_WAIT_POLICY", "PYTORCH_ENABLE_MPS_FALLBACK")
    code += f"\nprint(*map(os.environ.get, {names}))"
    plain = {key: value for key, value in os.environ.items() if key not in names}
    command = [sys.executable, "-c", code]
    answered = subprocess.run(command, cwd=ROOT, env=plain, stdout=PIPE, text=True, check=True)
    assert answered.stdout.endswith("[]\npassive 1\n") and ("--check" in answered.stdout) == is_script
