"""Several processes train together: they learn what one learns, and end together when one of them is lost."""

import csv
import json
import logging
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import torch
from conftest import TINY, answer, intensities, refused, training_session, write_pictures
from small_runs import begun, config_file, ended, history, same, untrained_run, workplace
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from traces import curves, save, write_traces

import main_01_train
from saec import processes, together, train
from saec.config import ROOT, Config, load_config
from saec.devices import resolve_device
from saec.faults import Fault
from saec.models import MODELS
from saec.models.conv1d import MaskedNorm
from saec.processes import FAULT as LOST
from saec.runs import Run
from saec.session import TrainingSession, load_session
from saec.together import SILENT_S, START_S, Group, joined
from saec.training import go_on, plan_training
from saec.training.build import build
from saec.training.loop import one_epoch

GIVEN = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
PAIR = {"views": "pair"}
ARRAYS = {"kind": "arrays", "train": "traces", "valid": "new", "scale": "set", "rate_hz": 100}
STRIDED = {"name": "conv1d_strided", "widths": [4], "latent": 4, "strides": [2]}
SPARSE = {"name": "sparse_reconstruction", "schedule": "step", "total_variation": 0.1, "weight_penalty": 0.1}
SESSIONS = {  # the rest of 19 pictures or traces is three, two for one process and one for the other
    "reconstruction": {"views": "denoise"},
    "nt_xent": PAIR | {"objective": {"name": "contrastive", "reconstruction": 1}},
    "vicreg": PAIR | {"objective": {"name": "contrastive", "variant": "vicreg", "reconstruction": 0}},
    "barlow": PAIR | {"objective": {"name": "contrastive", "variant": "barlow", "reconstruction": 0}},
    "classification": {"views": "plain", "objective": {"name": "classification", "balance": "weights"}},
    "sparse": {"data": ARRAYS, "views": "plain", "model": STRIDED, "objective": SPARSE},
}


