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


def learner(name: str, weights: nn.Parameter, n_steps: int = 100, **options) -> Learner:
    return OPTIMIZERS.parse({"name": name, **options})([("weight", weights)], n_steps)


def rates(learner: Learner, weights: nn.Parameter, n_steps: int) -> list[float]:
    """The learning rate that each step was taken with."""
    used = []
    for _ in range(n_steps):
        learner.step((weights**2).sum())
        used.append(learner.optimizer.param_groups[0]["lr"])
    return used


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize(("n_steps", "warmup"), [(50, 0.1), (7, 0.5), (20, 0.0), (3, 0.1), (1, 0.1)])
def test_the_rate_warms_up_and_then_falls_along_a_cosine(name, n_steps, warmup):
    weights = weight()
    options = {"schedule": "warmup_cosine", "warmup": warmup, "learning_rate": 0.02}
    used = rates(learner(name, weights, n_steps, **options), weights, n_steps)
    assert np.allclose(used, golden(n_steps, warmup, 0.02), rtol=1e-12)


def test_the_cosine_ends_at_zero_and_stays_there():
    weights = weight()
    steps = learner("adam", weights, 20, schedule="warmup_cosine")
    used = rates(steps, weights, 23)
    assert max(used) == 1e-3 and used[19] > 0
    assert used[20:] == [0, 0, 0]


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_a_constant_rate_stays(name):
    weights = weight()
    steps = learner(name, weights, 5, learning_rate=0.3)
    assert rates(steps, weights, 8) == [0.3] * 8
    assert steps.rate == 0.3


def test_the_rate_told_is_that_of_the_next_step():
    weights = weight()
    steps = learner("adam", weights, 10, schedule="warmup_cosine", warmup=0.4)
    for _ in range(10):
        told = steps.rate
        assert rates(steps, weights, 1) == [told]


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_gradients_are_clipped_to_a_norm_over_all_weights(name):
    first, second = weight(), weight()
    steps = OPTIMIZERS.parse({"name": name, "clip": 0.5})([("first", first), ("second", second)], 10)
    steps.step(100 * (first**2).sum() + 100 * (second**2).sum())
    gradient = torch.cat([first.grad, second.grad])
    assert torch.isclose(gradient.norm(), torch.tensor(0.5), rtol=1e-4)
    assert torch.allclose(gradient / gradient.norm(), torch.tensor([1.0, -2, 3] * 2) / 28**0.5, atol=1e-4)


def test_a_small_gradient_is_not_clipped_and_without_a_clip_none_is():
    small, large = weight(), weight()
    learner("adam", small, clip=0.5).step(0.001 * (small**2).sum())
    learner("adam", large).step(100 * (large**2).sum())
    assert torch.allclose(small.grad, 0.002 * torch.tensor([1.0, -2, 3]))
    assert torch.allclose(large.grad, 200 * torch.tensor([1.0, -2, 3]))


def test_gradients_do_not_pile_up_from_step_to_step():
    weights = weight()
    steps = learner("adam", weights)
    for _ in range(3):
        expected = 2 * weights.detach().clone()
        steps.step((weights**2).sum())
    assert torch.allclose(weights.grad, expected)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize("schedule", ["constant", "warmup_cosine"])
def test_steps_from_a_saved_state_equal_unbroken_ones(name, schedule):
    unbroken, first, second = weight(), weight(), weight()
    rates(learner(name, unbroken, 20, schedule=schedule), unbroken, 20)
    begun = learner(name, first, 20, schedule=schedule)
    rates(begun, first, 8)
    second.data = first.data.clone()
    taken_up = learner(name, second, 20, schedule=schedule)
    taken_up.load_state_dict(begun.state_dict())
    assert taken_up.n_steps == 8 and taken_up.rate == begun.rate
    rates(taken_up, second, 12)
    assert torch.equal(unbroken, second)
    assert not torch.equal(unbroken, first)


def test_a_saved_state_holds_nothing_but_tensors_and_plain_values(tmp_path):
    weights = weight()
    steps = learner("adamw", weights)
    rates(steps, weights, 2)
    torch.save(steps.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["n_steps"] == 2


def test_decay_of_weights_is_decoupled_from_the_gradient():
    weights = nn.Parameter(torch.tensor([2.0]))
    learner("adamw", weights, learning_rate=0.1, weight_decay=0.5).step(0 * weights.sum())
    assert torch.isclose(weights, torch.tensor(2.0 * (1 - 0.1 * 0.5))).all()
