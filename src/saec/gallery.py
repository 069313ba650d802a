"""The pictures that a run keeps: what it learns from, and what it rebuilds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saec import figures
from saec.data import Dataset, Draws, Loader
from saec.data.decoding import evenly
from saec.devices import computing, to_device
from saec.models import Model

N_VIEWS = 12
N_REBUILT = 16


def show_views(loader: Loader, file: Path, title: str) -> None:
    """Pairs as training draws them: what goes in and what is asked for."""
    chosen = np.array(evenly(range(len(loader.data)), N_VIEWS))
    key = (loader.seed, 0, 0, 0)
    batch = loader.batch(chosen, Draws.training(len(chosen), loader.device, key))
    shade = Shade.of(loader.data, batch.seen)
    labels = loader.data.labels[chosen].tolist()
    names = [f"{label}: {name}" if label else name for name, label in zip(batch.names, labels, strict=True)]
    figures.panels(file, {"seen": shade(batch.seen), "target": shade(batch.target)}, names, title)


@torch.no_grad()
def show_rebuilt(loader: Loader, model: Model, precision: str, file: Path, title: str) -> None:
    """Validation pictures: original, target, reconstruction and its error.

    Where a view distorts pictures in validation, too, the original is the target.
    """
    chosen = np.array(evenly(range(len(loader.data)), N_REBUILT))
    batch = loader.batch(chosen, Draws.validation(chosen, loader.device, loader.seed))
    original = loader.data.prepare(loader.data.gather(chosen, loader.device))
    model = to_device(model, loader.device, precision).eval()
    with computing(loader.device, precision):
        rebuilt = model.decoder(model.encoder(original)).float()
    target = batch.target if torch.equal(batch.seen, original) else original
    shade = Shade.of(loader.data, original)
    columns = {"original": shade(original), "target": shade(target), "reconstruction": shade(rebuilt)}
    columns["error"] = np.abs(columns["reconstruction"] - columns["target"])
    figures.panels(file, columns, batch.names, title)


@torch.no_grad()
def show_folder(
    model: Model, data: Dataset, n: int, device: torch.device, precision: str, file: Path
) -> None:
    """Pictures spread over a folder: original, reconstruction and its error."""
    chosen = np.array(evenly(range(len(data)), n))
    original, rebuilt = [], []
    encoder = getattr(model.encoder, "source", model.encoder)  # torch's own, where ONNX Runtime encodes
    for one in chosen:  # one by one, for a folder of very wide pictures
        picture = data.prepare(data.gather(np.array([one]), device))
        with computing(device, precision):
            rebuilt.append(model.decoder(encoder(picture)).float().cpu())
        original.append(picture.float().cpu())
    shade = Shade.of(data, torch.cat(original))
    before, after = shade(torch.cat(original)), shade(torch.cat(rebuilt))
    columns = {"original": before, "reconstruction": after, "error": np.abs(after - before)}
    title = f"{file.stem}: {len(chosen)} of {len(data)} {data.what}"
    figures.panels(file, columns, data.names[chosen].tolist(), title)


@dataclass(frozen=True)
class Shade:
    """From what a model sees to shades in [0, 1]: as it is, or from the least to the largest value."""

    low: float = 0.0
    reach: float = 1.0

    @classmethod
    def of(cls, data: Dataset, pictures: torch.Tensor) -> "Shade":
        if data.prepare.in_units:
            return cls()
        low, high = (float(value) for value in pictures.float().aminmax())
        return cls(low, max(high - low, 1e-6))

    def __call__(self, pictures: torch.Tensor) -> np.ndarray:
        return (pictures.float().cpu().numpy() - self.low) / self.reach
