"""How far a training has come: finished epochs, the best of them, how long nothing was better."""

from dataclasses import dataclass


@dataclass
class Progress:
    """Where a training stands; saved with the weights."""

    epoch: int = 0  # finished ones
    best: float = float("inf")
    loss: float = float("inf")  # validation loss of the best
    best_epoch: int = 0
    waited: int = 0  # epochs since the best
    stopped: bool = False
    finished: bool = False

    def update(self, score: float, loss: float, rising: bool = False) -> bool:
        """Counts an epoch; whether its score is the best so far, the lowest or the highest, and of equal ones
        that with the lowest loss, which ends no waiting.
        """
        better = not self.best_epoch or (score > self.best if rising else score < self.best)
        improved = better or (score == self.best and loss < self.loss)
        self.epoch += 1
        self.waited = 0 if better else self.waited + 1
        if improved:
            self.best, self.loss, self.best_epoch = score, loss, self.epoch
        return improved
