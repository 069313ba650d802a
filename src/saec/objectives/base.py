"""What every objective answers: the scores of a batch, and after an epoch whether to go on."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from saec.data.batch import Batch
from saec.models.base import Model
from saec.registry import Registry

OBJECTIVES = Registry("objective")

Batches = Callable[[], Iterable[Batch]]  # the same batches each time it is called


class Objective(nn.Module):
    """What is learnt. What changes over training is a buffer; heads that only training needs live here."""

    best_by = "loss"  # the validation score whose lowest value marks the best epoch

    def __init__(self, feature_shape: tuple[int, ...], classes: tuple[str, ...]):
        super().__init__()

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Named scalars, means over the batch; `loss` is minimised."""
        raise NotImplementedError

    def end_epoch(self, stalled: bool) -> bool:
        """Whether to go on; `stalled` when validation has not improved for `training.patience` epochs."""
        return not stalled

    def trivial(self, batches: Batches) -> float | None:
        """The score `best_by` of an answer that has learnt nothing, if there is one."""
        return None


@torch.no_grad()
def mean_target_error(batches: Batches, error: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The error of answering with the mean target, whatever is seen."""

    def targets() -> Iterator[Tensor]:
        return (batch.target.cpu().double() for batch in batches())

    n = sum(len(target) for target in targets())
    mean = sum(target.sum(dim=0) for target in targets()) / n
    return float(sum(len(t) * error(mean.expand_as(t), t) for t in targets()) / n)
