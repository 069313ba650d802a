"""Says how much work a training is: its number of epochs where a session leaves it open, and its time."""

import time

import torch

from saec.data import Batch, Sizes
from saec.data.batch import axes_of
from saec.devices import computing, to_device
from saec.objectives import Learning
from saec.session import AUTO, TrainingOptions, TrainingSession

STEPS = 1_200  # of `training.epochs: auto`; benchmarks/README.md shows what comes of fewer and of more
LEAST, MOST = 30, 300  # epochs then, of large sets and of small ones
N_TIMED = 4  # samples of a step that is timed on a CPU
VALIDATION_COST, PROBE_COST = 0.4, 0.12  # of a training step, for a batch: no backward pass, or encoded alone


def with_epochs(session: TrainingSession, n_steps: int) -> TrainingSession:
    """Returns the session with a number of epochs, of so many steps each."""
    options = session.training
    if options.epochs != AUTO:
        return session
    epochs = min(MOST, max(LEAST, round(STEPS / n_steps)))
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
    *rows, width = shape
    if size.mean_frames:
        width = max(1, round(size.mean_frames / width)) * width
    samples = torch.rand(few, *rows, width, device=device)
    label = torch.zeros(len(samples), dtype=torch.long, device=device)
    lengths = torch.full_like(label, width) if size.is_ragged else None
    frames_hz = axes_of(size.front).frames_hz
    batch = Batch(samples, samples, [""] * len(samples), label, lengths, frames_hz=frames_hz)
    seconds = 0.0
    with torch.random.fork_rng():
        for _ in range(2):
            started = time.perf_counter()
            with computing(device, options.precision):
                loss = learning(batch)["loss"]
            loss.backward()
            loss.item()  # waits for the device
            seconds = time.perf_counter() - started
    return seconds * n / few
