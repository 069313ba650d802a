"""Optimizers and the course of their learning rate, which is a function of the step alone."""

from collections.abc import Callable, Sequence
from math import cos, pi
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from saec.registry import Registry

OPTIMIZERS = Registry("optimizer")

NamedWeights = Sequence[tuple[str, nn.Parameter]]
Rate = Annotated[float, Field(gt=0)]
Clip = Annotated[float, Field(gt=0)] | None
Share = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(gt=0, lt=1)]


class Learner:
    """Takes the steps of an optimizer, with the learning rate of a schedule and clipped gradients.

    `schedule` gives the factor of the rate by the step. The rate is multiplied by `factor`, too, whenever
    validation has not improved for `plateau_patience` epochs (None: never).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Callable[[int], float],
        clip: float | None,
        factor: float = 1.0,
        plateau_patience: int | None = None,
    ):
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip = clip
        self.factor = factor
        self.plateau_patience = plateau_patience
        self.lowered = 1.0  # by plateaus so far
        self.n_steps = 0
        self.rates = [group["lr"] for group in optimizer.param_groups]

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip is not None:
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.clip)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.lowered * self.schedule(self.n_steps)
        self.optimizer.step()
        self.n_steps += 1

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.rates[0] * self.lowered * self.schedule(self.n_steps)

    def end_epoch(self, n_waited: int) -> None:
        """Lowers the rate on a plateau, after so many epochs in a row without a better validation."""
        if self.plateau_patience and n_waited and n_waited % self.plateau_patience == 0:
            self.lowered *= self.factor

    def state_dict(self) -> dict[str, Any]:
        state = {"optimizer": self.optimizer.state_dict(), "n_steps": self.n_steps}
        return state | ({"lowered": self.lowered} if self.plateau_patience else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_steps = state["n_steps"]
        self.lowered = state.get("lowered", 1.0)


def constant(step: int, n_steps: int, warmup: float) -> float:
    return 1.0


def warmup_cosine(step: int, n_steps: int, warmup: float) -> float:
    """Step k of w warm-up steps has (k + 1) / (w + 1) of the rate; then half a cosine down to 0."""
    n_warm = int(warmup * n_steps)
    if step < n_warm:
        return (step + 1) / (n_warm + 1)
    return (1 + cos(pi * min(1.0, (step - n_warm) / max(1, n_steps - n_warm)))) / 2


SCHEDULES = {"constant": constant, "warmup_cosine": warmup_cosine, "plateau": constant}
Schedule = Literal["constant", "warmup_cosine", "plateau"]


@OPTIMIZERS.register("adam")
def adam(
    weights: NamedWeights,
    n_steps: int,
    *,
    learning_rate: Rate = 1e-3,
    schedule: Schedule = "constant",
    warmup: Share = 0.1,
    factor: Factor = 0.1,
    plateau_patience: PositiveInt = 10,
    clip: Clip = None,
) -> Learner:
    """Adam. `warmup` is a share of all steps, `clip` the largest norm of the gradient.

    The schedule `plateau` multiplies the rate by `factor` whenever validation has not improved for
    `plateau_patience` epochs.
    """
    optimizer = torch.optim.Adam([weight for _, weight in weights], lr=learning_rate)
    return _learner(optimizer, n_steps, schedule, warmup, clip, factor, plateau_patience)


@OPTIMIZERS.register("adamw")
def adamw(
    weights: NamedWeights,
    n_steps: int,
    *,
    learning_rate: Rate = 1e-3,
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
    schedule: Schedule = "constant",
    warmup: Share = 0.1,
    factor: Factor = 0.1,
    plateau_patience: PositiveInt = 10,
    clip: Clip = None,
) -> Learner:
    """Adam with decoupled weight decay; the other options as `adam`."""
    unnamed = [weight for _, weight in weights]
    optimizer = torch.optim.AdamW(unnamed, lr=learning_rate, weight_decay=weight_decay)
    return _learner(optimizer, n_steps, schedule, warmup, clip, factor, plateau_patience)


def _learner(
    optimizer: Optimizer,
    n_steps: int,
    schedule: Schedule,
    warmup: float,
    clip: float | None,
    factor: float,
    plateau_patience: int,
) -> Learner:
    course = SCHEDULES[schedule]
    plateau = (factor, plateau_patience) if schedule == "plateau" else ()
    return Learner(optimizer, lambda step: course(step, n_steps, warmup), clip, *plateau)
