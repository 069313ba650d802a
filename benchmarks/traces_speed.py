"""Who trains and evaluates on traces: a loop as the reference has it, the same model here, the default."""

import itertools
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks import ours
from benchmarks.contest import Entry
from benchmarks.gestures import RATE_HZ, write_gestures
from benchmarks.sessions import SHIPPED
from benchmarks.workers import Measure, Task, stretched
from saec.models import MODELS, Model
from saec.training.loop import one_epoch

N_FILES = {"train": 32, "valid": 32}
SECONDS = (0.2, 6.0)  # a fifth of what files of 1 to 30 s have
ALPHA, LEARNING_RATE = 0.25, 1e-3
SAME = {
    "model": {"name": "conv1d", "encoder_blocks": 5, "decoder_blocks": 3, "inner": 1024},
    "objective": {"name": "sparse_reconstruction", "alpha": ALPHA},
    "optimizer": {"name": "adamw", "learning_rate": LEARNING_RATE},
    "training": {"batch_size": 16},
}
GOALS = {"training": 2.0, "evaluation": 5.0}
Raw = dict[str, Any]


def entries(work: str, workspace: Path, options: Namespace) -> list[Entry]:
    """Returns the contenders at training, or at evaluation (encoding, decoding, scoring) with that model."""
    folder = workspace / "traces"
    if not folder.exists():
        write_gestures(folder, 0, N_FILES, SECONDS)
    default = yaml.safe_load((SHIPPED / "traces.yaml").read_text(encoding="utf-8"))
    default["training"]["batch_size"] = SAME["training"]["batch_size"]
    theirs, our = {"training": (training, our_training), "evaluation": (evaluation, our_evaluation)}[work]
    contenders = [("reference", theirs, SAME), ("same", our, SAME), ("default", our, default)]
    return [
        Entry(name, setup, task_of(f"{work}, {name}", session, folder, options), goal)
        for (name, setup, session), goal in zip(contenders, (None, GOALS[work], GOALS[work]), strict=True)
    ]


def task_of(name: str, session: Raw, folder: Path, options: Namespace) -> Task:
    data = {"kind": "arrays", "train": str(folder / "train"), "valid": str(folder / "valid")}
    workspace = folder.parent / name
    workspace.mkdir()
    session = session | {"data": data | {"rate_hz": RATE_HZ}}
    return Task(session, folder, workspace, options.device, options.threads)


class Traces(Dataset):
    """Holds all files of a folder in memory."""

    def __init__(self, folder: Path):
        self.arrays = [np.load(path) for path in sorted(folder.iterdir())]

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.arrays[index]


def padded(arrays: list[np.ndarray]) -> Tensor:
    """Returns (batch, 1, columns, frames of the longest), zeros behind shorter ones."""
    longest = max(map(len, arrays))
    return torch.stack([_padded(torch.from_numpy(array).T, longest) for array in arrays])[:, None]


def _padded(trace: Tensor, longest: int) -> Tensor:
    return nn.functional.pad(trace, (0, longest - trace.shape[-1]))


def training(task: Task) -> Measure:
    """Epochs in which padding is part of the loss, and the losses are read at every step."""
    loader = DataLoader(
        Traces(task.images / "train"), task.session["training"]["batch_size"], True, collate_fn=padded
    )
    model = _model(task, loader).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)

    def one() -> int:
        for seen in loader:
            mse, l1 = _scores(model, seen.to(task.device))
            optimizer.zero_grad()
            ((1 - ALPHA) * mse + ALPHA * l1).backward()
            optimizer.step()
            _ = mse.item(), l1.item()
        return len(loader.dataset)

    return _at_once(one)


def evaluation(task: Task) -> Measure:
    """One file at a time: its error, its zeros; all codes stay in memory."""
    loader = DataLoader(Traces(task.images / "valid"), 1, collate_fn=padded)
    model = _model(task, loader).eval()

    @torch.no_grad()
    def one() -> int:
        errors, zeros, kept = [], [], []
        for seen in loader:
            seen = seen.to(task.device)
            codes = model.encoder(seen)
            errors.append(nn.functional.mse_loss(model.decoder(codes), seen).item())
            zeros.append((codes == 0).sum().item())
            kept.append(codes.cpu())
        return len(kept)

    return _at_once(one)


def our_training(task: Task) -> Measure:
    """Epochs as `train` runs them."""
    bench, epochs = ours.workbench(task), itertools.count()

    def one() -> int:
        one_epoch(bench, bench.train.training(next(epochs)), "training", bench.learner)
        return len(bench.train.data)

    return _at_once(one)


def our_evaluation(task: Task) -> Measure:
    """Error, size and zeros of codes, as a training validates."""
    bench = ours.workbench(task)

    def one() -> int:
        one_epoch(bench, bench.valid.validation(), "validation")
        return len(bench.valid.data)

    return _at_once(one)


def _model(task: Task, loader: DataLoader) -> Model:
    return MODELS.parse(task.session["model"])(next(iter(loader)).shape[1:]).to(task.device)


def _scores(model: Model, seen: Tensor) -> tuple[Tensor, Tensor]:
    codes = model.encoder(seen)
    return nn.functional.mse_loss(model.decoder(codes), seen), codes.abs().mean()


def _at_once(one: Callable[[], int]) -> Measure:
    """Measures whole epochs, since batches are of different lengths."""
    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}
