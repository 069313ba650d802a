"""The loop that saec is measured against: one process, picture by picture, fp32, as the reference has it."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.functional import pil_to_tensor

from benchmarks.workers import Measure, Task, stretched
from saec.models import MODELS
from saec.runs import Run

BATCH_TO_EXTRACT = 128
TRIM = 0.1
LEARNING_RATE = 1e-3


class Pictures(Dataset):
    """(augmented picture, denoised picture, name); without a generator the picture itself, twice."""

    def __init__(self, folder: Path, generator: dict[str, dict[str, float]] | None = None):
        self.files = [path for path in folder.iterdir() if ".png" in path.name]
        self.augment = augmentation(**generator["da"]) if generator else nn.Identity()
        self.thresholds = (generator["den"]["thld_lo"], generator["den"]["thld_up"]) if generator else (0, 0)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str]:
        picture = Image.open(self.files[index])
        seen = self.augment(pil_to_tensor(picture) / 255)
        target = pil_to_tensor(picture) / 255
        target[target < np.random.uniform(*self.thresholds)] = 0.0
        return seen, target, self.files[index].name


def augmentation(
    rot_deg: float,
    trans_prop: float,
    brightness: float,
    contrast: float,
    gnoisesigm: float,
    gnoiseprob: float,
) -> nn.Module:
    """Turned and moved, then noise with a probability, then brightness and contrast."""
    return v2.Compose(
        [
            v2.RandomAffine(degrees=rot_deg, translate=(trans_prop, 0.0)),
            v2.RandomApply([v2.GaussianNoise(mean=0.0, sigma=gnoisesigm)], p=gnoiseprob),
            v2.ColorJitter(brightness=brightness, contrast=contrast),
        ]
    )


def loading(task: Task) -> Measure:
    """Files to batches on the device."""
    batches = _training_batches(task)
    return lambda seconds: {"pictures_per_s": stretched(lambda: len(next(batches)[0]), seconds)}


def training(task: Task) -> Measure:
    """Adam on all weights, the loss read at every step."""
    batches = _training_batches(task)
    model = MODELS.parse(task.session["model_tag"])(next(batches)[0].shape[1:]).to(task.device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def one() -> int:
        seen, target = next(batches)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model.decoder(model.encoder(seen)), target)
        loss.backward()
        optimizer.step()
        loss.item()
        return len(seen)

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}


def extraction(task: Task) -> Measure:
    """Files to pooled features in an NPZ: all latents in memory, written, read again, pooled."""
    encoder = Run(task.run).model().encoder.to(task.device)
    files = {"latents": task.workspace / "full_features.npz", "pooled": task.workspace / "pooled.npz"}

    def one() -> int:
        loader = DataLoader(Pictures(task.images), BATCH_TO_EXTRACT, shuffle=True)
        codes, names = [], []
        for seen, _, batch_names in loader:  # with autograd on
            codes.append(encoder(seen.to(task.device)).detach().cpu().numpy())
            names += batch_names
        np.savez(files["latents"], X=np.concatenate(codes).squeeze(), N=np.array(names))
        with np.load(files["latents"]) as result:
            np.savez(files["pooled"], X=pooled(result["X"]), N=result["N"])
        return len(names)

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)} | files


def pooled(latents: np.ndarray) -> np.ndarray:
    """(n, channels, time) to (n, 2 channels): means and standard deviations over the trimmed time."""
    cut = ceil(TRIM * latents.shape[2])
    kept = latents[:, :, cut : latents.shape[2] - cut]
    return np.concatenate([kept.mean(axis=2), kept.std(axis=2)], axis=1)


def _training_batches(task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch, on the device."""
    session: dict[str, Any] = task.session
    pictures = Pictures(task.images, session["data_generator"])
    loader = DataLoader(pictures, session["batch_size_tr"], shuffle=True, drop_last=True)
    while True:
        for seen, target, _ in loader:
            yield seen.to(task.device), target.to(task.device)
