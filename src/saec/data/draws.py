"""Draws the random numbers of views, from keys: nothing is carried along from batch to batch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import own_columns


class Draws:
    """Draws random numbers for one batch: a training step has one generator, validation one for each sample.

    Nothing is carried along, so that a resumed run repeats an unbroken one and a validation sample gets the
    same numbers in every epoch, whoever computes it. Of a step that several processes share each draws the
    numbers of all `n` samples and takes those of its `own`, so that they do not depend on the processes.
    """

    def __init__(
        self,
        keys: list[tuple[int, ...]],
        n: int,
        device: torch.device,
        learning: bool,
        own: slice = slice(None),
        longest: int = 0,
    ):
        self.learning = learning
        self.n = n
        self.own = own
        self.longest = longest
        self.device = device
        on = device if learning and device.type != "mps" else torch.device("cpu")
        self.generators = [torch.Generator(on).manual_seed(seed_of(*key)) for key in keys]

    @classmethod
    def training(
        cls, n: int, device: torch.device, key: tuple[int, ...], own: slice = slice(None), longest: int = 0
    ) -> "Draws":
        """Returns the numbers of the `own` samples among n of a step, the longest of which has so many steps
        of sound; `key` is (seed, epoch, step).
        """
        return cls([key], n, device, True, own, longest)

    @classmethod
    def validation(cls, chosen: np.ndarray, device: torch.device, seed: int) -> "Draws":
        return cls([(seed, int(index)) for index in chosen], len(chosen), device, learning=False)

    def uniform(self, *shape: int) -> Tensor:
        """Returns (batch, *shape) numbers in [0, 1)."""
        return self._draw(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """Returns (batch, *shape) standard normal numbers."""
        return self._draw(torch.randn, shape)

    def normal_of(self, lengths: Tensor, longest: int) -> Tensor:
        """Returns (batch, longest) standard normal numbers for samples of these lengths, 0 behind them.

        How many a validation sample takes depends on its own length alone.
        """
        if self.learning:
            drawn = self.normal(max(longest, self.longest))[:, :longest]
            return drawn.where(own_columns(lengths, longest), 0)
        rows = [torch.randn(n, generator=g) for n, g in zip(lengths.tolist(), self.generators, strict=True)]
        return torch.stack([F.pad(row, (0, longest - len(row))) for row in rows]).to(self.device)

    def _draw(self, draw: Callable, shape: tuple[int, ...]) -> Tensor:
        if self.learning:
            (one,) = self.generators
            return draw(self.n, *shape, generator=one, device=one.device)[self.own].to(self.device)
        return torch.stack([draw(*shape, generator=g) for g in self.generators]).to(self.device)


def seed_of(*key: int) -> int:
    """Returns 63 bits for a key such as (seed, epoch, step); different keys give different bits."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
