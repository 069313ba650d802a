"""Pictures that the cache has no room for are checked once and decoded as they are used: the same numbers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import extraction_session, intensities, training_session, write_pictures
from PIL import Image
from small_runs import untrained_run

from saec import extract, train
from saec.config import Config
from saec.data import VIEWS, Cache, Dataset, Loader
from saec.data.images import Images
from saec.data.stored import Mapped, Streamed
from saec.extraction import ExtractionSession, plan_extraction
from saec.faults import Fault
from saec.session import TrainingSession, load_session
from saec.training import plan_training

CPU = torch.device("cpu")
ALL = np.arange(40)


@pytest.fixture
def folder(tmp_path) -> Path:
    write_pictures(tmp_path / "images", intensities(40, 8, 8))
    return tmp_path / "images"


def opened(folder: Path, gigabytes: float, n_workers: int = 2, **options) -> Dataset:
    return Images(folder, Cache(folder.parent / f"cache{gigabytes}", gigabytes, n_workers), **options).open()


def streamed(folder: Path, **options) -> Dataset:
    data = opened(folder, 1e-6, **options)
    assert isinstance(data.stored, Streamed)
    return data


def odd_one(folder: Path, workspace: int) -> str:
    """A picture in no colour map."""
    name = sorted(os.listdir(folder))[workspace]
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(colours).save(folder / name)
    return name


def assert_same(one: Dataset, other: Dataset) -> None:
    assert one.samples.table.equals(other.samples.table) and one.rows.tolist() == other.rows.tolist()
    assert (one.fingerprint, one.about) == (other.fingerprint, other.about)
    assert one.stored.shape == other.stored.shape
    chosen = np.random.default_rng(0).permutation(len(one))
    assert torch.equal(one.gather(chosen, CPU).values, other.gather(chosen, CPU).values)


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("channels", ["intensity", "rgb"])
def test_streamed_pictures_equal_stored_ones(folder, channels, n_workers):
    stored = opened(folder, 1, channels=channels)
    assert_same(streamed(folder, channels=channels, n_workers=n_workers), stored)


@pytest.mark.parametrize("workspace", [0, 3, 39])
def test_streamed_pictures_in_no_colour_map_are_rgb(folder, workspace):
    name = odd_one(folder, workspace)
    assert_same(streamed(folder, channels="rgb"), opened(folder, 1, channels="rgb"))
    for gigabytes in (1e-6, 1):  # facts that are kept say it as well, and are enough for a store
        with pytest.raises(Fault, match=f"{name} is in no colour map that is known"):
            Images(folder, Cache(folder.parent / "cache1e-06", gigabytes)).open()


def test_rgb_that_takes_three_times_the_room_streams_and_the_check_then_says_so(folder):
    cache = Cache(folder.parent / "cache", 5e-6)  # enough for one byte a pixel
    odd_one(folder, 30)
    assert Images(folder, cache, channels="rgb").sizes().no_room == ""
    assert isinstance(Images(folder, cache, channels="rgb").open().stored, Streamed)
    sizes = Images(folder, cache, channels="rgb").sizes()
    assert sizes.n_bytes == 40 * 8 * 8 * 3 and "cache_gb" in sizes.no_room


def test_bad_and_mixed_pictures_are_listed_before_anything_is_used(folder):
    first, second = (folder / sorted(os.listdir(folder))[row] for row in (4, 9))
    first.write_bytes(b"")
    second.write_bytes(b"no PNG")
    words = f"(?s)2 of 40 pictures.*{first.name} is empty.*{second.name} is not a PNG"
    with pytest.raises(Fault, match=words):
        streamed(folder)
    for file in (first, second):
        Image.fromarray(np.zeros((8, 12), np.uint8)).save(file)
    with pytest.raises(Fault, match="2 sizes"):
        streamed(folder)


def test_the_second_time_no_picture_is_opened(folder):
    first = streamed(folder)
    files = sorted(folder.iterdir())
    contents = [b"x" * file.stat().st_size for file in files]
    contents[0] = files[0].read_bytes()  # the one whose header the sizes are read from
    for file, content in zip(files, contents, strict=True):  # other contents of the same size and time
        stamp = file.stat()
        file.write_bytes(content)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    second = streamed(folder)
    assert second.samples.names.tolist() == first.samples.names.tolist()
    with pytest.raises(Fault, match="is no longer as it was when it was checked"):
        second.gather(ALL, CPU)


def test_a_cache_that_has_become_larger_takes_what_was_streamed(folder):
    first, second = (Images(folder, Cache(folder.parent / "cache", size)).open() for size in (1e-6, 1))
    assert isinstance(first.stored, Streamed) and isinstance(second.stored, Mapped)
    assert_same(first, second)


def widened(file: Path) -> None:
    stamp = file.stat()
    Image.fromarray(np.full((8, 12), 9, np.uint8)).save(file)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


CHANGES = {
    "gone": Path.unlink,
    "rewritten": lambda file: Image.fromarray(np.full((8, 8), 9, np.uint8)).save(file),
    "touched": lambda file: os.utime(file, ns=(1, 1)),
    "widened": widened,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_that_changes_after_the_check_is_one_clear_fault(folder, change):
    data = streamed(folder)
    name = data.samples.names[17]
    CHANGES[change](folder / name)
    data.gather(np.arange(17), CPU)
    with pytest.raises(Fault, match=f"{name} is no longer as it was when it was checked .*call again"):
        data.gather(ALL, CPU)


def test_batches_are_the_same_and_a_fault_comes_through_the_loader(folder):
    loaders = [
        Loader(data, VIEWS.parse("denoise"), 7, CPU, 3) for data in (streamed(folder), opened(folder, 1))
    ]
    for epoch in (0, 1):
        for one, other in zip(*(loader.training(epoch) for loader in loaders), strict=True):
            assert one.names == other.names
            assert torch.equal(one.seen, other.seen) and torch.equal(one.target, other.target)
    (folder / loaders[0].data.samples.names[39]).unlink()
    with pytest.raises(Fault, match="is no longer as it was"):
        list(loaders[0].training(2))


def too_small(config: Config) -> Config:
    """The same workplace with a cache of its own that holds nothing."""
    return config.model_copy(update={"cache_gb": 1e-6, "cache": config.data / "small"})


def test_a_training_on_streamed_pictures_gives_the_same_scores_bit_for_bit(config, pictures, log):
    session = load_session(training_session(), TrainingSession)
    histories = [
        (train(session, where).folder / "history.csv").read_text() for where in (config, too_small(config))
    ]
    assert histories[0] == histories[1]
    assert "are decoded whenever they are used: the cache may hold 1e-06 GB (raise `cache_gb`" in log.text


def test_features_of_streamed_pictures_are_the_same_bit_for_bit(config, pictures):
    session = extraction_session(untrained_run(config).timestamp, precision="fp32")
    one = extract(session, config)
    other = extract(session | {"out": "other"}, too_small(config))
    for mine, theirs in zip(one.paths[:-1], other.paths[:-1], strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def test_the_check_says_that_pictures_will_stream_why_and_what_to_do(config, pictures):
    run = untrained_run(config)
    small = too_small(config)
    training = plan_training(load_session(training_session(), TrainingSession), small)
    extraction = plan_extraction(load_session(extraction_session(run.timestamp), ExtractionSession), small)
    words = "decoded whenever they are used: the cache may hold 1e-06 GB (raise `cache_gb` in the"
    assert words in training.describe() and words in extraction.describe() and not small.cache.exists()
