"""The cache of decoded pictures: decoded once, never read half-built, never beyond its size."""

import json
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import intensities, write_pictures
from PIL import Image
from readers import Items

from saec.data.images import Images
from saec.data.store import ABOUT, ARRAY, CHECKED, Cache, open_items
from saec.data.stored import Mapped, Windows
from saec.faults import Fault, MissingFault
from saec.files import LOCK, TEMPORARY, locked


@pytest.fixture
def folder(tmp_path) -> Path:
    write_pictures(tmp_path / "images", intensities(6, 8, 8))
    return tmp_path / "images"


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


def stores(cache: Cache) -> list[Path]:
    return sorted(cache.folder.iterdir())


def build(cache: Cache, name: str, n_bytes: int, used: float) -> None:
    """A store of that size, last used at that time."""
    open_items(cache, name, Items([np.ones(n_bytes, np.uint8)]), Path("folder"))
    os.utime(cache.path(name), (used, used))


def names_in(cache: Cache) -> list[str]:
    return [store.name.split("_")[0] for store in stores(cache)]


def test_no_worker_and_two_workers_give_the_same_bytes(tmp_path):
    write_pictures(tmp_path / "images", intensities(300, 8, 8))
    files = []
    for n_workers in (0, 2):
        cache = Cache(tmp_path / f"cache{n_workers}", n_workers=n_workers)
        Images(tmp_path / "images", cache).open()
        (store,) = stores(cache)
        files.append({file.name: file.read_bytes() for file in store.iterdir()})
    assert files[0] == files[1]
    assert set(files[0]) == {ARRAY, ABOUT}


def test_a_second_opening_decodes_nothing(folder, cache, log):
    first = Images(folder, cache).open()
    assert isinstance(first.stored, Mapped) and isinstance(first.stored.array, np.memmap)
    assert first.stored.array.dtype == np.uint8 and first.stored.shape == (6, 8, 8)
    (store,) = stores(cache)
    written = [(file, file.stat().st_mtime_ns) for file in sorted(store.iterdir())]
    log.clear()
    second = Images(folder, cache).open()
    assert written == [(file, file.stat().st_mtime_ns) for file in sorted(store.iterdir())]
    assert np.array_equal(first.stored.array, second.stored.array)
    assert first.samples.names.tolist() == second.samples.names.tolist()
    assert "decoding" not in log.text


def test_intensity_and_rgb_share_a_store_which_counts_as_just_used_when_it_is_opened(folder, cache):
    Images(folder, cache).open()
    (store,) = stores(cache)
    os.utime(store, (1, 1))
    Images(folder, cache, channels="rgb", fit="pad").open()
    assert stores(cache) == [store] and time.time() - store.stat().st_mtime < 60


def write(file: Path) -> None:
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(file)


