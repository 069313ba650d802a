"""Draws batches in the order that seed and epoch give; randomness is applied to batches on the device."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from saec.data.ahead import ahead
from saec.data.batch import Batch, Dataset, Raw, chunks, chunks_by_length
from saec.data.draws import Draws

N_AHEAD = 2  # batches on the device before they are used
UNLIKE = 0.1  # of a length: samples that differ by less may change places, so that batches differ by epoch


@dataclass(frozen=True)
class Loader:
    """Makes the batches of a dataset; the last one may be smaller, no sample is lost or repeated.

    In training the samples of a last batch of fewer than `least`, here or in another process, join those of
    the one before. Of `world_size` processes that share the work, the one of this `rank` takes every
    world_size-th sample of each step, so that all have equally many steps, and the samples and views of a
    step are those of one process with larger batches. Validation batches are those of one process, too: each
    is computed by one of the processes.
    """

    data: Dataset
    view: Callable[[Raw, Callable, Draws], tuple[Tensor, Tensor]]
    batch_size: int
    device: torch.device
    seed: int
    classes: tuple[str, ...] = ()
    evenly: bool = False  # rare classes are drawn as often as the most frequent one
    rank: int = 0
    world_size: int = 1
    least: int = 1
    smaller: bool = False  # whether validation batches may be, so that samples of similar length are together

    @property
    def n_batches(self) -> int:
        """Returns the number of validation batches."""
        return len(self._validated)

    @property
    def n_training_batches(self) -> int:
        n_samples = len(self._order(0)) if self.evenly else len(self.data)
        n = -(-n_samples // (self.batch_size * self.world_size))
        fewest = n_samples // self.world_size - (n - 1) * self.batch_size  # of a process, in the last one
        return n if fewest >= self.least else max(1, n - 1)

    def training(self, epoch: int) -> Iterator[Batch]:
        """Yields batches shuffled by `[seed, epoch]`, views drawn by `[seed, epoch, step]`."""
        order = self._order(epoch)
        order = self._of_similar_length(order, epoch) if self.data.is_ragged else order
        starts = self.batch_size * self.world_size * np.arange(1, self.n_training_batches)
        steps, own = np.split(order, starts), slice(self.rank, None, self.world_size)
        for step, (chosen, raw) in enumerate(self._gathered(samples[own] for samples in steps)):
            key, samples = (self.seed, epoch, step), steps[step]
            draws = Draws.training(len(samples), self.device, key, own, self.data.longest(samples))
            yield self._viewed(chosen, raw, draws)

    def validation(self) -> Iterator[Batch]:
        """Yields batches in order of name, or of length; each sample's view is drawn by `[seed, index]` in
        every epoch.
        """
        for chosen, raw in self._gathered(self._validated):
            yield self._viewed(chosen, raw, Draws.validation(chosen, self.device, self.seed))

    def batch(self, chosen: np.ndarray, draws: Draws) -> Batch:
        """Returns a batch of the samples of these numbers."""
        return self._viewed(chosen, self.data.gather(chosen, self.device), draws)

    @cached_property
    def _validated(self) -> list[np.ndarray]:
        """Returns the samples of each validation batch of this rank."""
        n_frames, most = self._n_frames, self.batch_size
        if self.data.is_ragged and self.smaller:
            batches = chunks_by_length(np.arange(len(self.data)), n_frames, most, most * n_frames.max())
        else:
            batches = chunks(np.argsort(n_frames, kind="stable"), most)
        return list(batches)[self.rank :: self.world_size]

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        if not self.evenly:
            return rng.permutation(len(self.data))
        labels = self.data.samples.labels
        classes = [np.flatnonzero(labels == name) for name in np.unique(labels)]
        most = max(map(len, classes))
        drawn = [np.concatenate([rows, rng.choice(rows, most - len(rows))]) for rows in classes]
        return rng.permutation(np.concatenate(drawn))

    def _of_similar_length(self, order: np.ndarray, epoch: int) -> np.ndarray:
        """Returns samples so that those of a batch are of similar length, the batches in random order.

        The last batch, which may be smaller, has what the random order leaves over.
        """
        rng = np.random.default_rng([self.seed, epoch, 1])
        size = self.batch_size * self.world_size
        n_whole = len(order) // size * size
        whole, rest = order[:n_whole], order[n_whole:]
        lengths = self._n_frames[whole] * rng.uniform(1, 1 + UNLIKE, n_whole)
        batches = whole[np.argsort(lengths, kind="stable")].reshape(-1, size)
        return np.concatenate([rng.permutation(batches).ravel(), rest])

    def _gathered(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Raw]]:
        """Yields which samples, and their stored numbers, some batches ahead of their use."""
        return ahead(lambda chosen: (chosen, self.data.gather(chosen, self.device)), pieces, N_AHEAD)

    def _viewed(self, chosen: np.ndarray, raw: Raw, draws: Draws) -> Batch:
        seen, target = self.view(raw, self.data.front, draws)
        return Batch(
            seen,
            target,
            self.data.samples.names[chosen].tolist(),
            torch.from_numpy(self._label[chosen]).to(self.device) if self.classes else None,
            self.data.lengths(raw),
            frames_hz=self.data.axes.frames_hz,
        )

    @cached_property
    def _n_frames(self) -> np.ndarray:
        return self.data.n_frames

    @cached_property
    def _label(self) -> np.ndarray:
        """Returns each sample's class number, (n,) int64; -1 where it has none of the classes."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers.get(name, -1) for name in self.data.samples.labels.tolist()], dtype=np.int64)
