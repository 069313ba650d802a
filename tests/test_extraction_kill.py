"""An extraction that is interrupted or killed goes on where it was and ends as an unbroken one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, extraction_session, intensities, write_pictures
from small_runs import untrained_run, workplace

from saec import extract
from saec.config import ROOT, Config
from saec.extraction import ExtractionSession, plan_extraction
from saec.features import Features
from saec.files import TEMPORARY
from saec.runs import Run
from saec.session import load_session

BATCH, N = 2, 40  # a shard is eight batches: 16, 16 and 8 pictures


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", BATCH * 128 * 32)


class Place:
    """Pictures, a run, and where an extraction keeps what is done."""

    def __init__(self, config: Config, levels: np.ndarray, model: dict = TINY):
        self.config = config
        self.images = config.data / "songs" / "images"
        write_pictures(self.images, levels, "gray")
        self.run: Run = untrained_run(config, levels.shape[2], model)
        self.part = self.images.parent / f".saec_{self.run.timestamp}.part"

    def session(self, **changes) -> dict:
        return extraction_session(self.run.timestamp, **{"precision": "fp32", "reconstructions": 0} | changes)

    def extract(self, **changes) -> Features:
        return extract(self.session(**changes), self.config)

    def interrupted_after(self, n_batches: int, **changes) -> np.ndarray:
        """Encodes as `extract` would, until Ctrl-C comes in the midst of a batch; which shards are done."""
        job = plan_extraction(load_session(self.session(**changes), ExtractionSession), self.config)
        job.source.pooling = Interrupted(job.source.pooling, n_batches)
        with pytest.raises(KeyboardInterrupt):
            job.run()
        return np.load(self.part / "done.npy")


class Interrupted:
    """A pooling in the midst of which Ctrl-C comes."""

    def __init__(self, pooling: Callable, n_batches: int):
        self.pooling = pooling
        self.trim = pooling.trim
        self.left = n_batches

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.pooling(latents)


@pytest.fixture
def place(config) -> Place:
    return Place(config, intensities(N))


def assert_same_bits(found: Features, expected: Features) -> None:
    assert [file.name for file in found.paths] == [file.name for file in expected.paths]
    for mine, theirs in zip(found.paths[:-1], expected.paths[:-1], strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def left_over(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_shards_are_marked_one_by_one_as_they_are_done(place):
    assert place.interrupted_after(7).tolist() == [False, False, False]
    assert place.interrupted_after(8).tolist() == [True, False, False]
    assert place.interrupted_after(11).tolist() == [True, True, False]  # goes on after the first


def test_an_interrupted_extraction_goes_on_and_ends_like_an_unbroken_one(place, heard):
    assert place.interrupted_after(11).tolist() == [True, False, False]
    found = place.extract()
    assert "going on: 1 of 3 shards are done" in heard.text
    assert_same_bits(found, place.extract(out="unbroken"))
    assert not left_over(place.images.parent)


def test_rows_of_a_shard_that_is_done_are_not_computed_again(place):
    """Marked rows stay marked."""
    place.interrupted_after(19)
    np.load(place.part / "X.npy", mmap_mode="r+")[:32] += 1000
    np.load(place.part / "pooled.npy", mmap_mode="r+")[:16] += 1000
    found = place.extract()
    assert (found.X[:32] > 500).all() and (found.X[32:] < 500).all()
    pooled = Features.load(found.paths[1]).X
    assert (pooled[:16] > 500).all() and (pooled[16:] < 500).all()


def test_rows_of_a_shard_that_is_not_done_are_computed_whatever_a_kill_left(place):
    place.interrupted_after(11)
    np.load(place.part / "X.npy", mmap_mode="r+")[16:] = np.nan
    np.load(place.part / "pooled.npy", mmap_mode="r+")[16:] = np.nan
    assert_same_bits(place.extract(), place.extract(out="unbroken"))


def test_a_part_folder_that_was_only_begun_is_begun_anew(place, heard):
    place.interrupted_after(11)
    (place.part / "plan.txt").unlink()  # it is written once the arrays are there
    (place.part / "X.npy").write_bytes(b"half")
    assert_same_bits(place.extract(), place.extract(out="unbroken"))
    assert "going on" not in heard.text


@pytest.mark.parametrize(
    "changes", [{"pooling": "max"}, {"latents": "float16"}, {"precision": "bf16"}, {"weights": "last"}]
)
def test_other_settings_do_not_go_on_with_what_is_there(place, heard, changes):
    place.interrupted_after(11)
    assert_same_bits(place.extract(**changes), place.extract(out="unbroken", **changes))
    assert "going on" not in heard.text


def test_other_pictures_do_not_go_on_with_what_is_there(place, heard):
    place.interrupted_after(11)
    write_pictures(place.images, intensities(N, seed=1), "gray")
    assert_same_bits(place.extract(), place.extract(out="unbroken"))
    assert "going on" not in heard.text


def test_a_broken_overwriting_does_not_pass_for_a_broken_completion(place, heard):
    """Both have three shards, of all forty pictures or of the thirty-seven that have changed."""
    names = place.extract().N
    for name in names[3:]:
        os.utime(place.images / name, (1, 1))
    place.interrupted_after(16, overwrite=True)
    found = place.extract()
    assert "3 of 40 pictures are as they were" in heard.text
    assert_same_bits(found, place.extract(out="unbroken"))


def test_a_kill_while_overwriting_leaves_no_file_of_the_other_settings(place):
    """The old files go before the first new one comes, else two would answer for one dimension."""
    first = place.extract(reduction={"dims": [2], "n_neighbors": 5})
    blocked = place.images.parent / f"dimred_2_neigh_4_saec_{place.run.timestamp}.npz"
    (blocked / "in the way").mkdir(parents=True)
    other = {"reduction": {"dims": [2], "n_neighbors": 4}}
    with pytest.raises(OSError):
        place.extract(overwrite=True, **other)
    shutil.rmtree(blocked)
    found = place.extract(**other)
    assert not first.paths[2].exists()
    assert {file.name for file in place.images.parent.iterdir() if file.is_file()} == {
        file.name for file in found.paths
    }


def test_what_a_killed_writing_left_is_swept(place):
    folder = place.images.parent
    torn = folder / f"{TEMPORARY}0a1b2c3d_full_features_saec_{place.run.timestamp}.npz"
    torn.write_bytes(b"PK half a file")
    place.extract()
    assert not left_over(folder)


def called(place: Place, session_file: Path) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "main_02_extract.py"), str(session_file)]
    command += ["--config", str(place.config.data.parent / "config" / "config.yaml")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed_when(process: subprocess.Popen, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> tuple[Place, Path]:
    """Pictures 1152 wide, of which a shard holds 112, and a session file."""
    levels = np.repeat(intensities(400, width=32), 36, axis=2)
    model = {"name": "compact", "widths": [8, 8, 8], "latent": 128, "time_halvings": 2}
    place = Place(workplace(tmp_path_factory.mktemp("wide")), levels, model)
    session_file = place.config.data / "wide.yaml"
    session_file.write_text(yaml.safe_dump(place.session()))
    return place, session_file


@pytest.fixture(scope="module")
def unbroken(wide) -> dict[str, bytes]:
    """The files of an extraction in one go, by the script, moved away."""
    place, session_file = wide
    process = called(place, session_file)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    files = list(place.images.parent.glob("*saec_*.npz"))
    content = {file.name: file.read_bytes() for file in files}
    for file in [*files, place.images.parent / f"saec_{place.run.timestamp}.json"]:
        file.unlink()
    return content


@pytest.mark.slow
@pytest.mark.parametrize("n_done", [1, 3])
def test_killed_when_shards_are_done_it_goes_on_and_gives_the_same_bits(wide, unbroken, n_done):
    place, session_file = wide
    done = place.part / "done.npy"

    def ready() -> bool:
        return done.is_file() and done.stat().st_size > 128 and sum(done.read_bytes()[128:]) >= n_done

    killed_when(called(place, session_file), ready)
    assert place.part.is_dir() and not list(place.images.parent.glob("*.npz"))
    end_well(place, session_file, unbroken, "shards are done")


@pytest.mark.slow
def test_killed_while_writing_it_leaves_no_torn_file_and_goes_on(wide, unbroken):
    place, session_file = wide
    folder = place.images.parent
    killed_when(called(place, session_file), lambda: any(folder.glob(f"{TEMPORARY}*.npz")))
    for file in folder.glob("*.npz"):
        assert file.name.startswith(TEMPORARY) or file.read_bytes() == unbroken[file.name]
    end_well(place, session_file, unbroken, "going on: 4 of 4 shards are done")


def end_well(place: Place, session_file: Path, unbroken: dict[str, bytes], saying: str) -> None:
    folder = place.images.parent
    process = called(place, session_file)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "going on:" in said and saying in said, said
    files = {file.name: file for file in folder.glob("*.npz")}
    assert {name: file.read_bytes() for name, file in files.items()} == unbroken
    assert not left_over(folder)
    for file in [*files.values(), folder / f"saec_{place.run.timestamp}.json"]:
        file.unlink()
