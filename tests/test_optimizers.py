"""Learning rates against the formula, clipping, and a state from which steps go on as if unbroken."""

import numpy as np
import pytest
import torch
from torch import nn

from saec.optimizers import OPTIMIZERS, Learner


def golden(n_steps: int, warmup: float, base: float) -> np.ndarray:
    """base (k + 1) / (w + 1) in the w steps of warm-up, then half a cosine to 0."""
    w = int(warmup * n_steps)
    k = np.arange(n_steps)
    warm = base * (k + 1) / (w + 1)
    cosine = base * 0.5 * (1 + np.cos(np.pi * (k - w) / (n_steps - w)))
    return np.where(k < w, warm, cosine)


def weight() -> nn.Parameter:
    return nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))


def learner(name: str, *weights: nn.Parameter, n_steps: int = 100, **options) -> Learner:
    named = [(str(index), one) for index, one in enumerate(weights)]
    return OPTIMIZERS.parse({"name": name, **options})(named, n_steps)


def rates(learner: Learner, weights: nn.Parameter, n_steps: int) -> list[float]:
    """The learning rate that each step was taken with, which was given before it."""
    used = []
    for _ in range(n_steps):
        rate = learner.rate
        learner.step((weights**2).sum())
        used.append(learner.optimizer.param_groups[0]["lr"])
        assert used[-1] == rate
    return used


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_the_rate_warms_up_and_then_falls_along_a_cosine_to_zero_or_is_constant(name):
    weights = weight()
    options = {"schedule": "warmup_cosine", "learning_rate": 0.02}
    for n_steps, warmup in [(50, 0.1), (7, 0.5), (20, 0.0), (3, 0.1), (1, 0.1)]:
        steps = learner(name, weights, n_steps=n_steps, warmup=warmup, **options)
        used = rates(steps, weights, n_steps + 3)
        assert np.allclose(used[:n_steps], golden(n_steps, warmup, 0.02), rtol=1e-12)
        assert used[n_steps - 1] > 0 and used[n_steps:] == [0, 0, 0]
    assert rates(learner(name, weights, n_steps=5, learning_rate=0.3), weights, 8) == [0.3] * 8


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_gradients_are_clipped_to_a_norm_over_all_weights(name):
    first, second = weight(), weight()
    learner(name, first, second, clip=0.5).step(100 * (first**2).sum() + 100 * (second**2).sum())
    gradient = torch.cat([first.grad, second.grad])
    assert torch.isclose(gradient.norm(), torch.tensor(0.5), rtol=1e-4)
    assert torch.allclose(gradient / gradient.norm(), torch.tensor([1.0, -2, 3] * 2) / 28**0.5, atol=1e-4)


def test_a_small_gradient_is_not_clipped_without_a_clip_none_is_and_none_stays_for_the_next_step():
    small, large = weight(), weight()
    learner("adam", small, clip=0.5).step(0.001 * (small**2).sum())
    learner("adam", large).step(100 * (large**2).sum())
    assert torch.allclose(small.grad, 0.002 * torch.tensor([1.0, -2, 3]))
    assert torch.allclose(large.grad, 200 * torch.tensor([1.0, -2, 3]))
    expected = 2 * small.detach().clone()
    learner("adam", small).step((small**2).sum())
    assert torch.allclose(small.grad, expected)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize("schedule", ["constant", "warmup_cosine"])
def test_steps_from_a_saved_state_equal_unbroken_ones(name, schedule, tmp_path):
    unbroken, first, second = weight(), weight(), weight()
    rates(learner(name, unbroken, n_steps=20, schedule=schedule), unbroken, 20)
    begun = learner(name, first, n_steps=20, schedule=schedule)
    rates(begun, first, 8)
    second.data = first.data.clone()
    taken_up = learner(name, second, n_steps=20, schedule=schedule)
    torch.save(begun.state_dict(), tmp_path / "state.pt")
    taken_up.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert taken_up.n_steps == 8 and taken_up.rate == begun.rate
    rates(taken_up, second, 12)
    assert torch.equal(unbroken, second)
    assert not torch.equal(unbroken, first)


def test_decay_of_weights_is_decoupled_from_the_gradient():
    weights = nn.Parameter(torch.tensor([2.0]))
    learner("adamw", weights, learning_rate=0.1, weight_decay=0.5).step(0 * weights.sum())
    assert torch.isclose(weights, torch.tensor(2.0 * (1 - 0.1 * 0.5))).all()
