"""Tell one picture from all others whichever way it is distorted, and rebuild what is seen of it."""

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.models.base import Model
from saec.objectives.base import OBJECTIVES, Objective

NEVER = -1e9  # the logit of a view with itself
LEAST_VARIANCE = 1e-5  # over time, so that a constant latent has a gradient


@OBJECTIVES.register("contrastive")
class Contrastive(Objective):
    """NT-Xent between the two views of each picture, plus the weighted error of rebuilding each view.

    Chen, Kornblith, Norouzi, Hinton 2020, "A simple framework for contrastive learning of visual
    representations", equation 1, on a projection of the means and standard deviations over time. `seen` and
    `target` are the views: choose a view that distorts both, such as `pair`. All other pictures of a batch
    are what one is told from, so scores depend on the batch size.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: tuple[str, ...],
        *,
        temperature: PositiveFloat = 0.2,
        hidden: PositiveInt = 256,
        projection: PositiveInt = 128,
        reconstruction: Annotated[float, Field(ge=0)] = 100.0,
    ):
        super().__init__(feature_shape, classes)
        channels, frequencies, _ = feature_shape
        self.temperature = temperature
        self.reconstruction = reconstruction
        self.head = nn.Sequential(
            nn.Linear(2 * channels * frequencies, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, projection, bias=False),
        )

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        views = torch.cat([batch.seen, batch.target])
        latents = model.encoder(views)
        scores = nt_xent(self.head(_over_time(latents)).float(), self.temperature)
        loss = scores["nt_xent"]
        if self.reconstruction and model.decoder is not None:
            half = len(batch)  # one view of each is enough: a decoder takes as long as an encoder
            scores["mse"] = F.mse_loss(model.decoder(latents[half:]).float(), batch.target)
            loss = loss + self.reconstruction * scores["mse"]
        return {"loss": loss} | scores


def nt_xent(projections: Tensor, temperature: float) -> dict[str, Tensor]:
    """The loss of (2 n, features), in which row i and row i + n are views of one picture, and how often the
    other view is the nearest of all.
    """
    unit = F.normalize(projections, dim=1)
    logits = (unit @ unit.T / temperature).fill_diagonal_(NEVER)
    other = (torch.arange(len(unit), device=unit.device) + len(unit) // 2) % len(unit)
    return {
        "nt_xent": F.cross_entropy(logits, other),
        "accuracy": (logits.argmax(dim=1) == other).float().mean(),
    }


def _over_time(latents: Tensor) -> Tensor:
    """(batch, channels, frequency, time) to (batch, 2 x channels x frequency): means, then deviations."""
    rows = latents.flatten(1, 2)
    deviations = (rows.var(dim=-1, correction=0) + LEAST_VARIANCE).sqrt()
    return torch.cat([rows.mean(dim=-1), deviations], dim=1)
