"""Teaches a model to recognise the two views of a picture among all others, and to reconstruct one."""

from math import log
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.features import POOLINGS
from saec.models.base import Model
from saec.objectives.base import OBJECTIVES, Batches, Objective, mean_error, mean_target_error, n_pooled

NEVER = -1e9  # the logit of a view with itself


@OBJECTIVES.register("contrastive")
class Contrastive(Objective):
    """Computes NT-Xent between the two views of each picture, plus the weighted reconstruction error of one.

    Chen, Kornblith, Norouzi, Hinton 2020, "A simple framework for contrastive learning of visual
    representations", equation 1, on a projection of the latents as `pooling` pools them: best the way that
    features will be pooled. `seen` and `target` are the views: choose a view that distorts both, such as
    `pair`. Each is distinguished from all other pictures of its batch, so scores depend on the batch size.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: tuple[str, ...],
        *,
        temperature: PositiveFloat = 0.2,
        pooling: POOLINGS.field = "weighted_stats",
        hidden: PositiveInt = 256,
        projection: PositiveInt = 128,
        reconstruction: Annotated[float, Field(ge=0)] = 100.0,
    ):
        super().__init__(feature_shape, classes)
        self.pooling = pooling
        self.temperature = temperature
        self.reconstruction = reconstruction
        self.head = nn.Sequential(
            nn.Linear(n_pooled(pooling, feature_shape), hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, projection, bias=False),
        )

    def weight(self, batch: Batch) -> int:
        return len(batch)

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        views = torch.cat([batch.seen, batch.target])
        lengths = None if batch.lengths is None else batch.lengths.repeat(2)
        latents = model.encode(views, lengths)
        scores = nt_xent(self.logits(latents, model.n_steps(lengths)), self.temperature)
        loss = scores["nt_xent"]
        if self.reconstruction and model.decoder is not None:
            one = latents[len(batch) :]  # of the views: decoding takes as long as encoding
            rebuilt = model.decode(one, batch.lengths).float()
            scores["mse"] = mean_error(F.mse_loss, rebuilt, batch.target, batch.mask)
            loss = loss + self.reconstruction * scores["mse"]
        return {"loss": loss} | scores

    def trivial(self, batches: Batches) -> float:
        """Returns the score of projections that are all alike, and of the mean target."""
        sizes = [len(batch) for batch in batches()]
        alike = sum(n * log(2 * n - 1) for n in sizes) / sum(sizes)
        rebuilt = mean_target_error(batches, F.mse_loss) if self.reconstruction else 0.0
        return alike + self.reconstruction * rebuilt


def nt_xent(projections: Tensor, temperature: float) -> dict[str, Tensor]:
    """Returns the loss of (2 n, features), in which row i and row i + n are views of one picture, and how
    often the other view is the nearest of all.
    """
    unit = F.normalize(projections, dim=1)
    with torch.autocast(unit.device.type, enabled=False):  # bf16 would round likeness to three digits
        logits = (unit @ unit.T / temperature).fill_diagonal_(NEVER)
    other = (torch.arange(len(unit), device=unit.device) + len(unit) // 2) % len(unit)
    return {
        "nt_xent": F.cross_entropy(logits, other),
        "accuracy": (logits.argmax(dim=1) == other).float().mean(),
    }
