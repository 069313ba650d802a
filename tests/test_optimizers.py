"""Learning rates against the formula, clipping, and a state from which steps go on as if unbroken."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from saec.optimizers import OPTIMIZERS, Learner


def golden(n_steps: int, warmup: float, base: float, schedule: str = "warmup_cosine") -> np.ndarray:
    """base (k + 1) / (w + 1) in the w steps of warm-up, then half a cosine to 0, or a line."""
    w = int(warmup * n_steps)
    k = np.arange(n_steps)
    warm = base * (k + 1) / (w + 1)
    cosine = base * 0.5 * (1 + np.cos(np.pi * (k - w) / (n_steps - w)))
    line = base * (1 - (k - w) / (n_steps - w))
    return np.where(k < w, warm, line if schedule == "linear" else cosine)


def weight() -> nn.Parameter:
    return nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))


def learner(name: str, *weights: nn.Parameter, n_steps: int = 100, **options) -> Learner:
    return OPTIMIZERS.parse({"name": name, **options})(weights, n_steps)


def rates(learner: Learner, weights: nn.Parameter, n_steps: int) -> list[float]:
    """The learning rate that each step was taken with, which was given before it."""
    used = []
    for _ in range(n_steps):
        rate = learner.rate
        learner.step((weights**2).sum())
        used.append(learner.optimizer.param_groups[0]["lr"])
        assert used[-1] == rate
    return used


@pytest.mark.parametrize("schedule", ["warmup_cosine", "linear"])
@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_the_rate_warms_up_and_then_falls_to_zero_or_is_constant(name, schedule):
    weights = weight()
    options = {"schedule": schedule, "learning_rate": 0.02}
    for n_steps, warmup in [(50, 0.1), (7, 0.5), (20, 0.0), (3, 0.1), (1, 0.1)]:
        steps = learner(name, weights, n_steps=n_steps, warmup=warmup, **options)
        used = rates(steps, weights, n_steps + 3)
        assert np.allclose(used[:n_steps], golden(n_steps, warmup, 0.02, schedule), rtol=1e-12)
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


def small_problem(learner: Learner, layer: nn.Parameter, bias: nn.Parameter) -> None:
    """Three steps of least squares; the bias has a hundredth of a part in it."""
    x, target = torch.tensor([1.0, 2, -1]).double(), torch.tensor([3.0, -1]).double()
    for _ in range(3):
        learner.step(((layer @ x + 0.01 * bias - target) ** 2).sum() / 2)


def matrix() -> tuple[nn.Parameter, nn.Parameter]:
    layer = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]], dtype=torch.float64)
    return nn.Parameter(layer), nn.Parameter(torch.tensor([0.5, -0.5], dtype=torch.float64))


LARS = {"learning_rate": 2.0, "trust": 0.01, "momentum": 0.9, "weight_decay": 0.1}
# What `Lars` of timm 1.0.31 gives (trust_coeff 0.01, eps 1e-8, the bias in a group with weight_decay 0).
TIMM = (
    [
        [1.1634439336106328, -1.665629809036284, 2.8290737426469166],
        [0.4440211448606717, 0.13944522542305282, -0.9430858543928654],
    ],
    [1.4917530301934634, -0.8302167527369142],
)


def slow_lars() -> tuple[np.ndarray, np.ndarray]:
    """The paper's rule for the layer, plain momentum for the bias."""
    layer, bias = (weight.detach().numpy().copy() for weight in matrix())
    x, target = np.array([1.0, 2, -1]), np.array([3.0, -1])
    speed, bias_speed = np.zeros_like(layer), np.zeros_like(bias)
    for _ in range(3):
        error = layer @ x + 0.01 * bias - target
        gradient, bias_gradient = np.outer(error, x), 0.01 * error
        norm = np.sqrt((layer**2).sum())
        rate = 0.01 * norm / (np.sqrt((gradient**2).sum()) + 0.1 * norm)
        speed = 0.9 * speed + rate * (gradient + 0.1 * layer)
        bias_speed = 0.9 * bias_speed + bias_gradient
        layer, bias = layer - 2 * speed, bias - 2 * bias_speed
    return layer, bias


def test_lars_is_the_papers_rule_and_gives_what_another_program_gives():
    layer, bias = matrix()
    small_problem(learner("lars", layer, bias, **LARS), layer, bias)
    for expected in (slow_lars(), TIMM):
        for ours, theirs in zip((layer, bias), expected, strict=True):
            assert np.allclose(ours.detach(), theirs, rtol=1e-7)


def test_lars_without_a_gradient_decays_layers_alone_whatever_they_are_called():
    block = torchvision.models.resnet.BasicBlock(
        4, 6, downsample=nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6))
    )
    named = list(block.named_parameters())
    before = {name: weight.detach().clone() for name, weight in named}
    loss = sum((0 * weight).sum() for _, weight in named)
    learner("lars", *(weight for _, weight in named), weight_decay=0.5, learning_rate=1).step(loss)
    moved = {name for name, weight in named if not torch.equal(weight, before[name])}
    assert moved == {"conv1.weight", "conv2.weight", "downsample.0.weight"}


def test_gradient_descent_is_the_rule_with_momentum_and_decay():
    weights = nn.Parameter(torch.tensor([2.0]))
    steps = learner("sgd", weights, learning_rate=0.1, momentum=0.5, weight_decay=0.25)
    speed, expected = 0.0, 2.0
    for _ in range(3):
        steps.step((weights**2).sum())
        speed = 0.5 * speed + 2 * expected + 0.25 * expected
        expected -= 0.1 * speed
    assert weights.item() == pytest.approx(expected)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_accumulated_batches_make_one_step_by_their_mean_and_what_is_left_makes_one_at_the_end(name):
    one, other = matrix()[0], matrix()[0]
    together, apart = (learner(name, layer, learning_rate=0.1, clip=0.5) for layer in (one, other))
    apart.accumulate = 3
    factors, sizes = [1.0, 4.0, -2.0, 3.0, 0.5], [4, 4, 4, 4, torch.tensor(1)]
    for chosen, n in ((factors[:3], sizes[:3]), (factors[3:], sizes[3:])):  # the last batch is smaller
        each = zip(chosen, n, strict=True)
        together.step(sum(size * factor * (one**3).sum() for factor, size in each) / sum(n))
        for factor, size in zip(chosen, n, strict=True):
            apart.step(factor * (other**3).sum(), size)
    assert apart.n_steps == 1
    apart.finish()
    apart.finish()
    assert (apart.n_steps, apart.n_pending) == (together.n_steps, 0) == (2, 0)
    assert torch.allclose(one, other, rtol=1e-9)
