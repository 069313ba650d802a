"""Pictures are encoded while others are still being decoded: the same features, the same faults."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from conftest import extraction_session, intensities, write_pictures
from PIL import Image
from readers import Items
from small_runs import untrained_run
from test_extraction_kill import called, killed_when

from saec import extract
from saec.config import Config
from saec.data import Cache
from saec.data.store import Arriving
from saec.extraction.sources.run import RunSource
from saec.faults import Fault
from saec.features import Features
from saec.files import TEMPORARY
from saec.runs import Run

N = 40


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Two pictures; a shard has sixteen."""
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", 2 * 128 * 32)


@pytest.fixture
def images(config) -> Path:
    folder = config.data / "songs" / "images"
    write_pictures(folder, intensities(N))
    return folder


@pytest.fixture
def overlapping(config) -> Config:
    """With threads that decode, beside which is encoded."""
    return config.model_copy(update={"workers": 2})


def features(run: Run, config: Config, **changes) -> Features:
    changes = {"precision": "fp32", "reconstructions": 0} | changes
    return extract(extraction_session(run.timestamp, **changes), config)


def assert_same_bits(found: Features, expected: Features) -> None:
    for mine, theirs in zip(found.paths[:-1], expected.paths[:-1], strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def after_the_first_batch(monkeypatch, happens: Callable[[], None]) -> None:
    """Lets something happen in the real work, once two pictures are encoded."""
    encode, begun = RunSource.rows, []

    def watched(source: RunSource, *given: object) -> dict[str, torch.Tensor]:
        rows = encode(source, *given)
        if not begun:
            begun.append(True)
            happens()
        return rows

    monkeypatch.setattr(RunSource, "rows", watched)


def many(images: Path, n: int) -> list[Path]:
    """So many more names of one picture: decoding them takes a while."""
    first = sorted(images.iterdir())[0]
    files = [images / f"z{number:05d}.png" for number in range(n)]
    for file in files:
        os.link(first, file)
    return files


def test_rows_are_given_as_soon_as_they_are_there_and_waited_for_until_then(tmp_path):
    go_on = threading.Event()

    def wait(item: int) -> None:
        assert item < 4 or go_on.wait(10)

    items = Items([np.full(3, row, np.uint8) for row in range(8)], ragged=False, before=wait)
    arriving = Arriving(Cache(tmp_path), "key", items)

    def levels(*rows: int) -> list[int]:
        return arriving.gather(np.array(rows))[0][:, 0].tolist()

    assert levels(3, 0) == [3, 0]
    late: list[list[int]] = []
    waiting = threading.Thread(target=lambda: late.append(levels(1, 6)))
    waiting.start()
    waiting.join(0.05)
    assert late == []
    go_on.set()
    waiting.join(10)
    assert late == [[1, 6]]
    arriving.settle()


def test_features_are_those_of_pictures_decoded_before(config, overlapping, images):
    run = untrained_run(config)
    found = features(run, overlapping)
    expected = features(run, config.model_copy(update={"cache": config.data / "other"}), out="other")
    assert_same_bits(found, expected)
    assert not [file for file in images.parent.iterdir() if file.name.startswith(".")]
    assert_same_bits(features(run, overlapping, out="stored"), expected)


def test_encoding_begins_while_pictures_are_decoded_and_faults_of_those_are_all_said(
    config, overlapping, images, monkeypatch
):
    """Pictures that go bad after the first batch could not be found bad, were all decoded before."""
    run, last = untrained_run(config), many(images, 3000)[-2:]

    def spoil() -> None:
        last[0].unlink()
        last[1].unlink()
        last[1].write_bytes(b"no PNG")

    after_the_first_batch(monkeypatch, spoil)
    with pytest.raises(Fault, match=f"2 of {N + 3000} pictures in .* cannot be used") as fault:
        features(run, overlapping)
    assert f"{last[0].name} cannot be opened" in str(fault.value)
    assert f"{last[1].name} is not a PNG" in str(fault.value)
    assert not [entry for entry in images.parent.iterdir() if "saec" in entry.name]
    assert list(config.cache.iterdir()) == []


def test_an_interrupted_overlap_ends_its_threads_and_goes_on_where_it_was(
    config, overlapping, images, monkeypatch, heard
):
    run = untrained_run(config)
    many(images, 500)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        after_the_first_batch(patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            features(run, overlapping)
    assert not [thread for thread in threading.enumerate() if thread.name == "arriving"]
    assert list(config.cache.iterdir()) == []
    found = features(run, overlapping)
    assert "going on: 0 of 34 shards are done" in heard.text
    assert_same_bits(found, features(run, config, out="unbroken"))


@pytest.mark.parametrize("fit", ["none", "pad"])
def test_rows_encoded_before_a_picture_in_no_colour_map_came_are_encoded_again(
    config, overlapping, images, fit, heard
):
    """Padding shows the difference: with a colour map it is the map's floor, without one black."""
    width = 30 if fit == "pad" else 32
    write_pictures(images, intensities(N, width=width))
    colours = np.random.default_rng(0).integers(0, 256, (128, width, 3), dtype=np.uint8)
    name = sorted(os.listdir(images))[-2]
    Image.fromarray(colours).save(images / name)
    run = untrained_run(config, data={"channels": "rgb", "fit": fit})
    found = features(run, overlapping)
    assert f"{name} is in no colour map with the others" in heard.text
    other = config.model_copy(update={"cache": config.data / "other"})
    assert_same_bits(found, features(run, other, out="other"))


def test_intensity_of_a_picture_in_no_colour_map_is_refused(config, overlapping, images):
    name = sorted(os.listdir(images))[-2]
    colours = np.random.default_rng(0).integers(0, 256, (128, 32, 3), dtype=np.uint8)
    Image.fromarray(colours).save(images / name)
    run = untrained_run(config)
    with pytest.raises(Fault, match=f"{name} is in no colour map that is known"):
        features(run, overlapping)
    assert not [entry for entry in images.parent.iterdir() if "saec" in entry.name]


def test_a_bad_picture_that_was_added_leaves_what_is_there(config, overlapping, images):
    run = untrained_run(config)
    before = {file: file.read_bytes() for file in features(run, overlapping).paths}
    (images / "zz.png").write_bytes(b"no PNG")
    with pytest.raises(Fault, match="1 of 41 pictures"):
        features(run, overlapping)
    assert {file: file.read_bytes() for file in before} == before
    (images / "zz.png").unlink()
    assert_same_bits(features(run, overlapping), features(run, config, out="other"))


def test_bad_pictures_are_left_out_as_they_are_without_overlap(config, overlapping, images):
    names = sorted(os.listdir(images))
    (images / names[5]).write_bytes(b"")
    run = untrained_run(config, data={"skip_bad": True})
    found = features(run, overlapping)
    assert found.N.tolist() == [name for name in names if name != names[5]]
    other = config.model_copy(update={"cache": config.data / "other"})
    assert_same_bits(found, features(run, other, out="other"))


@pytest.mark.slow
def test_killed_while_decoding_and_encoding_it_goes_on_and_gives_the_same_bits(config, config_file, images):
    config_file.write_text("device: cpu\nworkers: 2\n")
    for file in images.iterdir():
        file.unlink()
    write_pictures(images, np.repeat(intensities(8, width=32), 36, axis=2))
    many(images, 700)
    run = untrained_run(config, 1152)
    session = extraction_session(run.timestamp, precision="fp32", reconstructions=0)
    file = config.data / "wide.yaml"
    file.write_text(yaml.safe_dump(session))
    done = images.parent / f".saec_{run.timestamp}.part" / "done.npy"
    place = SimpleNamespace(config=config)

    def ready() -> bool:
        marked = done.is_file() and done.stat().st_size > 128 and sum(done.read_bytes()[128:]) >= 1
        stores = list(config.cache.iterdir()) if config.cache.exists() else []
        assert not marked or all(store.name.startswith(TEMPORARY) for store in stores), "decoded too early"
        return marked

    killed_when(called(place, file), ready)
    process = called(place, file)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "going on:" in said, said
    file.write_text(yaml.safe_dump(session | {"out": "unbroken"}))
    process = called(place, file)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    found, expected = (
        {file.name: file.read_bytes() for file in folder.glob("*saec_*.npz")}
        for folder in (images.parent, config.data / "unbroken")
    )
    assert len(found) == 2 and found == expected