CHANGES = {
    "changed": lambda folder: write(sorted(folder.iterdir())[2]),
    "touched": lambda folder: os.utime(sorted(folder.iterdir())[2]),
    "added": lambda folder: write(folder / "z.png"),
    "removed": lambda folder: sorted(folder.iterdir())[2].unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_has_changed_gets_a_new_store(folder, cache, change):
    for file in folder.iterdir():
        os.utime(file, (1, 1))
    before = Images(folder, cache, channels="rgb").open()
    CHANGES[change](folder)
    after = Images(folder, cache, channels="rgb").open()
    assert before.fingerprint != after.fingerprint and len(stores(cache)) == 2
    assert after.samples.names.tolist() == sorted(os.listdir(folder))


def test_of_several_processes_one_decodes_and_the_others_wait_for_it(folder, cache, log):
    elsewhere = Cache(folder.parent / "elsewhere")
    key = Images(folder, elsewhere).open().fingerprint
    cache.folder.mkdir()
    log.clear()
    with ThreadPoolExecutor() as threads, locked(cache.path(key, LOCK), "another process"):
        waiting = threads.submit(lambda: Images(folder, cache).open())
        while "another process reads the pictures" not in log.text:
            time.sleep(0.01)
        shutil.copytree(elsewhere.path(key), cache.path(key))
        assert waiting.result(60).stored.shape == (6, 8, 8)
    assert "decoding" not in log.text and names_in(cache) == [key]


def test_pictures_of_a_folder_that_has_gone_away_are_not_left_out_for_good(folder, cache):
    images, elsewhere = Images(folder, cache, skip_bad=True), folder.with_name("elsewhere")
    folder.rename(elsewhere)
    with pytest.raises(MissingFault, match="images cannot be reached any more .*: call again once"):
        images.open()
    elsewhere.rename(folder)
    assert len(Images(folder, cache, skip_bad=True).open()) == 6


def test_what_a_killed_process_left_is_not_read_and_goes_after_a_day(folder, cache):
    for name, age in ((f"{TEMPORARY}old", 100_000), (f"{TEMPORARY}new", 100)):
        part = cache.folder / name
        part.mkdir(parents=True)
        np.save(part / ARRAY, np.zeros((6, 8, 8), np.uint8))
        (part / ABOUT).write_text(json.dumps({"colormap": "viridis", "not_in_map": None, "unusable": []}))
        os.utime(part, (time.time() - age, time.time() - age))
    assert Images(folder, cache).open().stored.array.any()
    assert [name for name in names_in(cache) if name.startswith(".")] == [".writing"]
    assert (cache.folder / f"{TEMPORARY}new").is_dir()


def test_a_store_without_its_facts_is_not_read_but_built_again(folder, cache):
    images = Images(folder, cache)
    store = cache.path(images.fingerprint)
    store.mkdir(parents=True)
    np.save(store / ARRAY, np.zeros((6, 8, 8), np.uint8))
    assert images.open().stored.array.any()
    assert stores(cache) == [store]


@pytest.mark.usefixtures("like_windows")
def test_a_filling_that_fails_leaves_nothing_behind(cache):
    def fail(item: int) -> None:
        raise Fault("no such picture")

    with pytest.raises(Fault, match="no such picture"):
        open_items(cache, "store", Items([np.zeros(3)], before=fail), Path())
    assert stores(cache) == []
    assert cache.find("store") is None


def test_the_least_recently_used_go_beyond_the_size_of_the_cache(tmp_path):
    cache = Cache(tmp_path / "cache", gigabytes=1e-4)  # 100,000 bytes
    for name, used in (("a", 300), ("b", 100), ("c", 200)):
        build(cache, name, 30_000, used)
    assert names_in(cache) == ["a", "b", "c"]
    build(cache, "d", 30_000, used=400)
    assert names_in(cache) == ["a", "c", "d"]
    build(cache, "e", 60_000, used=500)
    assert names_in(cache) == ["d", "e"]


def test_a_store_as_large_as_the_cache_stays_alone(tmp_path):
    cache = Cache(tmp_path / "cache", gigabytes=1e-4)
    build(cache, "a", 30_000, used=time.time() + 1000)
    build(cache, "b", 99_000, used=1)
    assert names_in(cache) == ["b"]


def test_the_cache_says_why_it_keeps_no_data_and_what_to_do(tmp_path):
    cache = Cache(tmp_path / "cache", gigabytes=2)
    assert cache.no_room(1_900_000_000) == ""
    assert (
        cache.no_room(3_400_000_000)
        == "the cache may hold 2 GB (raise `cache_gb` in the config to keep them)"
    )
    output = Cache(tmp_path / "cache", gigabytes=1e12).no_room(10**18)
    assert re.fullmatch(r"the disk of .*cache has \d+\.\d\d GB free \(make room on it to keep them\)", output)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (ABOUT, b'"array"', b'"brray"'),
        (ABOUT, b"24", b"25"),
        (ABOUT, b"{", b""),
        (ARRAY, b"NUMPY", b"NUMPI"),
        (ARRAY, b"(24,", b"(48,"),
        (ARRAY, b"|u1", b"|i1"),
    ],
)
def test_a_damaged_store_is_said_and_made_anew(name, old, new, cache, log):
    build(cache, "a", 24, used=1)
    file, whole = cache.path("a") / name, (cache.path("a") / name).read_bytes()
    assert old in whole
    file.write_bytes(whole.replace(old, new, 1))
    items, _ = open_items(cache, "a", Items([np.ones(24, np.uint8)]), Path("folder"))
    assert f"{cache.path('a')}" in log.text and "anew" in log.text and items.array.sum() == 24
    assert file.read_bytes() == whole


