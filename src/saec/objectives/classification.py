"""Teaches a model to distinguish classes by labels."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn import functional as F

from saec.data.batch import Batch
from saec.features import SettledPooling
from saec.models.base import Model
from saec.objectives.base import OBJECTIVES, Batches, Objective, n_pooled
from saec.registry import Component

Balance = Literal["none", "weights", "oversample"]


@OBJECTIVES.register("classification")
class Classification(Objective):
    """Computes the cross-entropy of a linear head on pooled latents; the best epoch has the highest macro-F1.

    `balance`: rare classes weigh more in the loss (weights: by the inverse of their share), or are drawn as
    often as the most frequent one (oversample). `mixup`: samples and labels are mixed in pairs, by shares of
    a Beta(mixup, mixup) distribution (Zhang, Cisse, Dauphin, Lopez-Paz 2018, "mixup: beyond empirical risk
    minimization"). Macro-F1 is the mean of 2 TP / (2 TP + FP + FN) over the classes that occur.
    """

    best_by = "macro_f1"
    rising = True
    needs_labels = True
    weights: Tensor
    confusion: Tensor

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: tuple[str, ...],
        *,
        pooling: SettledPooling = "mean",
        balance: Balance = "none",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        mixup: Annotated[float, Field(ge=0)] = 0.0,
    ):
        super().__init__(feature_shape, classes)
        n = len(classes)
        self.pooling = pooling
        self.balance = balance
        self.evenly = balance == "oversample"
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.head = nn.Linear(n_pooled(pooling, feature_shape), n)
        self.register_buffer("weights", torch.ones(n))
        self.register_buffer("confusion", torch.zeros(n, n, dtype=torch.long), persistent=False)

    @classmethod
    def decodes(cls, options: Component) -> bool:
        return False

    def count_classes(self, labels: np.ndarray) -> None:
        counts = torch.tensor([(labels == name).sum() for name in self.classes])
        weights = counts.sum() / (len(counts) * counts.clamp(min=1))
        self.weights.copy_(weights if self.balance == "weights" else torch.ones_like(weights))

    def weight(self, batch: Batch) -> int:
        return len(batch)

    def forward(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        if self.training and self.mixup:
            return self._mixed(model, batch)
        logits = self.logits(model.encode(batch.seen, batch.lengths), model.n_steps(batch.lengths))
        label = _labels_of(batch)
        return {"loss": self._loss(logits, label)} | self._count(logits, label)

    def summary(self) -> dict[str, float]:
        macro_f1 = macro_f1_of(self.confusion)
        self.confusion.zero_()
        return {"macro_f1": macro_f1}

    def trivial(self, batches: Batches) -> float:
        """Returns the score of naming the most frequent class whatever the sample is."""
        labels = torch.cat([_labels_of(batch).cpu() for batch in batches()])
        counts = torch.bincount(labels, minlength=len(self.classes))
        confusion = torch.zeros(len(counts), len(counts), dtype=torch.long)
        confusion[:, counts.argmax()] = counts
        return macro_f1_of(confusion)

    def _mixed(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        share = float(Beta(self.mixup, self.mixup).sample())
        other = torch.randperm(len(batch), device=batch.seen.device)
        logits = self.logits(model.encoder(share * batch.seen + (1 - share) * batch.seen[other]))
        label = _labels_of(batch)
        loss = share * self._loss(logits, label) + (1 - share) * self._loss(logits, label[other])
        return {"loss": loss} | self._count(logits, label)

    def _loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Returns the mean over samples; weights of rare classes do not change the weight of a batch."""
        each = F.cross_entropy(logits, label, reduction="none", label_smoothing=self.label_smoothing)
        return (each * self.weights[label]).mean()

    @torch.no_grad()
    def _count(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Returns the accuracy, and adds the answers to the confusion matrix for the summary."""
        answers = logits.argmax(dim=1)
        n = len(self.classes)
        self.confusion += torch.bincount(label * n + answers, minlength=n * n).reshape(n, n)
        return {"accuracy": (answers == label).float().mean()}


def _labels_of(batch: Batch) -> Tensor:
    assert batch.label is not None  # as `needs_labels` has them loaded
    return batch.label


def macro_f1_of(confusion: Tensor) -> float:
    """Returns the macro-F1 of counts (true, answered): the mean over the classes that labels have."""
    counts = confusion.cpu().double()  # Apple GPUs have no float64
    right, sums, there = counts.diagonal(), counts.sum(dim=0) + counts.sum(dim=1), counts.sum(dim=1) > 0
    return float((2 * right[there] / sums[there]).mean()) if there.any() else 0.0
