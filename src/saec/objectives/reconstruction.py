"""Rebuild the target from what is seen."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.models.base import Model
from saec.objectives.base import OBJECTIVES, Batches, Objective

LOSSES = {"mse": F.mse_loss, "mae": F.l1_loss}


@OBJECTIVES.register("reconstruction")
class Reconstruction(Objective):
    """Mean squared (mse) or mean absolute (mae) error over all pixels."""

    def __init__(
        self, feature_shape: tuple[int, ...], classes: tuple[str, ...], *, loss: Literal["mse", "mae"] = "mse"
    ):
        super().__init__(feature_shape, classes)
        self.error = LOSSES[loss]

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        rebuilt = model.decoder(model.encoder(batch.seen)).float()
        return {"loss": self.error(rebuilt, batch.target)}

    @torch.no_grad()
    def trivial(self, batches: Batches) -> float:
        """The error of answering with the mean target, whatever is seen."""

        def targets() -> Iterator[Tensor]:
            return (batch.target.cpu().double() for batch in batches())

        n = sum(len(target) for target in targets())
        mean = sum(target.sum(dim=0) for target in targets()) / n
        return float(sum(len(t) * self.error(mean.expand_as(t), t) for t in targets()) / n)