def test_damaged_facts_of_items_that_are_not_kept_are_said_and_made_anew(cache, log):
    small = Cache(cache.folder, gigabytes=1e-9)
    for n_cut in (0, 30):
        _, facts = open_items(small, "a", Items([np.ones(24, np.uint8)]), Path("folder"))
        file = cache.path("a", CHECKED) / ABOUT
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) - n_cut])
    assert open_items(small, "a", Items([np.ones(24, np.uint8)]), Path("folder"))[1] == facts
    assert log.text.count("is damaged") == 1 and file.read_bytes() == whole


def test_facts_alone_are_no_store_and_go_like_one_beyond_the_size_of_the_cache(tmp_path):
    cache = Cache(tmp_path / "cache", gigabytes=1e-4)  # 100,000 bytes
    facts = {"names": ["x" * 30_000]}
    cache.keep("a", lambda folder: facts, CHECKED)
    assert cache.find("a") is None and cache.facts("a") == facts
    os.utime(*stores(cache), (1, 1))
    build(cache, "b", 60_000, used=2)
    assert cache.facts("a")  # and is now the last that was used
    build(cache, "c", 60_000, used=3)
    assert cache.facts("a") and cache.find("b") is None
    os.utime(stores(cache)[0], (1, 1))
    build(cache, "d", 60_000, used=4)
    assert cache.facts("a") is None


def test_a_limit_brings_a_folder_into_the_cache(tmp_path, folder):
    cache = Cache(tmp_path / "cache", gigabytes=2e-7)
    assert len(Images(folder, cache, limit=3).open()) == 3


# Items of several lengths

ITEMS = [
    np.arange(12, dtype=np.float32).reshape(6, 2),
    None,
    np.arange(100, 108, dtype=np.float32).reshape(4, 2),
]
CUT = Windows(np.array([0, 0, 2, 2]), np.array([0, 3, 0, 1]), np.array([3, 3, 4, 2]))


def ragged(cache: Cache, **options) -> tuple[Any, dict[str, Any]]:
    return open_items(cache, "ragged", Items(ITEMS, **options), Path())


@pytest.mark.parametrize("gigabytes", [1, 1e-9])
@pytest.mark.parametrize("n_workers", [0, 2])
def test_stretches_of_items_are_gathered_with_zeros_behind_the_shorter_ones(tmp_path, gigabytes, n_workers):
    items, facts = ragged(Cache(tmp_path / "cache", gigabytes, n_workers))
    assert facts["unusable"] == [[1, "is bad"]] and facts["n_steps"] == [6, 0, 4] and facts["n_bad"] == 1
    stored = items.cut(CUT)
    assert stored.shape == (4, 4, 2)
    values, n_steps = stored.gather(np.array([3, 2, 0]))
    assert n_steps.tolist() == [2, 4, 3] and values.dtype == np.float32
    assert np.array_equal(values[0], [[102, 103], [104, 105], [0, 0], [0, 0]])
    assert np.array_equal(values[1], ITEMS[2])
    assert np.array_equal(values[2], [*ITEMS[0][:3], [0, 0]])
    assert stored.gather(np.array([0]))[0].shape == (1, 3, 2)


def test_stretches_in_the_memory_of_a_device_are_the_same(tmp_path):
    stored = ragged(Cache(tmp_path / "cache"))[0].cut(CUT)
    there = stored.on(torch.device("cpu"))  # any device does it alike
    for rows in ([0], [3, 2, 0], [1, 1]):
        (values, n_steps), (others, same) = stored.gather(np.array(rows)), there.gather(np.array(rows))
        assert isinstance(others, torch.Tensor) and others.dtype == torch.float32
        assert np.array_equal(values, others.numpy()) and np.array_equal(n_steps, same)
