"""A planned training: what it reads and learns with, and the time that this takes on this machine."""

import time
from dataclasses import dataclass

import torch

from saec.config import Config
from saec.data import Batch, Cache, Survey
from saec.devices import computing, describe, placed
from saec.models import Model, feature_shape
from saec.objectives import Objective
from saec.progress import duration
from saec.runs import Run
from saec.seeds import Seed
from saec.session import TrainingSession

VALIDATION_COST = 0.4  # of a training step, for a batch: no backward pass


@dataclass(frozen=True)
class TrainingPlan:
    """A checked session with absolute paths, its model's name and its precision resolved."""

    session: TrainingSession
    config: Config
    device: torch.device
    surveys: dict[str, Survey]  # train, and valid where it is a place of its own
    input_shape: tuple[int, ...]
    parent: Run | Seed | None
    classes: tuple[str, ...] = ()  # where the objective needs labels

    @property
    def precision(self) -> str:
        return self.session.training.precision

    @property
    def cache(self) -> Cache:
        return Cache.of(self.config)

    def __str__(self) -> str:
        """Counts, sizes and the time to expect."""
        options = self.session.training
        n_train, n_valid = self.n_samples
        model = self.session.model(self.input_shape)
        objective = self.session.objective(feature_shape(model, self.input_shape), self.classes)
        n_weights = sum(weight.numel() for weight in model.parameters())
        seconds = step_seconds(model, objective, self)
        steps = (n_train + VALIDATION_COST * n_valid) / options.batch_size
        what = self.surveys["train"].what
        if "valid" in self.surveys:
            sizes = f"train {n_train:,} {what}, valid {n_valid:,} {what}"
        else:
            sizes = f"{n_train + n_valid:,} {what}, about {n_valid:,} of them for validation"
        return "\n".join(
            [
                f"data: {sizes}, {'x'.join(map(str, self.input_shape))} (channels x height x width), "
                f"{' + '.join(survey.room for survey in self.surveys.values())}",
                *([f"classes: {', '.join(self.classes)}"] if self.classes else []),
                f"model: {self.session.model.name}, {n_weights:,} weights, "
                f"latent {' x '.join(map(str, feature_shape(model, self.input_shape)))}",
                f"device: {describe(self.device)} ({self.device}), {self.precision}",
                f"time: about {duration(steps * seconds)} an epoch, "
                f"{duration(steps * seconds * options.epochs)} for {options.epochs}",
            ]
        )

    @property
    def n_samples(self) -> tuple[int, int]:
        """For training and validation; estimated where validation is a share."""
        n_train = self.surveys["train"].n_samples
        if "valid" in self.surveys:
            return n_train, self.surveys["valid"].n_samples
        n_valid = round(n_train * self.session.data.valid)
        return n_train - n_valid, n_valid


@torch.enable_grad()
def step_seconds(model: Model, objective: Objective, plan: TrainingPlan) -> float:
    """How long a training step takes here: the last of three on random pictures."""
    model, objective = (
        placed(part, plan.device, plan.precision, learning=True) for part in (model, objective)
    )
    pictures = torch.rand(plan.session.training.batch_size, *plan.input_shape, device=plan.device)
    label = torch.zeros(len(pictures), dtype=torch.long, device=plan.device)
    batch = Batch(pictures, pictures, [""] * len(pictures), label)
    seconds = 0.0
    with torch.random.fork_rng():
        for _ in range(3):
            started = time.perf_counter()
            with computing(plan.device, plan.precision):
                loss = objective(model, batch)["loss"]
            loss.backward()
            loss.item()  # waits for the device
            seconds = time.perf_counter() - started
    return seconds