class NoNorm(nn.Identity):
    """In place of batch norms, which see the samples of all processes on GPUs alone, and in ragged models."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Config:
    workspace = workplace(tmp_path_factory.mktemp("processes"))
    songs = workspace.data / "songs"
    for part, n in {"images": 19, "valid": 7}.items():
        names = write_pictures(songs / part, intensities(n, seed=n), per_recording=1)
        rows = [[name, "abc"[i % 3] if i % 4 else "a"] for i, name in enumerate(names)]
        with (songs / part / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["file", "label"], *rows])
    write_traces(workspace.data / "traces", 19, step=7)
    for number in range(5):
        save(workspace.data / "new" / f"new_{number}.npy", curves(30 + 9 * number, number))
    return workspace


def session_of(name: str, batch_size: int, **training: Any) -> dict[str, Any]:
    session = training_session(**SESSIONS[name])
    session["data"] = session["data"] | ({} if "data" in SESSIONS[name] else {"valid": "songs/valid"})
    session["optimizer"] = {"name": "sgd", "learning_rate": 0.01, "schedule": "warmup_cosine", "clip": 1.0}
    session["training"] |= {"batch_size": batch_size} | training
    return session


def learnt(session: dict[str, Any], config: Config) -> dict[str, Any]:
    """Scores of two epochs of five steps, and the weights after them."""
    plan, scores = plan_training(load_session(session, TrainingSession), config), []
    with joined(plan.device) as group:
        training = build(plan, group)
        for epoch in range(2):
            assert training.n_steps == 5
            scores.append(one_epoch(training, training.train.training(epoch), "", training.learner))
            scores.append(one_epoch(training, training.valid.validation(), ""))
            training.objective.end_epoch(stalled=False)
        return {"scores": scores, "weights": training.learning.state_dict()}


def learnt_by_two(rank: int, folder: str) -> None:
    """Learns each session together with another process."""
    logging.basicConfig(level=logging.INFO)
    nn.BatchNorm1d = nn.BatchNorm2d = NoNorm
    config = load_config(Path(folder) / "config" / "config.yaml")
    for name in SESSIONS:
        torch.save(learnt(session_of(name, 2), config), Path(folder) / f"{name}_{rank}.pt")
    accumulated = learnt(session_of("classification", 1, accumulate=2), config)
    torch.save(accumulated, Path(folder) / f"accumulate_{rank}.pt")


def by_two(program: str, folder: Path, name: str) -> list[tuple[Any, Path]]:
    """Starts a program in two processes that know of one another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in (0, 1):
        given = GIVEN | {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
        printed = folder / f"{name}_{rank}.txt"
        code = f"os.environ |= {given}\nrank, folder = {rank}, {str(folder)!r}\n{program}"
        started.append((begun(code, printed), printed))
    return started


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_with_batches_twice_as_large(workspace, monkeypatch):
    folder = workspace.models.parent
    both = by_two("import test_processes\ntest_processes.learnt_by_two(rank, folder)", folder, "learnt")
    monkeypatch.setattr(nn, "BatchNorm1d", NoNorm)
    monkeypatch.setattr(nn, "BatchNorm2d", NoNorm)
    alone = {name: learnt(session_of(name, 4), workspace) for name in SESSIONS}
    errors = [ended(process, printed)[1] for process, printed in both]
    assert "decoding" not in errors[1]  # it waits, and finds what the first one makes
    for name, expected in (alone | {"accumulate": alone["classification"]}).items():
        for rank in (0, 1):
            got = torch.load(folder / f"{name}_{rank}.pt", weights_only=True)
            parts = (0, 2) if "contrastive" in str(SESSIONS.get(name)) else range(4)  # validation: by batch
            for part in parts:
                here, there = got["scores"][part], expected["scores"][part]
                keys = here.keys() - {"pictures_per_s", "waiting"}
                assert keys and {k: here[k] for k in keys} == pytest.approx(
                    {k: there[k] for k in keys}, rel=1e-5, abs=1e-6
                ), (name, rank, part)
            assert got["weights"].keys() == expected["weights"].keys()
            for key, weight in expected["weights"].items():
                assert torch.allclose(got["weights"][key], weight, rtol=1e-4, atol=1e-6), (name, key)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_whose_others_do_not_begin_ends_with_a_fault(second_of_two, monkeypatch, rank):
    monkeypatch.setattr(together, "START_S", 0.1)
    monkeypatch.setenv("RANK", rank)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    with pytest.raises(Fault, match="of 2 processes not all have begun"), joined(torch.device("cpu")):
        pass


def test_a_process_that_never_gave_a_sign_of_life_is_lost_in_the_end(monkeypatch, caplog):
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(together, "ENDING", Lock())
    group, store = Group(0, 2), distributed.HashStore()
    for seconds in (2 * SILENT_S, 2 * START_S):
        assert "is lost" not in caplog.text
        since = {1: time.monotonic() - seconds}
        with nullcontext() if seconds < START_S else pytest.raises(SystemExit, match=str(LOST)):
            together._look(group, store, {1: 0}, since)
    assert "process 0 of 2 ends, process 1 is lost" in caplog.text


@pytest.mark.parametrize("moment", ["init_process_group", "every", "leave"])
def test_a_process_whose_other_is_lost_while_they_join_or_leave_ends_with_a_message(
    second_of_two, monkeypatch, caplog, moment
):
    def lost(*_: Any, **__: Any) -> None:
        raise distributed.DistNetworkError("the connection was closed")

    store = distributed.HashStore()
    monkeypatch.setattr(together, "_store", lambda _: store)
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(together, "ENDING", Lock())
    monkeypatch.setattr(distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(Group, "every", lambda *_: None)
    monkeypatch.setattr(distributed if moment == "init_process_group" else Group, moment, lost)
    with pytest.raises(SystemExit, match=str(LOST)), joined(torch.device("cpu")):
        pass
    assert "process 1 of 2 ends, " in caplog.text and "does not answer" in caplog.text


WAITS = """
from saec import together
together.EVERY_S, together.SILENT_S = 0.2, 1
import time, torch, signal
from torch import distributed
with together.joined(torch.device("cpu")) as group:
    group.work = "; to go on: ..."
    pids = group.every(os.getpid())
    if rank:
        time.sleep(0.5)
        os.kill(pids[{whom}], signal.{signal})
        time.sleep(100)
    {waits_in}
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("signal", "whom", "waits_in", "words", "code"),
    [
        ("SIGKILL", 1, "distributed.all_reduce(torch.zeros(1))", "another one does not answer", LOST),
        ("SIGSTOP", 1, "distributed.all_reduce(torch.zeros(1))", "process 1 is lost", LOST),
        ("SIGSTOP", 1, "group.every(None)", "process 1 is lost", LOST),
        ("SIGTERM", 0, "group.every(None)", "another one has ended, or all were stopped", LOST),
        ("SIGINT", 0, "group.every(None)", "it was interrupted while it waited for others", 130),
    ],
)
def test_a_process_that_waits_for_others_says_why_it_ends(workspace, signal, whom, waits_in, words, code):
    program = WAITS.format(signal=signal, whom=whom, waits_in=waits_in)
    (first, printed), (other, _) = by_two(program, workspace.models.parent, f"{signal}_{len(waits_in)}")
    first.join(60)
    other.kill()
    text = Path(f"{printed}.err").read_text()
    assert first.exitcode == code and f"process 0 of 2 ends, {words}; to go on: ..." in text, text
    assert "Traceback" not in text


@pytest.mark.slow
def test_two_processes_write_one_run_that_one_process_can_go_on_with(workspace):
    folder, file = workspace.models.parent, workspace.models.parent / "both.yaml"
    file.write_text(json.dumps(session_of("sparse", 2, probe=None)))
    words = [str(file), "--config", str(config_file(workspace))]
    program = f"import sys, main_01_train; sys.exit(main_01_train.main({words}))"
    texts = [ended(*one) for one in by_two(program, folder, "both")]
    (run,) = map(Run, workspace.models.glob("*_both"))
    assert [out for out, _ in texts] == [[str(run.folder)], []]
    assert ["epoch 1 of" in errors for _, errors in texts] == [True, False]
    assert "processes: 2 with batches of 2 each, 4 in a step" in (run.folder / "log.txt").read_text()
    alone = train(session_of("sparse", 4), workspace)
    for mine, theirs in zip(history(run), history(alone), strict=True):
        assert {k: float(v) for k, v in mine.items()} == pytest.approx(
            {k: float(v) for k, v in theirs.items()}, rel=1e-5, abs=1e-6
        )
    assert run.load("last")["model"].keys() == alone.load("last")["model"].keys()
    further = go_on(run, workspace, epochs=3)
    assert further.progress.epoch == 3 and further.load("last")["learner"]["n_steps"] == 3 * 10


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
import main_01_train

def end_after_an_epoch():
    while not list(Path({models!r}).glob("*_killed/last.pt")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ["RANK"] == "1":
    threading.Thread(target=end_after_an_epoch, daemon=True).start()
sys.exit(main_01_train.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_training_by_torchrun_whose_one_process_is_killed_says_how_to_go_on(workspace):
    folder = workspace.models.parent
    (folder / "killed.yaml").write_text(json.dumps(session_of("sparse", 2, epochs=10_000)))
    (folder / "killed.py").write_text(KILLED.format(models=str(workspace.models)))
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", folder / "killed.py"]
    words = [sys.executable, *words, folder / "killed.yaml", "--config", config_file(workspace)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode and not done.stdout
    assert "process 0 of 2 ends" in done.stderr, done.stderr
    (run,) = map(Run, workspace.models.glob("*_killed"))
    assert f"to go on: torchrun --nproc-per-node=N -m saec train {run.folder}" in done.stderr
    n_epochs = run.progress.epoch + 1
    further = go_on(run, workspace, epochs=n_epochs)
    assert [row["epoch"] for row in history(further)] == [str(n + 1) for n in range(n_epochs)]


@pytest.fixture
def second_of_two(monkeypatch):
    for key, value in (GIVEN | {"RANK": "1", "LOCAL_RANK": "1", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(processes, "PATIENCE_S", 0)


def test_a_check_says_how_many_samples_a_step_takes(config, pictures, second_of_two, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    code, _, text = answer(main_01_train, training_session(), config, "--check")
    assert code == 0 and "processes: 2 with batches of 4 each, 8 in a step" in text


def test_other_processes_than_the_first_log_faults_alone(config, pictures, second_of_two):
    assert answer(main_01_train, training_session(), config, "--check") == (0, "", "")
    assert "model" in refused(main_01_train, training_session(model="none"), config)


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda") == torch.device("cuda:1")
    with pytest.raises(Fault, match="device cuda:0 is one for 2 processes: choose auto or cpu"):
        resolve_device("cuda:0")
    with monkeypatch.context() as one_each:
        one_each.setenv("LOCAL_WORLD_SIZE", "1")
        one_each.setenv("LOCAL_RANK", "0")
        assert resolve_device("cuda") == torch.device("cuda:0")  # torch needs the index
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Fault, match="device cuda:1 is not there .*: start as many processes"):
        resolve_device("cuda")


def test_apples_gpu_is_taken_by_one_process_alone(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.delenv("RANK")
    assert resolve_device("auto") == torch.device("mps")


def test_fewer_samples_than_processes_are_refused(config, pictures):
    plan = plan_training(load_session(training_session(model=TINY), TrainingSession), config)
    with pytest.raises(Fault, match="data.train: 8 pictures are left to train on, .* in each process"):
        build(plan, Group(world_size=9))


@pytest.mark.parametrize("changes", [{"model": "compact"}, {"training": {"epochs": 3}}, {"start": "parent"}])
def test_processes_whose_sessions_differ_are_refused_before_pictures_are_read(changes, config, pictures):
    if "start" in changes:
        changes = {"start": {"weights_of": str(untrained_run(config).folder), "freeze": 1}}
    store, sessions = distributed.HashStore(), (training_session(), training_session(**changes))
    plans = [plan_training(load_session(one, TrainingSession), config) for one in sessions]
    with ThreadPoolExecutor() as both:
        for machine in [both.submit(build, plans[rank], Group(rank, 2, store)) for rank in (0, 1)]:
            with pytest.raises(Fault, match="processes have different sessions: start all with the same"):
                machine.result()
    assert not list(config.cache.glob("*"))


def test_machines_whose_labels_differ_are_refused(config, pictures):
    session, store = load_session(training_session(model=TINY), TrainingSession), distributed.HashStore()
    plans = [plan_training(session, config)]
    (pictures / "labels.csv").write_text(f"file,label\n{next(pictures.glob('*.png')).name},wren\n")
    plans.append(plan_training(session, config))
    with ThreadPoolExecutor() as both:
        for machine in [both.submit(build, plans[rank], Group(rank, 2, store)) for rank in (0, 1)]:
            with pytest.raises(Fault, match="data.train: machines have different samples or labels"):
                machine.result()


@pytest.mark.parametrize(("model", "shared"), [(TINY, nn.SyncBatchNorm), (STRIDED, MaskedNorm)])
def test_batch_norms_see_all_processes_on_gpus_and_keep_their_weights(model, shared):
    model = MODELS.parse(model)((1, 128, 32))
    weights = model.state_dict()
    Group(0, 2, distributed.HashStore()).share_norms(model, torch.device("cuda"))
    norms = {type(layer) for layer in model.modules() if isinstance(layer, _BatchNorm)}
    assert norms == {shared} and same(model.state_dict(), weights)
