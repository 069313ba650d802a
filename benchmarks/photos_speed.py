"""Who trains and encodes photographs: a loop as the reference has it, and the same trunk here."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks import ours
from benchmarks.contest import Entry
from benchmarks.workers import Measure, Task, stretched
from saec.devices import resolve_device, resolve_precision
from saec.models import MODELS, Model

SIZE, BATCH, LEARNING_RATE = 256, 20, 1e-4
GOALS = {"training": 2.0, "extraction": 3.0}
Raw = dict[str, Any]


def entries(work: str, images: Path, options: Namespace) -> list[Entry]:
    """Returns the contenders at training, or at files to features; both have the model `vgg16`."""
    session = {
        "data": {"kind": "photos", "train": str(images), "valid": 4, "size": SIZE},
        "views": "photo",
        "model": "vgg16",
        "objective": "reconstruction",
        "optimizer": {"name": "adam", "learning_rate": LEARNING_RATE},
        "training": {"batch_size": BATCH},
    }
    device = str(resolve_device(options.device))

    def task(name: str, precision: str = "fp32", **more: Any) -> Task:
        workspace = images.parent / f"{work}, {name}"
        workspace.mkdir()
        training = session["training"] | {"precision": precision}
        given = session | {"training": training}
        return Task(given, images, workspace, device, options.threads, precision, **more)

    theirs, our = {"training": (training, ours.training), "extraction": (extraction, ours.extraction)}[work]
    run = {"run": ours.make_run(task("run"), 1.0).folder} if work == "extraction" else {}
    precisions = dict.fromkeys(["fp32", resolve_precision("auto", torch.device(device))])
    our_entries = [
        Entry(f"ours, {precision}", our, task(precision, precision, **run), GOALS[work])
        for precision in precisions
    ]
    return [Entry("reference", theirs, task("reference")), *our_entries]


class Photographs(Dataset):
    """Opens a photograph each time it is asked for, resizes it, and flips it by chance."""

    def __init__(self, folder: Path, learning: bool):
        self.files, self.learning = sorted(folder.glob("*.jpg")), learning

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        picture = (
            np.asarray(Image.open(self.files[index]).convert("RGB").resize((SIZE, SIZE)), np.float32) / 255
        )
        if self.learning and np.random.random() < 0.5:
            picture = picture[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def training(task: Task) -> Measure:
    """Batches of 20 in fp32, the loss and the cosine read at every step."""
    loader, model = DataLoader(Photographs(task.images, True), BATCH, True), _model(task).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    batches = _forever(loader)

    def one() -> int:
        seen = next(batches).to(task.device)
        rebuilt = model.decoder(model.encoder(seen))
        loss = nn.functional.mse_loss(rebuilt, seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _ = loss.item(), nn.functional.cosine_similarity(rebuilt.detach(), seen, dim=1).mean().item()
        return len(seen)

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}


def extraction(task: Task) -> Measure:
    """Photographs one by one, in fp32; all features stay in memory."""
    photographs, model = Photographs(task.images, False), _model(task).eval()

    @torch.no_grad()
    def one() -> int:
        features = [model.encoder(one[None].to(task.device)).flatten().cpu().numpy() for one in photographs]
        np.save(task.workspace / "features.npy", np.stack(features))
        return len(features)

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}


def _forever(loader: DataLoader) -> Iterator[Tensor]:
    while True:
        yield from loader


def _model(task: Task) -> Model:
    return MODELS.parse(task.session["model"])((3, SIZE, SIZE)).to(task.device)
