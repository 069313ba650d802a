"""Runs for tests: made without a training, extracted from, compared, or killed in their own process."""

import csv
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import TINY, extraction_session, training_session, write_pictures

from saec import extract
from saec.config import Config, load_config
from saec.features import Features
from saec.runs import Progress, Run
from saec.session import TrainingSession, load_session

FORKS = get_context("forkserver" if sys.platform == "linux" else "spawn")  # macOS does not fork safely
FORKS.set_forkserver_preload(["saec.training", "saec.extraction", "saec.preparation", "saec.report"])
HISTORY = {"epoch": 1, "learning_rate": 1e-3, "train_loss": 0.2, "valid_loss": 0.1}


def workplace(folder: Path) -> Config:
    """A workplace that several tests of a file share."""
    torch.set_num_threads(1)
    file = folder / "config" / "config.yaml"
    file.parent.mkdir()
    file.write_text("device: cpu\nworkers: 0\n")
    return load_config(file)


def untrained_run(
    config: Config,
    width: int = 32,
    model: dict | str = TINY,
    data: dict | None = None,
    record: dict | None = None,
) -> Run:
    session = training_session(model=model)
    session["data"] |= data or {}
    session = load_session(session, TrainingSession).named("untrained")
    channels = 3 if getattr(session.data, "channels", "") == "rgb" else 1
    run = Run.create(config.models, session, {"input_shape": [channels, 128, width]} | (record or {}))
    give_weights(run, seed=0, epoch=1)
    return run


def give_weights(run: Run, seed: int, epoch: int) -> None:
    """Weights drawn by the seed, with statistics of some noise, as if that epoch had ended with them."""
    torch.manual_seed(seed)
    shape = tuple(run.record["input_shape"])
    model = run.session.model(shape).train()
    with torch.no_grad():
        model.decoder(model.encoder(torch.rand(4, *shape)))
    progress = Progress(epoch=epoch, best=0.1, best_epoch=epoch, finished=True)
    for name in ("best", "last"):
        run.save(name, {"model": model}, progress, [HISTORY])


class Songs:
    """Pictures in `songs/images`, an untrained run, and extractions of them by it."""

    def __init__(self, config: Config, levels: np.ndarray, model: dict | str = TINY, **run: Any):
        self.config = config
        self.folder = config.data / "songs"
        self.images = self.folder / "images"
        self.names = write_pictures(self.images, levels, "gray")
        self.run = untrained_run(config, levels.shape[2], model, **run)
        self.id = f"saec_{self.run.timestamp}"
        self.part = self.folder / f".{self.id}.part"

    def session(self, **changes: Any) -> dict[str, Any]:
        plain = extraction_session(self.run.timestamp, precision="fp32", reconstructions=0)
        return plain | changes

    def extract(self, **changes: Any) -> Features:
        return extract(self.session(**changes), self.config)

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Time and contents of every file beside the image folder."""
        files = [file for file in self.folder.iterdir() if file.is_file()]
        return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def assert_same_files(features: Features, expected: Features) -> None:
    """All files but the JSON agree bit for bit."""
    assert [file.name for file in features.paths] == [file.name for file in expected.paths]
    for mine, theirs in zip(features.paths[:-1], expected.paths[:-1], strict=True):
        assert mine.read_bytes() == theirs.read_bytes(), mine.name


def same(first: Any, second: Any) -> bool:
    """Bit for bit, through mappings and sequences."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first.cpu(), second.cpu())
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def assert_equal_runs(run: Run, expected: Run) -> None:
    """Weights, optimizers, progress and history agree bit for bit."""
    assert (run.folder / "history.csv").read_text() == (expected.folder / "history.csv").read_text()
    assert same(run.load("last"), expected.load("last"))
    best = [run.load("best"), expected.load("best")]
    for state in best:
        state["progress"].pop("finished")  # the best epoch may have been the last of the shorter run
    assert same(*best)


def begun(program: str, printed: Path) -> BaseProcess:
    """Starts a program in a process that is forked from one with torch; the file gets what it prints.

    What it writes to stderr stands beside the file, in one that ends in `.err`.
    """
    code = f"""
import os, sys
for number, suffix in ((1, ""), (2, ".err")):
    os.dup2(os.open({str(printed)!r} + suffix, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
import torch
torch.set_num_threads(1)
{program}"""
    process = FORKS.Process(target=exec, args=(code, {}))
    process.start()
    return process


def begun_script(script: str, words: list[Any], printed: Path) -> BaseProcess:
    return begun(f"import {script}; sys.exit({script}.main({list(map(str, words))!r}))", printed)


def ended(process: BaseProcess, printed: Path) -> tuple[list[str], str]:
    """Returns the lines of stdout and the text of stderr of a process that ends well."""
    process.join(300)
    errors = Path(f"{printed}.err").read_text()
    assert process.exitcode == 0, errors
    return printed.read_text().splitlines(), errors


def killed_when(process: BaseProcess, ready: Callable[[], bool], printed: Path) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.exitcode is None, Path(f"{printed}.err").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the latter alone


def killed_call(workspace: Config, name: str, words: list[Any], moment: Callable[[Path], bool]) -> bool:
    """Trains in a process of its own, killed at a moment; returns whether that came before the end."""
    printed = workspace.models.parent / f"{name}.txt"
    process = begun_script("main_01_train", words, printed)
    while process.exitcode is None:
        folder = next(workspace.models.glob(f"*_{name}"), None)
        if folder and moment(folder) and still(process, moment, folder):
            process.kill()
            process.join()
            return True
        time.sleep(0.0002)
    ended(process, printed)
    return False


def killed_run(workspace: Config, name: str, session: dict[str, Any], moment: Callable[[Path], bool]) -> Run:
    """Returns the run of a training that was killed at a moment, which the run's folder tells."""
    for attempt in range(10):  # some moments are so short that one may miss them
        file = workspace.models.parent / f"{name}_{attempt}.yaml"
        file.write_text(json.dumps(session))
        if killed_call(workspace, file.stem, [file, "--config", config_file(workspace)], moment):
            return Run(next(workspace.models.glob(f"*_{file.stem}")))
    raise AssertionError(f"the moment was missed {attempt + 1} times")


def config_file(workspace: Config) -> Path:
    return workspace.models.parent / "config" / "config.yaml"


def still(process: BaseProcess, moment: Callable[[Path], bool], folder: Path) -> bool:
    """Stops the process, to see whether the moment is not over yet; lets it go on if it is."""
    if os.name == "nt":
        return True
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.02)
    if moment(folder):
        return True
    os.kill(process.pid, signal.SIGCONT)
    return False


def history(run: Run) -> list[dict[str, str]]:
    with (run.folder / "history.csv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def n_epochs_written(folder: Path) -> int:
    """Returns the rows of history.csv."""
    file = folder / "history.csv"
    return len(file.read_text().splitlines()) - 1 if file.exists() else 0
