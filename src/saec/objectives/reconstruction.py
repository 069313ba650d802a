"""Rebuild the target from what is seen."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.models.base import Model
from saec.objectives.base import OBJECTIVES, Batches, Objective, mean_target_error

LOSSES = {"mse": F.mse_loss, "mae": F.l1_loss}


@OBJECTIVES.register("reconstruction")
class Reconstruction(Objective):
    """Mean squared (mse) or mean absolute (mae) error over all pixels."""

    needs_decoder = True

    def __init__(
        self, feature_shape: tuple[int, ...], classes: tuple[str, ...], *, loss: Literal["mse", "mae"] = "mse"
    ):
        super().__init__(feature_shape, classes)
        self.error = LOSSES[loss]

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        rebuilt = model.decoder(model.encoder(batch.seen)).float()
        return {"loss": self.error(rebuilt, batch.target)}

    def trivial(self, batches: Batches) -> float:
        return mean_target_error(batches, self.error)
