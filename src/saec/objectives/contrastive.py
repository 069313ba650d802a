"""Teaches a model to recognise the two views of a picture among all others, and to reconstruct one."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.features import SettledPooling
from saec.models.base import Model
from saec.objectives.base import OBJECTIVES, Batches, Objective, mean_error, mean_target_error, n_pooled
from saec.registry import Component, Of
from saec.together import summed

NEVER = -1e9  # the logit of a view with itself
TINY = 1e-4  # added to a variance under a root, as VICReg's authors do

Weight = Annotated[float, Field(ge=0)]
OfVicreg = Annotated[Weight, Of("variant", ("vicreg",))]


@OBJECTIVES.register("contrastive")
class Contrastive(Objective):
    """Compares the two views of each picture with those of others, and adds the error of rebuilding one.

    `seen` and `target` are the views: choose a view that distorts both, such as `pair`. Their latents are
    pooled, best the way that features will be, and projected by `hidden` and `projection` units; `last_norm`
    is a batch norm without learnt bias behind them. `variant` says how projections are compared: `nt_xent`
    (with `temperature`), `vicreg` (`invariance`, `variance`, `covariance`) or `barlow` (`redundancy`).
    Scores depend on the batch size; a last batch of one sample, which has no others, teaches reconstruction
    alone, and VICReg its invariance.
    """

    compares = True

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: tuple[str, ...],
        *,
        variant: Literal["nt_xent", "vicreg", "barlow"] = "nt_xent",
        temperature: Annotated[PositiveFloat, Of("variant", ("nt_xent",))] = 0.2,
        invariance: OfVicreg = 25.0,
        variance: OfVicreg = 25.0,
        covariance: OfVicreg = 1.0,
        redundancy: Annotated[Weight, Of("variant", ("barlow",))] = 0.005,
        pooling: SettledPooling = "weighted_stats",
        hidden: PositiveInt = 256,
        projection: PositiveInt = 128,
        last_norm: bool = False,
        reconstruction: Weight = 100.0,
    ):
        super().__init__(feature_shape, classes)
        self.pooling = pooling
        self.variant = variant
        self.compare: Callable[[Tensor], dict[str, Tensor]] = {
            "nt_xent": partial(nt_xent, temperature=temperature),
            "vicreg": partial(vicreg, weights=(invariance, variance, covariance)),
            "barlow": partial(barlow, redundancy=redundancy),
        }[variant]
        self.projection = projection
        self.reconstruction = reconstruction
        self.head = nn.Sequential(
            nn.Linear(n_pooled(pooling, feature_shape), hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, projection, bias=False),
        )
        if last_norm:
            self.head.append(nn.BatchNorm1d(projection))
            self.head[-1].bias.requires_grad_(False)

    @classmethod
    def decodes(cls, options: Component) -> bool:
        return bool(options.reconstruction)

    def weight(self, batch: Batch) -> int:
        return len(batch)

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        views = torch.cat([batch.seen, batch.target])
        lengths = None if batch.lengths is None else batch.lengths.repeat(2)
        latents = model.encode(views, lengths)
        scores = self.compare(gathered(self.logits(latents, model.n_steps(lengths))))
        loss = scores[self.variant]
        if self.reconstruction and model.decoder is not None:
            one = latents[len(batch) :]  # of the views: decoding takes as long as encoding
            rebuilt = model.decode(one, batch.lengths).float()
            scores["mse"] = mean_error(F.mse_loss, rebuilt, batch.target, batch.mask)
            loss = loss + self.reconstruction * scores["mse"]
        return {"loss": loss} | scores

    def trivial(self, batches: Batches) -> float:
        """Returns the score of projections that are all alike, and of the mean target."""
        sizes = [len(batch) for batch in batches()]
        alike = {n: torch.ones(2 * n, self.projection, dtype=torch.float64) for n in set(sizes)}
        losses = {n: float(self.compare(rows)[self.variant]) for n, rows in alike.items()}
        rebuilt = mean_target_error(batches, F.mse_loss) if self.reconstruction else 0.0
        return sum(n * losses[n] for n in sizes) / sum(sizes) + self.reconstruction * rebuilt


def gathered(projections: Tensor) -> Tensor:
    """Returns the projections (2 batch, numbers) of all processes that learn together, first views first.

    Gradients of each are the sum over the processes, of which data parallel training takes the mean.
    """
    if not (distributed.is_available() and distributed.is_initialized() and torch.is_grad_enabled()):
        return projections
    views, rank = projections.unflatten(0, (2, -1)), distributed.get_rank()  # (2, batch, numbers)
    counts = torch.zeros(distributed.get_world_size(), dtype=torch.long, device=views.device)
    counts[rank] = views.shape[1]
    distributed.all_reduce(counts)
    n_before, n_behind = int(counts[:rank].sum()), int(counts[rank + 1 :].sum())
    return summed(F.pad(views, (0, 0, n_before, n_behind))).flatten(0, 1)


def nt_xent(projections: Tensor, temperature: float) -> dict[str, Tensor]:
    """Returns -log of the other view's share among all others, and how often that is the most alike.

    The first half of the rows are first views, the second half the second ones of the same pictures. Chen,
    Kornblith, Norouzi, Hinton 2020, "A simple framework for contrastive learning of visual representations",
    equation 1.
    """
    unit = F.normalize(projections, dim=1)
    with torch.autocast(unit.device.type, enabled=False):  # bf16 would round likeness to three digits
        logits = (unit @ unit.T / temperature).fill_diagonal_(NEVER)
    other = (torch.arange(len(unit), device=unit.device) + len(unit) // 2) % len(unit)
    return {
        "nt_xent": F.cross_entropy(logits, other),
        "accuracy": (logits.argmax(dim=1) == other).float().mean(),
    }


def vicreg(projections: Tensor, weights: tuple[float, float, float]) -> dict[str, Tensor]:
    """Returns the weighted sum of the distance of views, lack of variance, and covariance of numbers.

    Bardes, Ponce, LeCun 2022, "VICReg: variance-invariance-covariance regularization for self-supervised
    learning", section 4.1, with the means of the authors' program: of the distance over all numbers, of the
    lack of variance over both views. A batch of one has a distance alone.
    """
    invariance, variance, covariance = weights
    views = projections.chunk(2)
    n, width = views[0].shape
    loss = invariance * F.mse_loss(views[0], views[1])
    for view in views if n > 1 else ():
        shared, diagonal = _products(view - view.mean(dim=0), view - view.mean(dim=0), n - 1)
        loss = loss + variance * F.relu(1 - (diagonal + TINY).sqrt()).mean() / 2
        loss = loss + covariance * (shared.square().sum() - diagonal.square().sum()) / width
    return {"vicreg": loss} | _recognised(projections)


def barlow(projections: Tensor, redundancy: float) -> dict[str, Tensor]:
    """Returns how far correlations of two views are from 1 for the same number, and from 0 for two numbers.

    Zbontar, Jing, Misra, LeCun, Deny 2021, "Barlow Twins: self-supervised learning via redundancy reduction",
    equations 1 and 2. A batch of one has no correlations: nothing is learnt from it.
    """
    one, other = projections.chunk(2)
    n, width = one.shape
    if n == 1:
        loss = 0 * projections.sum() + width
    else:
        first, second = (F.batch_norm(view, None, None, training=True) for view in (one, other))
        shared, diagonal = _products(first, second, n)
        apart = shared.square().sum() - diagonal.square().sum()
        loss = (diagonal - 1).square().sum() + redundancy * apart
    return {"barlow": loss} | _recognised(projections)


def _products(one: Tensor, other: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Returns mean products (numbers, numbers) of all numbers of two views, and those of the same ones."""
    with torch.autocast(one.device.type, enabled=False):
        shared = one.T @ other / n
    return shared, shared.diagonal()


@torch.no_grad()
def _recognised(projections: Tensor) -> dict[str, Tensor]:
    return {"accuracy": nt_xent(projections, 1.0)["accuracy"]}
