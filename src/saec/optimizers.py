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

from saec.registry import Of, Registry

OPTIMIZERS = Registry("optimizer", given="weights n_steps")
SMALL = 1e-8  # added to norms that are divided by

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
PLATEAU = Of("schedule", ("plateau",))


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
    accumulate: int = field(default=1, init=False)  # batches whose gradients make one step
    lowered: float = field(default=1.0, init=False)  # by plateaus so far
    n_steps: int = field(default=0, init=False)
    n_pending: int = field(default=0, init=False)  # batches since the last step
    pending: float | Tensor = field(default=0.0, init=False)  # their weights together
    mean: Callable[[float | Tensor], Tensor] | None = field(default=None, init=False)  # over all processes

    def __post_init__(self) -> None:
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def step(self, loss: Tensor, weight: float | Tensor = 1.0) -> None:
        """Takes a step by the gradient of a batch, or of `accumulate` batches by their weights."""
        if not self.n_pending:
            self.optimizer.zero_grad()
            self.pending = 0.0
        (loss * weight if self.weighs else loss).backward()
        self.pending = self.pending + weight
        self.n_pending += 1
        if self.n_pending == self.accumulate:
            self.finish()

    def finish(self) -> None:
        """Takes a step by the weighted mean gradient of the batches since the last step, if there are any, in
        all processes that learn together.
        """
        if not self.n_pending:
            return
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        pending = self.mean(self.pending) if self.mean else self.pending
        for weight in weights if self.weighs else ():
            if weight.grad is not None:
                weight.grad /= pending
        self.n_pending = 0
        if self.clip is not None:
            nn.utils.clip_grad_norm_(weights, self.clip)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.lowered * self.schedule(self.n_steps)
        self.optimizer.step()
        self.n_steps += 1

    @property
    def weighs(self) -> bool:
        """Returns whether a step is taken by several batches, here or in several processes."""
        return self.accumulate > 1 or self.mean is not None

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


FALLS: dict[str, Callable[[float], float]] = {  # by the share that is over of the steps after the warm-up
    "warmup_cosine": lambda share: (1 + cos(pi * share)) / 2,
    "linear": lambda share: 1 - share,
}


def warmed_up(step: int, n_steps: int, warmup: float, fall: Callable[[float], float]) -> float:
    """Returns the factor of the rate: (k + 1) / (w + 1) for step k of w warm-up steps, then the fall."""
    n_warm = int(warmup * n_steps)
    if step < n_warm:
        return (step + 1) / (n_warm + 1)
    return fall(min(1.0, (step - n_warm) / max(1, n_steps - n_warm)))


class Lars(torch.optim.SGD):
    """Scales the gradient of each layer by the norm of its weights; momentum is that of torch's SGD.

    You, Gitman, Ginsburg 2017, "Large batch training of convolutional networks": with gradient g and decay d,
    weights w take trust |w| / (|g| + d |w|) times g + d w for their gradient. Biases and norms, whose weights
    have one axis, are neither decayed nor scaled.
    """

    def __init__(self, weights: Sequence[nn.Parameter], weight_decay: float, trust: float, **options: Any):
        super().__init__(weights, **options)
        self.decay = weight_decay
        self.trust = trust

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a closure is never given
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for weight in weights:
            if weight.ndim > 1 and weight.grad is not None:
                norm, slope = weight.norm(), weight.grad.norm()
                rate = self.trust * norm / (slope + self.decay * norm + SMALL)
                rate = torch.where((norm > 0) & (slope > 0), rate, 1.0)
                weight.grad = rate * (weight.grad + self.decay * weight)
        super().step()


LARGE_BATCHES = {"learning_rate": 0.3, "weight_decay": 1e-6, "momentum": 0.9}


@OPTIMIZERS.register("adam", algorithm=torch.optim.Adam, weight_decay=0.0, momentum=None, trust=None)
@OPTIMIZERS.register("adamw", algorithm=torch.optim.AdamW, momentum=None, trust=None)
@OPTIMIZERS.register("lars", algorithm=Lars, defaults=LARGE_BATCHES)
@OPTIMIZERS.register("sgd", algorithm=torch.optim.SGD, trust=None, defaults={"weight_decay": 1e-3})
def optimizer(
    weights: Sequence[nn.Parameter],
    n_steps: int,
    *,
    algorithm: Callable[..., Optimizer],
    learning_rate: Rate = 1e-3,
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
    momentum: Share = 0.0,
    trust: Rate = 0.001,
    schedule: Literal["constant", "warmup_cosine", "linear", "plateau"] = "constant",
    warmup: Annotated[Share, Of("schedule", tuple(FALLS))] = 0.1,
    factor: Annotated[Rate, Field(lt=1), PLATEAU] = 0.1,
    plateau_patience: Annotated[PositiveInt, PLATEAU] = 10,
    clip: Rate | None = None,
) -> Learner:
    """Builds Adam, as `adamw` with decoupled weight decay, gradient descent (`sgd`), or LARS.

    `warmup` is a share of all steps, after which the rate falls to 0 along half a cosine, or a line
    (`linear`); `clip` is the largest norm of the gradient. The schedule `plateau` multiplies the rate by
    `factor` whenever validation has not improved for `plateau_patience` epochs. `trust` scales LARS, whose
    rate of 0.3 suits a batch of 256 and is in proportion for others.
    """
    extra = {key: value for key, value in {"momentum": momentum, "trust": trust}.items() if value is not None}
    built = algorithm(weights, lr=learning_rate, weight_decay=weight_decay, **extra)
    plateau = (factor, plateau_patience) if schedule == "plateau" else ()
    if schedule not in FALLS:
        return Learner(built, lambda step: 1.0, clip, *plateau)
    course = partial(warmed_up, n_steps=n_steps, warmup=warmup, fall=FALLS[schedule])
    return Learner(built, course, clip)
