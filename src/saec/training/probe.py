"""Scores what an encoder tells apart while it trains: a k-NN classifier of labelled samples."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saec.data import VIEWS, Dataset, Kind, Loader
from saec.devices import computing
from saec.faults import Fault
from saec.features import POOLINGS, pool
from saec.objectives import Learning
from saec.progress import progress
from saec.session import AUTO, ProbeOptions
from saec.training.work import STEPS

LOG = logging.getLogger(__name__)
DEFAULT_POOLING = "mean_std"  # of an objective that pools nothing


@dataclass(frozen=True)
class Probe:
    """Holds the labelled samples, as they are, and how their latents are pooled."""

    options: ProbeOptions
    train: Loader
    valid: Loader
    pooling: Callable[[Tensor], Tensor]
    precision: str

    @classmethod
    def of(
        cls, options: ProbeOptions, train: Loader, valid: Loader, learning: Learning, precision: str
    ) -> "Probe":
        """Returns the probe of these samples for a model.

        Raises:
            Fault: those to train on have one class alone, or no sample of validation has one of theirs.
        """
        chosen = _some_of_each(train.data, options.limit, train.seed)
        classes = np.unique(train.data.samples.labels[chosen])
        scored = np.flatnonzero(np.isin(valid.data.samples.labels, classes))
        if len(classes) < 2 or not len(scored):
            got = f"{len(classes)} classes to train on, and {len(scored)} samples of them for validation"
            raise Fault(f"training.probe: needs two classes and samples of them on both sides, got {got}")
        words = "probe: %d of %d training samples of %d classes classify %d of %d validation samples"
        LOG.info(words, len(chosen), len(train.data), len(classes), len(scored), len(valid.data))
        plain: dict[str, Any] = {"view": VIEWS.parse("plain"), "classes": (), "rank": 0, "world_size": 1}
        train, valid = (
            replace(loader, data=loader.data.subset(rows), **plain)
            for loader, rows in ((train, chosen), (valid, scored))
        )
        pooling = options.pooling or learning.objective.pooling or POOLINGS.parse(DEFAULT_POOLING)
        return cls(options, train, valid, pooling, precision)

    def __call__(self, learning: Learning, epoch: int) -> dict[str, float]:
        """Returns the macro-F1 `knn` of the validation samples; nothing in epochs that are left out.

        The weights stay as they are, and no random number is drawn that a training uses.
        """
        if epoch % self.options.every:
            return {}
        from saec.evaluation.base import macro_f1  # scikit-learn takes a second to import
        from saec.evaluation.classifiers import fit_classifier

        learning.eval()
        (rows, labels), (new, true) = (self._pooled(learning, loader) for loader in (self.train, self.valid))
        if not (np.isfinite(rows).all() and np.isfinite(new).all()):
            return {"knn": float("nan")}
        n = self.options.n_neighbors
        fitted = fit_classifier(rows, labels, labels, classifier="knn", n_neighbors=n)
        return {"knn": float(macro_f1(true, fitted.model.predict(new)))}

    @torch.no_grad()
    def _pooled(self, learning: Learning, loader: Loader) -> tuple[np.ndarray, np.ndarray]:
        """Returns pooled latents (samples, features) and labels (samples,)."""
        model, rows, names = learning.model, list[Tensor](), list[str]()
        for batch in progress(loader.validation(), "probe", loader.n_batches, " batches"):
            with computing(loader.device, self.precision):
                latents = model.encode(batch.seen, batch.lengths).float()
            rows.append(pool(self.pooling, latents, model.n_steps(batch.lengths)).cpu())
            names += batch.names
        return torch.cat(rows).numpy(), loader.data.samples.table.loc[names, "label"].to_numpy(str)


def faults_of_probe(
    probe: ProbeOptions, epochs: int, kinds: dict[str, Kind], classes: Sequence[str]
) -> list[str]:
    """Returns what a probe lacks where the training set has these classes."""
    faults = []
    most, what = (STEPS, "that auto makes at most") if epochs == AUTO else (epochs, "of the training")
    if "valid" in kinds and not np.isin(kinds["valid"].samples.labels, classes).any():
        faults.append("training.probe: no sample of data.valid is of a class that data.train has")
    if probe.every > most:
        faults.append(f"training.probe.every: {probe.every} is more than the {most} epochs {what}")
    return faults


def _some_of_each(data: Dataset, limit: int, seed: int) -> np.ndarray:
    """Returns the numbers of at most so many labelled samples, as many of each class as far as there are."""
    labels = data.samples.labels
    order = np.random.default_rng([seed]).permutation(np.flatnonzero(labels != ""))
    before = np.zeros(len(order), dtype=int)  # samples of the same class that come first
    for name in np.unique(labels[order]):
        of_class = labels[order] == name
        before[of_class] = np.arange(of_class.sum())
    return np.sort(order[np.argsort(before, kind="stable")[:limit]])
