"""Teaches a model to reconstruct samples from codes most of whose numbers are zero."""

from math import ceil
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Batch, own_columns
from saec.faults import collect_faults
from saec.lowpass import filtered, lowpass_kernel
from saec.models.base import Model
from saec.objectives.base import (
    ERRORS,
    OBJECTIVES,
    Batches,
    Objective,
    mean_error,
    mean_over,
    mean_target_error,
)
from saec.registry import Component, Of

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
RAISED = Of("schedule", ("step", "step_after_stop"))


@OBJECTIVES.register("sparse_reconstruction")
class SparseReconstruction(Objective):
    """Computes (1 - alpha) x reconstruction error + alpha x mean |code|, over each sample's own frames.

    `schedule`: `constant` keeps alpha; `step` raises it after each epoch by 1 / (alpha_epochs - 1), up to
    `alpha_max`; `step_after_stop` keeps it until validation has not improved for `training.patience` epochs,
    then raises it before each of `alpha_epochs` epochs, and ends (`training.epochs` is the most there are in
    all). `alpha_max` is below 1 because at 1 reconstruction counts nothing and all codes become zero.

    Epochs are compared with those of the same alpha, and the best weights of each alpha are kept as
    `best_alpha_<alpha>`. `best` are those of the alpha that most epochs are meant for: with `step` the last
    one that is reached, with `step_after_stop` the one before it was raised.

    `total_variation` and `weight_penalty` are weights of two more terms: the squared difference of each code
    from the one before it in time, as a mean; and (F - 1)^2, F the Frobenius norm of all convolution kernels.
    With `cutoff_hz` the decoder is given codes without faster changes (features are not filtered).
    """

    needs_decoder = True
    alpha: Tensor
    n_raised: Tensor

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: tuple[str, ...],
        *,
        loss: Literal["mse", "mae"] = "mse",
        alpha: Share = 0.25,
        schedule: Literal["constant", "step", "step_after_stop"] = "constant",
        alpha_epochs: Annotated[int, Field(ge=2, le=1_000), RAISED] = 15,
        alpha_max: Annotated[Share, RAISED] = 0.9,
        total_variation: Weight = 0.0,
        cutoff_hz: PositiveFloat | None = None,
        weight_penalty: Weight = 0.0,
    ):
        super().__init__(feature_shape, classes)
        self.loss, self.error = loss, ERRORS[loss]
        self.schedule = schedule
        self.path = alpha_path(alpha, alpha_epochs, alpha_max)
        self.alpha_epochs = alpha_epochs
        self.total_variation = total_variation
        self.cutoff_hz = cutoff_hz
        self.weight_penalty = weight_penalty
        self.register_buffer("alpha", torch.tensor(alpha))
        self.register_buffer("n_raised", torch.tensor(0))  # epochs, those at `alpha_max` included

    @classmethod
    def faults(cls, options: Component, steps_hz: float | None, patience: int | None) -> list[str]:
        faults, cutoff = [], options.cutoff_hz
        if options.schedule != "constant" and options.alpha >= options.alpha_max:
            faults.append(
                f"objective.alpha: {options.alpha} cannot be raised to `alpha_max`, {options.alpha_max}: "
                "choose a smaller alpha, or `schedule: constant`"
            )
        if options.schedule == "step_after_stop" and patience is None:
            faults.append(
                "objective.schedule: step_after_stop raises alpha when validation has not improved for "
                "`training.patience` epochs, which is null: set it"
            )
        if cutoff is not None and steps_hz is None:
            faults.append(
                "objective.cutoff_hz: nothing says how many frames a second the data have: set the rate of "
                "the data, or leave it out"
            )
        elif cutoff is not None:
            collect_faults(faults, "objective.cutoff_hz", lowpass_kernel, cutoff, steps_hz)
        return faults

    @classmethod
    def n_phases(cls, options: Component) -> int:
        path = alpha_path(options.alpha, options.alpha_epochs, options.alpha_max)
        return 1 if options.schedule == "constant" else len(path)

    @property
    def phase(self) -> int:
        return min(int(self.n_raised), len(self.path) - 1)

    @property
    def phase_name(self) -> str:
        return f"alpha_{self.path[self.phase]:.4g}"

    @property
    def keeps_best(self) -> bool:
        return self.schedule != "step_after_stop" or not self.n_raised

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        codes = model.encode(batch.seen, batch.lengths)
        slow = codes if self.cutoff_hz is None else self.without_fast(codes, model, batch)
        rebuilt, codes = model.decode(slow, batch.lengths).float(), codes.float()

        def mean(numbers: Tensor) -> Tensor:
            return mean_of_steps(numbers, batch.mask, model.time_pool)

        error, l1 = mean_error(self.error, rebuilt, batch.target, batch.mask), mean(codes.abs())
        scores = {"loss": (1 - self.alpha) * error + self.alpha * l1, self.loss: error, "l1": l1}
        if self.total_variation:
            scores["total_variation"] = mean(F.pad(codes.diff(dim=-1), (1, 0)).square())
            scores["loss"] = scores["loss"] + self.total_variation * scores["total_variation"]
        if self.weight_penalty:
            scores["weight_penalty"] = (kernel_norm(model) - 1) ** 2
            scores["loss"] = scores["loss"] + self.weight_penalty * scores["weight_penalty"]
        return scores if self.training else scores | {"sparsity": 1 - mean(codes.sign().abs_())}

    def without_fast(self, codes: Tensor, model: Model, batch: Batch) -> Tensor:
        """Returns codes without changes faster than `cutoff_hz`, each by its sample's own steps."""
        assert self.cutoff_hz is not None and batch.frames_hz is not None  # as `faults` has seen to
        kernel = lowpass_kernel(self.cutoff_hz, batch.frames_hz / model.time_pool)
        n_steps = model.n_steps(batch.lengths)
        mask = None if n_steps is None else own_columns(n_steps, codes.shape[-1])
        return filtered(codes, kernel, mask)

    def summary(self) -> dict[str, float]:
        return {"alpha": self.path[self.phase]}

    def end_epoch(self, stalled: bool) -> bool:
        n, after_stop = int(self.n_raised), self.schedule == "step_after_stop"
        if self.schedule == "constant" or (after_stop and not n and not stalled):
            return not stalled
        if after_stop and n >= self.alpha_epochs:
            return False
        self.n_raised += 1
        self.alpha.fill_(self.path[self.phase])
        return after_stop or not stalled

    def trivial(self, batches: Batches) -> float:
        """Returns the score of codes that are all zero and of the mean target, at the first alpha."""
        return (1 - self.path[0]) * mean_target_error(batches, self.error)

    def trivial_of(self, score: float, row: dict[str, float]) -> float:
        return score * (1 - row["valid_alpha"]) / (1 - self.path[0] or 1)


def alpha_path(alpha: float, alpha_epochs: int, alpha_max: float) -> tuple[float, ...]:
    """Returns the values that alpha takes one after the other, where it is raised."""
    rise = 1 / (alpha_epochs - 1)
    n = max(0, ceil(round((alpha_max - alpha) / rise, 9)))
    return (alpha, *(min(alpha_max, alpha + k * rise) for k in range(1, n + 1)))


def mean_of_steps(numbers: Tensor, mask: Tensor | None, time_pool: int) -> Tensor:
    """Returns the mean of (batch, channels, frequency, steps), where each step counts as often as a sample
    has frames in it; `mask` is that of frames, (batch, width).
    """
    if mask is None:
        return numbers.mean()
    return mean_over(numbers.flatten(1, 2).mean(dim=1).repeat_interleave(time_pool, dim=-1), mask)


def kernel_norm(model: Model) -> Tensor:
    """Returns the Frobenius norm of all convolution kernels together."""
    squares = (weight.square().sum() for weight in model.parameters() if weight.ndim > 2)
    return sum(squares, torch.tensor(0)).sqrt()
