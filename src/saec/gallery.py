"""Draws the figures that a run and features keep: what is learnt from, and what is reconstructed."""

from pathlib import Path

import numpy as np
import torch

from saec import figures
from saec.data import Dataset, Draws, Loader
from saec.data.kind import evenly
from saec.devices import computing, to_device
from saec.models import Model

N_VIEWS = 12
N_REBUILT = 16


def show_views(loader: Loader, file: Path, title: str) -> None:
    """Draws pairs as training gets them: what goes in and the target."""
    data = loader.data
    chosen = np.array(evenly(range(len(data)), N_VIEWS))
    batch = loader.batch(chosen, Draws.training(len(chosen), loader.device, (loader.seed, 0, 0, 0)))
    of_two = getattr(loader.view.target, "of_two", False)
    seen, target = ("view 1", "view 2") if of_two else ("seen", "target")
    columns = {seen: data.front.show(batch.seen), target: data.front.show(batch.target, batch.seen)}
    labels = data.samples.labels[chosen].tolist()
    names = [f"{label}: {name}" if label else name for name, label in zip(batch.names, labels, strict=True)]
    figures.panels(file, columns, names, title, *data.axes)


@torch.no_grad()
def show_rebuilt(loader: Loader, model: Model, precision: str, file: Path, title: str) -> None:
    """Draws validation samples: original, target, reconstruction and its error.

    Where a view distorts samples in validation, too, the original is the target.
    """
    data = loader.data
    chosen = np.array(evenly(range(len(data)), N_REBUILT))
    batch = loader.batch(chosen, Draws.validation(chosen, loader.device, loader.seed))
    stored = data.gather(chosen, loader.device)
    original = data.front(stored)
    model = to_device(model, loader.device, precision).eval()
    with computing(loader.device, precision):
        rebuilt = model.decoder(model.encoder(original)).float()
    target = batch.target if torch.equal(batch.seen, original) else original
    shown = {"original": original, "target": target, "reconstruction": rebuilt}
    columns = {name: data.front.show(values, original) for name, values in shown.items()}
    columns["error"] = np.abs(columns["reconstruction"] - columns["target"])
    columns["original"] = data.front.show(data.original(stored), original)
    figures.panels(file, columns, batch.names, title, *data.axes)


@torch.no_grad()
def show_folder(
    model: Model,
    data: Dataset,
    n: int,
    device: torch.device,
    precision: str,
    file: Path,
    latents: np.ndarray | None = None,
) -> None:
    """Draws samples from all over the data: original, reconstruction and its error.

    `latents` are what the encoder gives of all samples, where they need not be computed again.
    """
    chosen = np.array(evenly(range(len(data)), n))
    seen, originals, rebuilt = [], [], []
    encoder = getattr(model.encoder, "source", model.encoder)  # torch's own, where ONNX Runtime encodes
    for row in chosen:  # one by one, for a folder of very wide pictures
        stored = data.gather(np.array([row]), device)
        sample = data.front(stored)
        with computing(device, precision):
            if latents is None or not rebuilt:
                code = encoder(sample)
            else:
                code = torch.tensor(latents[row], dtype=code.dtype, device=device).reshape(code.shape)
            rebuilt.append(model.decoder(code).float().cpu())
        seen.append(sample.float().cpu())
        originals.append(data.original(stored).float().cpu())
    shown = {"original": torch.cat(originals), "reconstruction": torch.cat(rebuilt)}
    columns = {name: data.front.show(values, torch.cat(seen)) for name, values in shown.items()}
    columns["error"] = np.abs(columns["reconstruction"] - data.front.show(torch.cat(seen)))
    title = f"{file.stem}: {len(chosen)} of {len(data)} {data.samples_are}"
    figures.panels(file, columns, data.samples.names[chosen].tolist(), title, *data.axes)
