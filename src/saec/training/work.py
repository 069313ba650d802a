"""Says how much work a training is: its number of epochs where a session leaves it open, and its time."""

import logging
import time
from math import ceil

import torch
from torch import nn

from saec.data import Batch, Sizes
from saec.devices import computing, to_device
from saec.models import Model
from saec.objectives import Learning
from saec.session import AUTO, TrainingOptions, TrainingSession

LOG = logging.getLogger(__name__)
EPOCHS, STEPS = 60, 600  # of `training.epochs: auto`, at least; benchmarks/README.md shows what fewer give
MOST_WEIGHTS = 10_000  # of a linear layer, for each training sample
N_TIMED = 4  # samples of a step that is timed on a CPU
VALIDATION_COST, PROBE_COST = 0.4, 0.12  # of a training step, for a batch: no backward pass, or encoded alone


def with_epochs(session: TrainingSession, n_steps: int) -> TrainingSession:
    """Returns the session with a number of epochs, of so many steps each."""
    options = session.training
    if options.epochs != AUTO:
        return session
    epochs = max(EPOCHS, ceil(STEPS / n_steps))
    return session.but(training=options.model_copy(update={"epochs": epochs}))


def epoch_seconds(step_s: float, options: TrainingOptions, n_train: int, n_valid: int) -> float:
    """Returns the seconds of an epoch with so many samples, where a training step takes that long."""
    n_steps = (n_train + VALIDATION_COST * n_valid) / options.batch_size
    if options.probe:
        n_probed = min(n_train, options.probe.limit) + n_valid
        n_steps += PROBE_COST * n_probed / options.batch_size / options.probe.every
    return step_s * n_steps


@torch.enable_grad()
def step_seconds(
    learning: Learning, size: Sizes, shape: tuple[int, ...], options: TrainingOptions, device: torch.device
) -> float:
    """Returns the seconds of a training step, by the second of two on some random samples of that shape."""
    learning, n = to_device(learning, device, options.precision, learning=True), options.batch_size
    few = n if device.type == "cuda" else min(n, N_TIMED)  # heavy models take minutes for whole batches
    batch, seconds = _random(few, size, shape, device), 0.0
    with torch.random.fork_rng():
        for _ in range(2):
            started = time.perf_counter()
            with computing(device, options.precision):
                loss = learning(batch)["loss"]
            loss.backward()
            loss.item()  # waits for the device
            seconds = time.perf_counter() - started
    return seconds * n / few


def least_batch(session: TrainingSession, learning: Learning, size: Sizes, shape: tuple[int, ...]) -> int:
    """Returns 2 where batch norms would see a single number a channel of one sample of that shape, else 1."""
    if not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in learning.modules()):
        return 1
    learning.model.freeze(session.freeze)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            learning.train()(_random(1, size, shape, torch.device("cpu")))
    except ValueError:  # as torch's norms call it
        return 2
    return 1


def warn_of_heavy(model: Model | None, n_samples: int) -> None:
    """Warns of a layer whose weights are far more than so many samples can teach."""
    for name, layer in model.named_modules() if model else ():
        if isinstance(layer, nn.Linear) and layer.weight.numel() > MOST_WEIGHTS * n_samples:
            words = "%s has %s weights for %d samples, which is far more than they can teach: choose `model: "
            words += "compact`, smaller samples, or a larger `hop_length` of sound"
            LOG.warning(words, name, f"{layer.weight.numel():,}", n_samples)


def _random(n: int, size: Sizes, shape: tuple[int, ...], device: torch.device) -> Batch:
    """Returns a batch of n random samples, of the mean length where each has its own."""
    *rows, width = shape
    if size.mean_frames:
        width = max(1, round(size.mean_frames / width)) * width
    samples = torch.rand(n, *rows, width, device=device)
    label = torch.zeros(n, dtype=torch.long, device=device)
    lengths = torch.full_like(label, width) if size.is_ragged else None
    frames_hz = size.front.axes.frames_hz
    return Batch(samples, samples, [""] * n, label, lengths, frames_hz=frames_hz)
