"""Builds optimizers with the course of their learning rate, which is a function of the step alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
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


@dataclass
class Learner:
    """Takes the steps of an optimizer, with the learning rate of a schedule and clipped gradients.

    `schedule` gives the factor of the rate by the step. The rate is multiplied by `factor`, too, whenever
    validation has not improved for `plateau_patience` epochs (None: never).
    """

    optimizer: Optimizer
    schedule: Callable[[int], float]
    clip: float | None
    factor: float = 1.0
    plateau_patience: int | None = None
    lowered: float = field(default=1.0, init=False)  # by plateaus so far
    n_steps: int = field(default=0, init=False)

    def __post_init__(self):
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

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
        """Returns the learning rate of the next step."""
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


def warmup_cosine(step: int, n_steps: int, warmup: float) -> float:
    """Returns (k + 1) / (w + 1) of the rate for step k of w warm-up steps, then half a cosine down to 0."""
    n_warm = int(warmup * n_steps)
    if step < n_warm:
        return (step + 1) / (n_warm + 1)
    return (1 + cos(pi * min(1.0, (step - n_warm) / max(1, n_steps - n_warm)))) / 2


@OPTIMIZERS.register("adam", algorithm=torch.optim.Adam, weight_decay=0.0)
@OPTIMIZERS.register("adamw", algorithm=torch.optim.AdamW)
def adam(
    weights: NamedWeights,
    n_steps: int,
    *,
    algorithm: Callable[..., Optimizer],
    learning_rate: Rate = 1e-3,
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
    schedule: Literal["constant", "warmup_cosine", "plateau"] = "constant",
    warmup: Share = 0.1,
    factor: Factor = 0.1,
    plateau_patience: PositiveInt = 10,
    clip: Clip = None,
) -> Learner:
    """Builds Adam, as `adamw` with decoupled weight decay.

    `warmup` is a share of all steps, `clip` the largest norm of the gradient. The schedule `plateau`
    multiplies the rate by `factor` whenever validation has not improved for `plateau_patience` epochs.
    """
    optimizer = algorithm([weight for _, weight in weights], lr=learning_rate, weight_decay=weight_decay)
    plateau = (factor, plateau_patience) if schedule == "plateau" else ()
    course = partial(warmup_cosine, n_steps=n_steps, warmup=warmup)
    return Learner(optimizer, course if schedule == "warmup_cosine" else lambda step: 1.0, clip, *plateau)
