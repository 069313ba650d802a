"""Batches in the order that seed and epoch give; whatever is random happens on the batch, on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saec.data.ahead import ahead
from saec.data.batch import Batch, Dataset, chunks
from saec.data.views import Draws

N_AHEAD = 2  # batches on the device before they are used


@dataclass(frozen=True)
class Loader:
    """Makes the batches of a dataset; the last one may be smaller, no sample is lost or repeated."""

    data: Dataset
    view: Callable[[Tensor, Callable, Draws], tuple[Tensor, Tensor]]
    batch_size: int
    device: torch.device
    seed: int
    classes: tuple[str, ...] = ()
    evenly: bool = False  # rare classes are drawn as often as the most frequent one

    @property
    def n_batches(self) -> int:
        """Of validation, and of training."""
        return -(-len(self.data) // self.batch_size)

    @property
    def n_training_batches(self) -> int:
        return -(-len(self._order(0)) // self.batch_size) if self.evenly else self.n_batches

    def training(self, epoch: int) -> Iterator[Batch]:
        """Shuffled by `[seed, epoch]`, views drawn by `[seed, epoch, step, rank]`."""
        order = self._order(epoch)
        for step, (chosen, raw) in enumerate(self._gathered(order)):
            key = (self.seed, epoch, step, 0)
            yield self._viewed(chosen, raw, Draws.training(len(chosen), self.device, key))

    def validation(self) -> Iterator[Batch]:
        """In order of name; each sample's view is drawn by `[seed, index]`, the same in every epoch."""
        for chosen, raw in self._gathered(np.arange(len(self.data))):
            yield self._viewed(chosen, raw, Draws.validation(chosen, self.device, self.seed))

    def batch(self, chosen: np.ndarray, draws: Draws) -> Batch:
        return self._viewed(chosen, self.data.gather(chosen, self.device), draws)

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        if not self.evenly:
            return rng.permutation(len(self.data))
        classes = [np.flatnonzero(self.data.labels == name) for name in np.unique(self.data.labels)]
        most = max(map(len, classes))
        drawn = [np.concatenate([rows, rng.choice(rows, most - len(rows))]) for rows in classes]
        return rng.permutation(np.concatenate(drawn))

    def _gathered(self, order: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Which samples and their bytes, some batches ahead of their use."""
        pieces = chunks(order, self.batch_size)
        return ahead(lambda chosen: (chosen, self.data.gather(chosen, self.device)), pieces, N_AHEAD)

    def _viewed(self, chosen: np.ndarray, raw: Tensor, draws: Draws) -> Batch:
        seen, target = self.view(raw, self.data.front, draws)
        return Batch(seen, target, self.data.names[chosen].tolist(), self._label(chosen))

    def _label(self, chosen: np.ndarray) -> Tensor | None:
        if not self.classes:
            return None
        places = {name: place for place, name in enumerate(self.classes)}
        label = [places.get(name, -1) for name in self.data.labels[chosen]]
        return torch.tensor(label, device=self.device)
