"""Batches lose and repeat nothing, come in the order of seed and epoch, and keep recordings apart."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from saec.data import VIEWS, Dataset, Loader, chunks
from saec.data.fronts import PictureFront
from saec.data.stored import Mapped
from saec.samples import Samples, split

CPU = torch.device("cpu")


def dataset(n: int, per_recording: int = 1) -> Dataset:
    """Pictures of one level each, their own number."""
    stored = np.repeat(np.arange(n, dtype=np.uint8), 4).reshape(n, 2, 2)
    names = np.array([f"{index:03d}.png" for index in range(n)])
    groups = np.array([f"rec{index // per_recording:02d}" for index in range(n)])
    labels = np.array(["", "finch", "wren"])[np.arange(n) % 3]
    samples = Samples.of(names, label=labels, group=groups)
    return Dataset(samples, Mapped(stored), np.arange(n), PictureFront((2, 2), "intensity"), "", {})


def loader(data: Dataset, batch_size: int, seed: int = 0, classes: tuple[str, ...] = ()) -> Loader:
    return Loader(data, VIEWS.parse("plain"), batch_size, CPU, seed, classes)


def names_of(batches) -> list[str]:
    return [name for batch in batches for name in batch.names]


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (1, 8), (7, 3), (8, 3), (9, 3), (5, 100), (12, 1)])
def test_every_sample_comes_once(n, batch_size):
    feed = loader(dataset(n), batch_size)
    for batches in (list(feed.training(0)), list(feed.validation())):
        assert sorted(names_of(batches)) == feed.data.samples.names.tolist()
        assert len(batches) == feed.n_batches
        assert all(1 <= len(batch) <= batch_size for batch in batches)
        assert all(len(batch) == batch_size for batch in batches[:-1])


def test_a_batch_holds_the_pictures_of_its_names():
    for batch in loader(dataset(10), 3).training(0):
        assert batch.seen.shape == (len(batch), 1, 2, 2) and batch.seen.dtype == torch.float32
        numbers = [int(name[:3]) for name in batch.names]
        assert (batch.seen[:, 0, 0, 0] * 255).round().tolist() == numbers


def test_the_order_depends_on_seed_and_epoch_alone():
    data = dataset(20)
    orders = {
        (seed, epoch): names_of(loader(data, 3, seed).training(epoch)) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    for (seed, epoch), order in orders.items():
        torch.manual_seed(99)
        np.random.seed(99)
        assert names_of(loader(data, 7, seed).training(epoch)) == order
        expected = np.random.default_rng([seed, epoch]).permutation(20)
        assert order == data.samples.names[expected].tolist()


def test_an_epoch_can_be_drawn_without_those_before_it():
    feed = loader(dataset(20), 3)
    for epoch in range(3):
        expected = names_of(feed.training(epoch))
    assert names_of(loader(dataset(20), 3).training(2)) == expected


def test_validation_comes_in_the_order_of_names():
    assert names_of(loader(dataset(20), 3).validation()) == dataset(20).samples.names.tolist()


def test_labels_are_numbers_of_the_classes_and_unknown_ones_are_minus_one():
    batches = list(loader(dataset(6), 4, classes=("finch",)).validation())
    assert [label for batch in batches for label in batch.label.tolist()] == [-1, 0, -1, -1, 0, -1]
    assert all(batch.label is None for batch in loader(dataset(6), 4).validation())


def test_chunks_are_consecutive_and_complete():
    pieces = [piece.tolist() for piece in chunks(np.arange(7), 3)]
    assert pieces == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks(np.arange(0), 3)) == []


@pytest.mark.parametrize(("n", "share"), [(30, 0.4), (6, 0.1)])
def test_both_sides_of_a_split_hold_the_pictures_of_their_names_which_the_seed_decides(n, share):
    data = dataset(n, per_recording=3)
    sides = [tuple(split(data.samples, 0.4, seed)[1]) for seed in range(5)]
    assert len(set(sides)) > 1
    for part in map(data.subset, split(data.samples, share, 2)):
        levels = part.gather(np.arange(len(part)), CPU).values[:, 0, 0].tolist()
        assert levels and levels == [int(name[:3]) for name in part.samples.names]


def test_a_subset_of_a_subset_holds_the_right_pictures():
    part = dataset(20).subset(np.arange(5, 15)).subset(np.array([0, 9]))
    assert part.samples.names.tolist() == ["005.png", "014.png"]
    assert part.gather(np.array([1, 0]), CPU).values[:, 0, 0].tolist() == [14, 5]


class Slow:
    """Stored pictures that record which of them were gathered."""

    def __init__(self, stored: Mapped):
        self.stored = stored
        self.wanted: list[int] = []

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, None]:
        self.wanted += rows.tolist()
        return self.stored.gather(rows)


@pytest.mark.parametrize(
    ("n", "world_size", "sizes", "batch_size"),
    [
        (9, 1, [[4, 5]], 4),
        (10, 1, [[4, 4, 2]], 4),
        (8, 1, [[4, 4]], 4),
        (1, 1, [[1]], 4),  # which a training refuses
        (17, 2, [[4, 5], [4, 4]], 4),  # all processes have equally many batches
        (19, 2, [[4, 6], [4, 5]], 4),
        (20, 2, [[4, 4, 2], [4, 4, 2]], 4),
        (7, 2, [[4], [3]], 2),
        (5, 2, [[3], [2]], 2),
        (11, 3, [[4], [4], [3]], 2),
    ],
)
def test_a_last_training_batch_of_less_than_the_least_joins_the_one_before(n, world_size, sizes, batch_size):
    data, view = dataset(n), VIEWS.parse("plain")
    loaders = [
        Loader(data, view, batch_size, CPU, 0, rank=rank, world_size=world_size, least=2)
        for rank in range(world_size)
    ]
    batches = [list(one.training(0)) for one in loaders]
    assert [[len(batch) for batch in of] for of in batches] == sizes
    assert [len(of) for of in batches] == [one.n_training_batches for one in loaders]
    assert sorted(sum(map(names_of, batches), [])) == data.samples.names.tolist()
    assert all(len(list(one.validation())) == one.n_batches for one in loaders)
    assert [len(batch) for batch in loaders[0].validation()][0] == min(-(-n // world_size), batch_size)


def test_batches_are_gathered_before_they_are_used_and_not_after_the_loop_is_left():
    data = dataset(100)
    slow = Slow(data.stored)
    batches = loader(replace(data, stored=slow), 2).validation()
    assert next(batches).names == ["000.png", "001.png"]
    deadline = time.monotonic() + 10
    while len(slow.wanted) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert slow.wanted == list(range(6))
    batches.close()
    time.sleep(0.05)
    assert slow.wanted == list(range(6))


@pytest.mark.parametrize("view", ["denoise", "pair"])
def test_steps_of_several_processes_are_those_of_one_with_larger_batches(view):
    data, view = dataset(23), VIEWS.parse(view)
    alone = Loader(data, view, 8, CPU, 5)
    shares = [Loader(data, view, 4, CPU, 5, rank=rank, world_size=2) for rank in range(2)]
    for rank, share in enumerate(shares):
        batches = list(share.training(1))
        assert len(batches) == share.n_training_batches == alone.n_training_batches
        for own, step in zip(batches, alone.training(1), strict=True):
            assert own.names == step.names[rank::2]
            assert torch.equal(own.seen, step.seen[rank::2]) and torch.equal(own.target, step.target[rank::2])
    alone = replace(alone, batch_size=4)
    for rank, share in enumerate(shares):  # a validation batch is the same, whoever computes it
        batches = list(alone.validation())[rank::2]
        assert len(batches) == share.n_batches
        for own, batch in zip(share.validation(), batches, strict=True):
            assert own.names == batch.names
            assert torch.equal(own.seen, batch.seen) and torch.equal(own.target, batch.target)


@pytest.mark.parametrize("n", [9, 17])
def test_samples_fewer_than_processes_join_the_step_before(n):
    data, view = dataset(n), VIEWS.parse("plain")
    loaders = [Loader(data, view, 4, CPU, 0, rank=rank, world_size=2) for rank in (0, 1)]
    sizes = [[len(batch) for batch in loader.training(0)] for loader in loaders]
    assert sizes == [[4] * (n // 8 - 1) + [5], [4] * (n // 8)]
