"""Rebuild the target from what is seen."""

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
        self, feature_shape: tuple[int, ...], n_classes: int, *, loss: Literal["mse", "mae"] = "mse"
    ):
        super().__init__(feature_shape, n_classes)
        self.error = LOSSES[loss]

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        rebuilt = model.decoder(model.encoder(batch.seen)).float()
        return {"loss": self.error(rebuilt, batch.target)}

    @torch.no_grad()
    def trivial(self, batches: Batches) -> float:
        """The error of answering with the mean target, whatever is seen."""
        n = sum(len(batch) for batch in batches())
        mean = sum(batch.target.double().sum(dim=0) for batch in batches()) / n
        errors = (len(batch) * self.error(mean.expand_as(batch.target), batch.target) for batch in batches())
        return float(sum(errors) / n)
