"""Runs without a training: random weights in a real run folder, saved as a training saves them."""

from pathlib import Path
from typing import Any

import torch
from conftest import TINY, training_session

from saec.config import Config, load_config
from saec.runs import Progress, Run
from saec.session import TrainingSession, load_session

HISTORY = {"epoch": 1, "learning_rate": 1e-3, "train_loss": 0.2, "valid_loss": 0.1}


def workplace(folder: Path) -> Config:
    """A workplace that several tests of a file share."""
    torch.set_num_threads(2)
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
    channels = 3 if session.data.channels == "rgb" else 1
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


def same(first: Any, second: Any) -> bool:
    """Bit for bit, through mappings and sequences."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
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
