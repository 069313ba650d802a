"""An extraction that is killed ends as an unbroken one."""

import os
import re
import shutil
import subprocess
import sys
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import intensities, write_pictures
from small_runs import Songs, assert_same_files, begun_script, config_file, ended, killed_when, workplace

from saec.config import ROOT
from saec.extraction import ExtractionSession, plan_extraction
from saec.extraction.sources.run import RunSource
from saec.faults import Fault
from saec.features import Features
from saec.files import TEMPORARY, move
from saec.session import load_session

N = 40  # batches are marked by eight: 16, 16 and 8 pictures
pytestmark = pytest.mark.usefixtures("small_batches")


@pytest.fixture
def songs(config) -> Songs:
    return Songs(config, intensities(N))


def interrupted_after(songs: Songs, n_batches: int, **changes) -> list[bool]:
    """Encodes until Ctrl-C comes in the midst of a batch; returns which shards are done."""
    job = plan_extraction(load_session(songs.session(**changes), ExtractionSession), songs.config)
    pool, left = job.source.pooling, [n_batches]

    def pool_or_interrupt(latents: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return pool(latents)

    job.source.pooling = pool_or_interrupt
    with pytest.raises(KeyboardInterrupt):
        job.run()
    done = np.load(songs.part / "done.npy")
    return [bool(done[first : first + 8].all()) for first in range(0, len(done), 8)]


def test_work_goes_on_once_a_folder_is_back_that_went_away_in_the_middle(songs, log):
    config = songs.config.model_copy(update={"cache_gb": 1e-6})  # so that pictures are read all the time
    job = plan_extraction(load_session(songs.session(), ExtractionSession), config)
    pool, n_pooled, elsewhere = job.source.pooling, count(), songs.folder / "elsewhere"

    def pool_or_rename(latents: torch.Tensor) -> torch.Tensor:
        if next(n_pooled) == 10:
            songs.images.rename(elsewhere)
        return pool(latents)

    job.source.pooling = pool_or_rename
    with pytest.raises(Fault, match="cannot be reached any more|is no longer as it was"):
        job.run()
    elsewhere.rename(songs.images)
    features = songs.extract()
    assert re.search(r"going on: \d+ of 40 pictures are done", log.text)
    assert_same_files(features, songs.extract(out="unbroken"))


def left_over(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_shards_are_marked_as_they_are_done_and_the_end_is_that_of_an_unbroken_one(songs, log):
    assert interrupted_after(songs, 7) == [False, False, False]
    assert interrupted_after(songs, 8) == [True, False, False]
    kept = {
        file.name: file.stat().st_size for file in songs.part.glob("*.npy")
    }  # room for what is written last
    assert kept["room.npy"] > kept["X.npy"] + kept["pooled.npy"] - 300
    assert interrupted_after(songs, 11) == [True, True, False]  # goes on after the first
    features = songs.extract()
    assert "going on: 32 of 40 pictures are done" in log.text
    assert_same_files(features, songs.extract(out="unbroken"))
    assert not left_over(songs.folder)


def test_an_interrupted_extraction_goes_on_in_the_room_that_it_has_taken(songs, monkeypatch):
    interrupted_after(songs, 11)
    monkeypatch.setattr("saec.disk.free_bytes", lambda folder: 0)
    with pytest.raises(Fault, match="features and what they are assembled from take"):
        songs.extract(variant="other")
    songs.extract()


def test_rows_of_a_shard_that_is_done_are_kept_and_others_computed_whatever_a_kill_left(songs):
    """Marked rows stay marked."""
    interrupted_after(songs, 11)
    for name in ("X", "pooled"):
        rows = np.load(songs.part / f"{name}.npy", mmap_mode="r+")
        rows[:16] += 1000
        rows[16:] = np.nan
        del rows
    result, unbroken = songs.extract(), songs.extract(out="unbroken")
    for mine, theirs in zip(result.paths[:-1], unbroken.paths[:-1], strict=True):
        rows, expected = Features.load(mine).X, Features.load(theirs).X
        assert (rows[:16] > 500).all() and np.array_equal(rows[16:], expected[16:])


def only_begun(songs: Songs) -> None:
    (songs.part / "plan.json").unlink()  # it is written once the arrays are there
    (songs.part / "X.npy").write_bytes(b"half")


ANEW = {
    "only begun": (only_begun, {}),
    "other pictures": (lambda songs: write_pictures(songs.images, intensities(N, seed=1), "gray"), {}),
    "pooling": (lambda songs: None, {"pooling": "max"}),
    "latents": (lambda songs: None, {"latents": "float16"}),
    "precision": (lambda songs: None, {"precision": "bf16"}),
    "weights": (lambda songs: None, {"weights": "last"}),
}


@pytest.mark.parametrize("case", ANEW)
def test_other_settings_or_pictures_do_not_go_on_with_what_is_there(songs, log, case):
    do, changes = ANEW[case]
    interrupted_after(songs, 11)
    do(songs)
    assert_same_files(songs.extract(**changes), songs.extract(out="unbroken", **changes))
    assert "going on" not in log.text


def test_a_broken_overwriting_does_not_pass_for_a_broken_completion(songs, log):
    """Both have three shards, of all forty pictures or of the thirty-seven that have changed."""
    songs.extract()
    for name in songs.names[3:]:
        os.utime(songs.images / name, (1, 1))
    interrupted_after(songs, 16, overwrite=True)
    features = songs.extract()
    assert "3 of 40 pictures are as they were" in log.text
    assert_same_files(features, songs.extract(out="unbroken"))


def test_a_kill_while_overwriting_leaves_no_file_of_the_other_settings(songs):
    """The old files go before the first new one comes, else two would answer for one dimension."""
    first = songs.extract(reduction={"dims": [2], "n_neighbors": 5})
    blocked = songs.folder / f"dimred_2_neigh_4_{songs.id}.npz"
    (blocked / "in the way").mkdir(parents=True)
    other = {"reduction": {"dims": [2], "n_neighbors": 4}}
    with pytest.raises(OSError):
        songs.extract(overwrite=True, **other)
    shutil.rmtree(blocked)
    features = songs.extract(**other)
    assert not first.paths[2].exists()
    assert set(songs.files()) == {file.name for file in features.paths}


@pytest.mark.parametrize("n_moved", [0, 1, 2])
def test_after_a_kill_while_files_are_replaced_the_next_call_goes_on(songs, log, monkeypatch, n_moved):
    """Then it encodes what has changed once more."""
    songs.extract(reconstructions=2)
    left = [n_moved]

    def move_or_die(path: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        move(path, target)

    many(songs, 3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("saec.extraction.outputs.move", move_or_die)
        songs.extract(reconstructions=2)
    assert not (songs.folder / f"{songs.id}.json").exists()
    with pytest.raises(Fault, match="made otherwise:\n  pooling"):
        songs.extract(pooling="max")
    with monkeypatch.context() as patch:
        patch.setattr(RunSource, "rows", None)
        roles = songs.extract(reconstructions=2).roles
    assert not left_over(songs.folder) and roles["reconstructions"].is_file()
    many(songs, 6)
    log.clear()
    features = songs.extract()
    assert "43 of 46 pictures are as they were" in log.text and not left_over(songs.folder)
    assert_same_files(features, songs.extract(out="unbroken"))


def test_what_a_kill_after_the_json_has_left_is_removed_by_the_next_call(songs, log):
    songs.extract()
    before = songs.files()
    songs.part.mkdir()
    (songs.part / "X.npy").write_bytes(b"rows")
    for name in (f".{songs.id}.json", f".{songs.id}.lock"):
        (songs.folder / name).write_bytes(b"{}")
    songs.extract()
    assert songs.files() == before and not left_over(songs.folder)


def test_batches_that_take_long_are_marked_one_by_one(songs, monkeypatch):
    monkeypatch.setattr("saec.extraction.parts.SECONDS_AT_ONCE", 0)
    interrupted_after(songs, 4)
    assert n_done(songs) == 4


def many(songs: Songs, n: int) -> list[Path]:
    """So many more names of one picture: decoding them takes a while."""
    files = [songs.images / f"z{number:05d}.png" for number in range(n)]
    for file in files:
        if not file.exists():
            os.link(songs.images / songs.names[0], file)
    return files


def test_bad_pictures_change_no_features(songs):
    first = songs.extract()
    assert not left_over(songs.folder)
    before = songs.files()
    (songs.images / "zz.png").write_bytes(b"no PNG")
    with pytest.raises(Fault, match="1 of 41 pictures"):
        songs.extract()
    assert {name: songs.files()[name] for name in before} == before
    without = songs.extract(data={"images": "songs/images", "skip_bad": True}, variant="without")
    assert without.N.tolist() == songs.names and np.array_equal(without.X, first.X)
    (songs.images / "zz.png").unlink()
    assert_same_files(songs.extract(), songs.extract(out="other"))


# Processes that are killed


def start(songs: Songs, session_file: Path) -> BaseProcess:
    return begun_script(
        "main_02_extract", [session_file, "--config", config_file(songs.config)], printed_by(songs)
    )


def end_well(songs: Songs, session_file: Path, words: str = "") -> dict[str, bytes]:
    """Extracts by the script and returns the arrays; the files are moved away."""
    assert words in ended(start(songs, session_file), printed_by(songs))[1]
    assert not left_over(songs.folder)
    files = list(songs.folder.glob("*saec_*.npz"))
    content = {file.name: file.read_bytes() for file in files}
    for file in [*files, songs.folder / f"{songs.id}.json"]:
        file.unlink()
    return content


def printed_by(songs: Songs) -> Path:
    return songs.config.data / "printed.txt"


def n_done(songs: Songs) -> int:
    done = songs.part / "done.npy"
    return sum(done.read_bytes()[128:]) if done.is_file() and done.stat().st_size > 128 else 0


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> tuple[Songs, Path]:
    """Pictures 1152 wide, of which a shard holds 112, and a session file."""
    levels = np.repeat(intensities(400, width=32), 36, axis=2)
    model = {"name": "compact", "widths": [8, 8, 8], "latent": 128, "time_halvings": 2}
    songs = Songs(workplace(tmp_path_factory.mktemp("wide")), levels, model)
    session_file = songs.config.data / "wide.yaml"
    session_file.write_text(yaml.safe_dump(songs.session()))
    return songs, session_file


@pytest.fixture(scope="module")
def unbroken(wide) -> dict[str, bytes]:
    return end_well(*wide)


@pytest.mark.slow
@pytest.mark.parametrize("least", [1, 3])
def test_killed_when_shards_are_done_it_goes_on_and_gives_the_same_bits(wide, unbroken, least):
    songs, session_file = wide
    killed_when(start(songs, session_file), lambda: n_done(songs) >= least, printed_by(songs))
    assert songs.part.is_dir() and not list(songs.folder.glob("*.npz"))
    assert end_well(songs, session_file, "pictures are done") == unbroken


@pytest.mark.slow
def test_killed_while_writing_it_leaves_no_torn_file_and_goes_on(wide, unbroken):
    songs, session_file = wide
    killed_when(
        start(songs, session_file), lambda: any(songs.part.glob(f"made/{TEMPORARY}*.npz")), printed_by(songs)
    )
    assert not list(songs.folder.glob("*.npz"))
    assert end_well(songs, session_file, "going on: 400 of 400 pictures are done") == unbroken


# Disks that get full

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
import {script}
sys.exit({script}.main(sys.argv[1:]))
"""


def with_little_room(songs: Songs, script: str, session: dict, limit: int) -> str:
    """Runs a script that can write no file longer than the limit; returns what it says in the end."""
    file = songs.config.data / "session.yaml"
    file.write_text(yaml.safe_dump(session))
    command = [sys.executable, "-c", LIMITED.format(script=script, limit=limit), str(file)]
    command += ["--config", str(config_file(songs.config))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's length")
def test_a_full_disk_is_a_fault_that_names_the_file_and_what_is_whole_stays(songs):
    words = "cannot be written (File too large): free some room on its disk"
    says = with_little_room(songs, "main_02_extract", songs.session(), 100_000)
    assert f"samples.npy {words}" in says and not list(songs.config.cache.iterdir())
    songs.extract()
    before = songs.files()
    says = with_little_room(songs, "main_02_extract", songs.session(out="other"), 5_000)
    assert f"X.npy {words}" in says and not list((songs.config.data / "other").iterdir())
    many(songs, 60)
    says = with_little_room(songs, "main_02_extract", songs.session(), 100_000)
    assert f"samples.npy {words}" in says
    assert songs.files() == before and not songs.part.exists()
    assert len(songs.extract().N) == N + 60
