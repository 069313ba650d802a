"""Defines what an objective returns, the scores of a batch and whether to go on; and the reconstruction."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.features import pool
from saec.models.base import Model
from saec.registry import Component, Registry
from saec.similarity import SIMILARITIES, ssim

OBJECTIVES = Registry("objective", given="feature_shape classes")
SSIM_SHARE = 0.84  # of structural similarity in `ssim_l1`

Batches = Callable[[], Iterable[Batch]]  # the same batches each time it is called


class Objective(nn.Module):
    """Defines what is learnt; what changes over training is a buffer, heads that only serve it live here."""

    best_by = "loss"  # the validation score that marks the best epoch
    rising = False  # whether its highest value does, not its lowest
    needs_labels = False
    needs_decoder = False
    compares = False  # whether the two views of samples are compared with those of the others of a batch
    evenly = False  # whether the samples of an epoch are to be drawn so that classes are equally frequent

    def __init__(self, feature_shape: tuple[int, ...], classes: tuple[str, ...]):
        super().__init__()
        self.classes = classes
        self.head: nn.Module | None = None
        self.pooling: Callable[[Tensor], Tensor] | None = None

    @property
    def phase(self) -> int:
        """Returns how often the meaning of `best_by` has changed; other phases' epochs are not compared."""
        return 0

    @property
    def phase_name(self) -> str:
        """Returns the phase's name, if its best weights are to be kept as `best_<phase_name>`, too."""
        return ""

    @property
    def keeps_best(self) -> bool:
        """Returns whether `best` may be of this phase."""
        return True

    @classmethod
    def faults(cls, options: Component, steps_hz: float | None, patience: int | None) -> list[str]:
        """Returns what does not go together: options, latents of so many steps a second (None: unknown), and
        the patience of the training.
        """
        return []

    @classmethod
    def decodes(cls, options: Component) -> bool:
        """Returns whether a decoder, where the model has one, is learnt."""
        return True

    @classmethod
    def n_phases(cls, options: Component) -> int:
        """Returns for how many phases weights are kept at most."""
        return 1

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Returns named scalars, means over the batch; `loss` is minimised."""
        raise NotImplementedError

    def weight(self, batch: Batch) -> int | Tensor:
        """Returns how much the scores of a batch count in the means of an epoch."""
        return batch.weight

    def logits(self, latents: Tensor, n_steps: Tensor | None = None) -> Tensor:
        """Returns (batch, numbers), what the head makes of latents (batch, channels, frequency, time), of
        which the first `n_steps` (batch,) are a sample's own, if given.
        """
        assert self.head is not None and self.pooling is not None  # as those have that give logits
        return self.head(pool(self.pooling, latents.float(), n_steps)).float()

    def count_classes(self, labels: np.ndarray) -> None:
        """Takes the labels of all training samples into account, once, before the first epoch."""

    def summary(self) -> dict[str, float]:
        """Returns scores of all samples since the last call that are no means over samples."""
        return {}

    def end_epoch(self, stalled: bool) -> bool:
        """Returns whether to go on; `stalled`: validation has not improved for `training.patience` epochs."""
        return not stalled

    def trivial(self, batches: Batches) -> float | None:
        """Returns the score `best_by` of an answer that has learnt nothing, at the start, if there is one."""
        return None

    def trivial_of(self, score: float, row: dict[str, float]) -> float:
        """Returns what that score is in the epoch of a row of the history."""
        return score


class Learning(nn.Module):
    """Puts a model and its objective into one module whose `forward(batch)` gives the scores."""

    def __init__(self, model: Model, objective: Objective):
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.objective(self.model, batch)


@OBJECTIVES.register("reconstruction")
class Reconstruction(Objective):
    """Computes the mean squared (mse) or mean absolute (mae) error over all pixels, or `ssim_l1`.

    That is one minus the structural similarity times 0.84, and the absolute error times 0.16: Zhao, Gallo,
    Frosio, Kautz 2017, "Loss functions for image restoration with neural networks". `metrics` are computed
    beside the loss, and not minimised.
    """

    needs_decoder = True

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: tuple[str, ...],
        *,
        loss: Literal["mse", "mae", "ssim_l1"] = "mse",
        metrics: tuple[Literal["cosine", "psnr", "ssim"], ...] = (),
    ):
        super().__init__(feature_shape, classes)
        self.error = ERRORS[loss]
        self.metrics = metrics

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        rebuilt = model.decode(model.encode(batch.seen, batch.lengths), batch.lengths).float()
        scores = {"loss": mean_error(self.error, rebuilt, batch.target, batch.mask)}
        with torch.no_grad():
            return scores | {name: SIMILARITIES[name](rebuilt, batch.target).mean() for name in self.metrics}

    def trivial(self, batches: Batches) -> float:
        return mean_target_error(batches, self.error)


def _structural_error(given: Tensor, target: Tensor) -> Tensor:
    return SSIM_SHARE * (1 - ssim(given, target).mean()) + (1 - SSIM_SHARE) * F.l1_loss(given, target)


ERRORS: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "ssim_l1": _structural_error}


def n_pooled(pooling: Callable[[Tensor], Tensor], feature_shape: tuple[int, ...]) -> int:
    """Returns the number of features that latents (channels, frequency, time) are pooled to."""
    return pooling(torch.zeros(1, *feature_shape)).shape[1]


@torch.no_grad()
def mean_target_error(batches: Batches, error: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Returns the error of answering with the mean target, whatever is seen."""

    def targets() -> Iterator[tuple[Tensor, Tensor | None, int]]:
        for batch in batches():
            mask = None if batch.mask is None else batch.mask.cpu()
            yield batch.target.cpu().double(), mask, int(batch.weight)

    n = sum(weight for *_, weight in targets())
    mean = sum((_sum(target, mask) for target, mask, _ in targets()), torch.tensor(0)) / n
    errors = (weight * mean_error(error, mean.expand_as(t), t, mask) for t, mask, weight in targets())
    return float(sum(errors) / n)


def _sum(target: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the sum over the batch, or over the own frames of all samples."""
    return target.sum(dim=0) if mask is None else (target * _wide(mask, target)).sum(dim=(0, -1))[..., None]


def mean_error(
    error: Callable[..., Tensor], given: Tensor, target: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Returns the error of one of torch's functions over all numbers, or those in the mask (batch, width)."""
    return error(given, target) if mask is None else mean_over(error(given, target, reduction="none"), mask)


def mean_over(numbers: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns the mean of (batch, ..., width) over all numbers, or those in the mask (batch, width)."""
    if mask is None:
        return numbers.mean()
    n_frame = numbers[0, ..., 0].numel()
    return (numbers * _wide(mask, numbers)).sum() / (mask.sum() * n_frame)


def _wide(mask: Tensor, numbers: Tensor) -> Tensor:
    return mask.reshape(len(mask), *[1] * (numbers.ndim - 2), mask.shape[-1])
