"""How far features are from those that the same weights give in fp32, layer by layer as the model says."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.workers import Task
from saec.data import Cache, chunks
from saec.features import Features, mean_std
from saec.runs import Run

N_PICTURES = 16  # of a folder, the first by name
AT_ONCE = 4


def errors(task: Task, files: Mapping[str, Path]) -> dict[str, float]:
    """Mean absolute difference over mean absolute value, for each kind of array."""
    names, expected = truth(task.run, task.images)
    return {array: _error(files[array], names, expected[array]) for array in expected}


@lru_cache
@torch.inference_mode()
def truth(run: Path, images: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names, latents (n, channels, time) and pooled features (n, features)."""
    model = Run(run).model().float()
    kind = Run(run).data.model_copy(update={"limit": None})
    data = kind(images, Cache(images.parent / "cache")).open().sized_for(model.height, model.time_pool)
    rows, cpu = np.arange(min(len(data), N_PICTURES)), torch.device("cpu")
    batches = (data.front(data.gather(chosen, cpu)) for chosen in chunks(rows, AT_ONCE))
    latents = torch.cat([model.encoder(pictures).flatten(1, 2) for pictures in batches])
    arrays = {"latents": latents.numpy(), "pooled": mean_std(latents).numpy()}
    return data.samples.names[: len(latents)].tolist(), arrays


def _error(file: Path, names: list[str], expected: np.ndarray) -> float:
    result = Features.load(file)
    row_of = {name: row for row, name in enumerate(result.N)}
    got = result.X[[row_of[name] for name in names]]
    return float(np.abs(got - expected).mean() / np.abs(expected).mean())
