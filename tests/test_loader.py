"""Batches lose and repeat nothing, come in the order of seed and epoch, and keep recordings apart."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from saec.data import VIEWS, Batch, Dataset, Loader, chunks
from saec.data.images import PictureFront
from saec.data.stored import Mapped
from saec.faults import Fault
from saec.samples import Samples, warn_of_shared
from saec.samples import split as split_samples

CPU = torch.device("cpu")


def dataset(n: int, per_recording: int = 1, prefix: str = "") -> Dataset:
    """Pictures of one level each, their own number."""
    stored = np.repeat(np.arange(n, dtype=np.uint8), 4).reshape(n, 2, 2)
    names = np.array([f"{prefix}{place:03d}.png" for place in range(n)])
    groups = np.array([f"{prefix}rec{place // per_recording:02d}" for place in range(n)])
    labels = np.array(["", "finch", "wren"])[np.arange(n) % 3]
    samples = Samples.of(names, label=labels, group=groups)
    return Dataset(samples, Mapped(stored), np.arange(n), PictureFront((2, 2), "intensity"), "", {})


def split(data: Dataset, share: float, seed: int) -> list[Dataset]:
    parts = split_samples(data.samples, share, seed, what=data.samples_are)
    return [data.subset(rows) for rows in parts]


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


def test_an_epoch_can_be_asked_for_without_those_before_it():
    feed = loader(dataset(20), 3)
    for epoch in range(3):
        expected = names_of(feed.training(epoch))
    assert names_of(loader(dataset(20), 3).training(2)) == expected


def test_validation_comes_in_the_order_of_names():
    assert names_of(loader(dataset(20), 3).validation()) == dataset(20).samples.names.tolist()


def test_labels_are_places_among_the_classes_and_unknown_ones_are_minus_one():
    batches = list(loader(dataset(6), 4, classes=("finch",)).validation())
    assert [label for batch in batches for label in batch.label.tolist()] == [-1, 0, -1, -1, 0, -1]
    assert all(batch.label is None for batch in loader(dataset(6), 4).validation())


def test_chunks_are_consecutive_and_complete():
    pieces = [piece.tolist() for piece in chunks(np.arange(7), 3)]
    assert pieces == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks(np.arange(0), 3)) == []


def test_a_batch_has_as_many_samples_as_names():
    assert len(Batch(torch.zeros(2, 1), torch.zeros(2, 1), ["a", "b"])) == 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.99])
def test_a_split_keeps_recordings_apart_and_neither_side_is_empty(share, seed):
    data = dataset(60, per_recording=4)
    train, valid = split(data, share, seed)
    assert len(train) and len(valid)
    assert not set(train.samples.groups) & set(valid.samples.groups)
    assert sorted([*train.samples.names, *valid.samples.names]) == data.samples.names.tolist()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_split_has_its_share_to_the_recording(share):
    data = dataset(200, per_recording=4)
    _, valid = split(data, share, 0)
    assert share * 200 <= len(valid) < share * 200 + 4


def test_two_recordings_are_enough_for_a_split():
    train, valid = split(dataset(8, per_recording=4), 0.1, 0)
    assert len(train) == len(valid) == 4


def test_both_sides_of_a_split_hold_the_pictures_of_their_names():
    for part in split(dataset(30, per_recording=3), 0.4, 2):
        levels = part.gather(np.arange(len(part)), CPU).values[:, 0, 0].tolist()
        assert levels == [int(name[:3]) for name in part.samples.names]


def test_a_split_depends_on_the_seed_alone():
    data = dataset(60, per_recording=4)
    drawn = [tuple(split(data, 0.3, seed)[1].samples.names) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_one_recording_cannot_be_split():
    with pytest.raises(Fault, match="at least two recordings, all 4 pictures come from 'rec00'"):
        split(dataset(4, per_recording=4), 0.5, 0)


def test_pictures_that_are_all_recordings_of_their_own_are_warned_of(heard):
    split(dataset(6), 0.5, 0)
    assert "every picture counts as a recording of its own" in heard.text


def test_folders_that_share_names_or_recordings_are_warned_of(heard):
    train, valid = split(dataset(12, per_recording=4), 0.3, 0)
    warn_of_shared(train.samples, valid.samples)
    assert heard.text == ""
    warn_of_shared(dataset(12, per_recording=4).samples, valid.samples)
    assert "share 4 file names" in heard.text and "share 1 recordings" in heard.text


def test_a_subset_of_a_subset_holds_the_right_pictures():
    part = dataset(20).subset(np.arange(5, 15)).subset(np.array([0, 9]))
    assert part.samples.names.tolist() == ["005.png", "014.png"]
    assert part.gather(np.array([1, 0]), CPU).values[:, 0, 0].tolist() == [14, 5]


class Slow:
    """Stored pictures that say which of them were asked for."""

    def __init__(self, stored: Mapped):
        self.stored = stored
        self.asked: list[int] = []

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, None]:
        self.asked += rows.tolist()
        return self.stored.gather(rows)


def test_batches_are_gathered_before_they_are_asked_for_and_not_after_the_loop_is_left():
    data = dataset(100)
    slow = Slow(data.stored)
    batches = loader(replace(data, stored=slow), 2).validation()
    assert next(batches).names == ["000.png", "001.png"]
    deadline = time.monotonic() + 10
    while len(slow.asked) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert slow.asked == list(range(6))
    batches.close()
    time.sleep(0.05)
    assert slow.asked == list(range(6))


def test_several_processes_share_each_epoch_and_draw_their_own_numbers():
    data, view = dataset(23), VIEWS.parse("denoise")
    alone = Loader(data, view, 4, CPU, 5)
    shares = [Loader(data, view, 4, CPU, 5, rank=rank, world_size=2) for rank in range(2)]
    order = names_of(alone.training(1))
    for rank, share in enumerate(shares):
        batches = list(share.training(1))
        assert names_of(batches) == order[rank::2] and len(batches) == share.n_training_batches
        assert names_of(share.validation()) == data.samples.names[rank::2].tolist()
        assert [batch.index.tolist() for batch in share.validation()][0] == [
            rank,
            rank + 2,
            rank + 4,
            rank + 6,
        ]
    seen = {
        name: one for batch in alone.validation() for name, one in zip(batch.names, batch.target, strict=True)
    }
    for batch in shares[1].validation():  # a validation sample is the same, whoever computes it
        assert all(torch.equal(seen[name], one) for name, one in zip(batch.names, batch.target, strict=True))
