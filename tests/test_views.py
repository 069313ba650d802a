"""Training pairs against torchvision, picture by picture, with the very factors that were drawn."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import adjust_brightness, adjust_contrast, affine

from saec.data import VIEWS, Dataset, Draws, Loader, Raw, seed_of
from saec.data.fronts import PictureFront
from saec.data.png import table
from saec.data.stored import Mapped
from saec.samples import Samples

CPU = torch.device("cpu")
SIZE = (24, 40)
DEFAULTS = {
    "threshold": (0.3, 0.5),
    "soft": False,
    "rotation_deg": 0.25,
    "shift": 0.005,
    "brightness": 0.4,
    "contrast": 0.4,
    "noise": 0.1,
    "noise_prob": 0.5,
}
STILL = {"rotation_deg": 0, "shift": 0, "brightness": 0, "contrast": 0, "noise": 0}
STRONG = {"rotation_deg": 30, "shift": 0.25, "brightness": 0.9, "contrast": 1.5, "noise": 0.2}


def front(channels: str) -> PictureFront:
    return PictureFront(SIZE, channels, colours=table("viridis"))


def raw(n: int, seed: int = 0) -> Raw:
    generator = torch.Generator().manual_seed(seed)
    return Raw(torch.randint(0, 256, (n, *SIZE), dtype=torch.uint8, generator=generator))


def alike(n: int) -> Raw:
    return Raw(raw(1).values.expand(n, *SIZE))


def draws(n: int, *key: int) -> Draws:
    return Draws.training(n, CPU, key or (0, 0, 0, 0))


def denoise(**options) -> Callable[[Tensor, Callable, Draws], tuple[Tensor, Tensor]]:
    return VIEWS.parse({"name": "denoise", **options})


def slow_pairs(clean: Tensor, draws: Draws, options: dict) -> tuple[Tensor, Tensor]:
    """One picture after the other, by torchvision."""
    o = DEFAULTS | options
    chances = draws.uniform(7).tolist()
    noises = draws.normal(*clean.shape[1:]) if o["noise"] and o["noise_prob"] else torch.zeros_like(clean)
    pairs = [slow_pair(*one, o) for one in zip(clean, chances, noises, strict=True)]
    return torch.stack([seen for seen, _ in pairs]), torch.stack([target for _, target in pairs])


def slow_pair(picture: Tensor, chance: list[float], noise: Tensor, o: dict) -> tuple[Tensor, Tensor]:
    low, high = o["threshold"]
    level = low + (high - low) * chance[0]
    target = (picture - level).clamp(min=0) if o["soft"] else picture * (picture >= level)
    seen = affine(
        picture,
        angle=o["rotation_deg"] * (2 * chance[1] - 1),
        translate=[round(o["shift"] * (2 * chance[2] - 1) * SIZE[1]), 0],
        scale=1.0,
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.NEAREST,
        fill=[0.0],
    )
    if chance[3] < o["noise_prob"]:
        seen = (seen + o["noise"] * noise).clamp(0, 1)
    brightness, contrast = (
        low + (1 + o[what] - low) * chance[index]
        for index, what in ((4, "brightness"), (5, "contrast"))
        for low in [max(0.0, 1 - o[what])]
    )
    steps = [(adjust_brightness, brightness), (adjust_contrast, contrast)]
    for adjust, factor in steps if chance[6] < 0.5 else reversed(steps):
        seen = adjust(seen, factor)
    return seen, target


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("channels", ["intensity", "rgb"])
def test_denoise_equals_torchvision_picture_by_picture(channels, soft):
    prepare = front(channels)
    for options in ({}, STRONG, STILL):
        options = options | {"soft": soft}
        seen, target = denoise(**options)(raw(32), prepare, draws(32))
        slow_seen, slow_target = slow_pairs(prepare(raw(32)), draws(32), options)
        assert torch.allclose(target, slow_target, atol=1e-6)
        differing = ((seen - slow_seen).abs() > 1e-5).flatten(1).float().mean(dim=1)
        assert differing.median() == 0  # a pixel between two sources may be rounded to either
        assert differing.max() < 0.02
    assert torch.equal(seen, prepare(raw(32)))  # without any distortion


@pytest.mark.parametrize("one", ["rotation_deg", "shift", "brightness", "contrast", "noise"])
def test_each_distortion_alone_equals_torchvision_and_differs_from_sample_to_sample(one):
    options = STILL | {one: STRONG[one]}
    prepare = front("rgb")
    seen, _ = denoise(**options)(raw(32), prepare, draws(32))
    slow_seen, _ = slow_pairs(prepare(raw(32)), draws(32), options)
    assert not torch.equal(seen, prepare(raw(32)))
    assert ((seen - slow_seen).abs() > 1e-5).float().mean() < 0.005
    for views in denoise(**options)(alike(16), front("intensity"), draws(16)):
        assert len(torch.unique(views.flatten(1), dim=0)) > 8


def test_noise_comes_with_its_probability_alone():
    prepare = front("intensity")
    clean = prepare(alike(1000))
    for probability in (0.0, 0.2, 0.5, 1.0):
        view = denoise(**STILL | {"noise": 0.1, "noise_prob": probability})
        seen, _ = view(alike(1000), prepare, draws(1000))
        noisy = (seen != clean).flatten(1).any(dim=1)
        assert abs(noisy.float().mean() - probability) < 0.05
    inner = (clean > 0.3) & (clean < 0.7)
    assert abs((seen - clean)[inner].std() - 0.1) < 0.005


def test_photographs_are_flipped_moved_and_lit_exactly_as_drawn_and_are_their_own_targets():
    prepare, still = front("rgb"), {"flip_horizontal": 0, "shift": 0, "brightness": 0, "contrast": 0}
    clean = prepare(raw(64))

    def views(**options: float) -> Tensor:
        seen, target = VIEWS.parse({"name": "photo"} | still | options)(raw(64), prepare, draws(64))
        assert seen is target and 0 <= seen.min() and seen.max() <= 1
        return seen

    assert torch.allclose(views(), clean, atol=1e-4)
    assert torch.allclose(views(flip_horizontal=1), clean.flip(3), atol=1e-4)
    assert torch.allclose(views(flip_vertical=1), clean.flip(2), atol=1e-4)
    flipped = (views(flip_horizontal=0.5) - clean.flip(3)).abs().flatten(1).amax(1) < 1e-3
    assert 16 < flipped.sum() < 48
    chance = draws(64).uniform(7)
    light = 0.7 + 0.6 * chance[:, 4]
    expected = [adjust_brightness(one, float(by)) for one, by in zip(clean, light, strict=True)]
    assert torch.allclose(views(brightness=0.3), torch.stack(expected), atol=1e-4)
    moved = views(shift=0.2)
    assert not torch.allclose(moved, clean, atol=0.01) and abs(moved.mean() - clean.mean()) < 0.02
    assert (moved[..., 0] == 0).float().mean() < 0.05  # what comes in is mirrored, and not black
    kept, _ = VIEWS.parse("photo")(raw(4), prepare, Draws.validation(np.arange(4), CPU, 0))
    assert torch.equal(kept, prepare(raw(4)))


def test_both_orders_of_brightness_and_contrast_occur_and_all_lies_between_0_and_1():
    assert 70 < (draws(200).uniform(7)[:, 6] < 0.5).sum() < 130
    for views in denoise(**STRONG)(raw(64), front("rgb"), draws(64)):
        assert views.dtype == torch.float32
        assert 0 <= views.min() and views.max() <= 1


def test_plain_gives_the_picture_in_and_out():
    prepare = front("rgb")
    seen, target = VIEWS.parse("plain")(raw(3), prepare, draws(3))
    assert torch.equal(seen, prepare(raw(3))) and torch.equal(target, seen)


def dataset(n: int) -> Dataset:
    samples = Samples.of(f"{row:03d}.png" for row in range(n))
    return Dataset(samples, Mapped(raw(n).values.numpy()), np.arange(n), front("intensity"), "", {})


def loader(n: int = 7, batch_size: int = 3, seed: int = 0, **options) -> Loader:
    return Loader(dataset(n), denoise(**options), batch_size, CPU, seed)


def by_name(batches) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        name: pair
        for batch in batches
        for name, *pair in zip(batch.names, batch.seen, batch.target, strict=True)
    }


def test_a_validation_sample_is_not_distorted_and_has_the_same_target_in_every_epoch_batch_and_view():
    data = dataset(7)
    clean = data.front(data.gather(np.arange(7), CPU))
    expected = by_name(loader().validation())
    assert len({float(target[target > 0].min()) for _, target in expected.values()}) > 4
    for batch_size in (1, 3, 100):
        pairs = by_name(loader(batch_size=batch_size, **STRONG).validation())
        for name, picture in zip(data.samples.names, clean, strict=True):
            assert torch.equal(pairs[name][0], picture)
            assert torch.equal(pairs[name][1], expected[name][1])
    assert not torch.equal(by_name(loader(seed=1).validation())["000.png"][1], expected["000.png"][1])


def test_a_validation_sample_draws_alone_what_it_draws_among_others():
    among, alone = (Draws.validation(np.array(chosen), CPU, 3) for chosen in ([5, 2, 900], [2]))
    assert torch.equal(alone.uniform(7), among.uniform(7)[1:2])
    assert torch.equal(alone.normal(1, *SIZE), among.normal(1, *SIZE)[1:2])  # and so on, draw after draw


@pytest.mark.parametrize("view", ["plain", "denoise"])
def test_a_single_validation_sample_is_a_batch(view):
    (batch,) = Loader(dataset(1), VIEWS.parse(view), 3, CPU, 0).validation()
    assert batch.names == ["000.png"] and batch.seen.shape == batch.target.shape == (1, 1, *SIZE)


def test_an_epoch_gives_the_same_views_again_and_other_epochs_and_seeds_give_others():
    def seen(seed: int, epoch: int) -> Tensor:
        return torch.stack(
            [pair[0] for _, pair in sorted(by_name(loader(seed=seed).training(epoch)).items())]
        )

    assert torch.equal(seen(1, 0), seen(1, 0))
    views = [seen(0, 0), seen(0, 1), seen(1, 0), seen(1, 1)]
    assert all(not torch.equal(a, b) for index, a in enumerate(views) for b in views[:index])


def test_a_key_is_not_its_sum():
    keys = list(product(range(3), range(3), (0, 1), (0, 1)))  # seed, epoch, step, rank
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert all(0 <= seed_of(*key) < 2**63 for key in keys)
    assert not torch.equal(*(draws(4, 0, 0, step, 0).uniform(7) for step in (0, 1)))


def test_noise_on_sound_does_not_depend_on_how_many_processes_share_a_step():
    lengths = torch.tensor([50, 20, 9, 30, 31, 12])
    whole = Draws.training(6, CPU, (0, 1, 2)).normal_of(lengths, 50)
    own = Draws.training(6, CPU, (0, 1, 2), slice(1, None, 2), longest=50).normal_of(lengths[1::2], 30)
    assert torch.equal(own, whole[1::2, :30])


def test_views_leave_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    denoise()(raw(4), front("intensity"), draws(4))
    by_name(loader().validation())
    assert torch.equal(torch.rand(3), expected)
