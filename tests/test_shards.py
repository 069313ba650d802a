"""Several processes compute shards of an extraction; what they give together is what one process gives."""

import json
import os
import signal
from dataclasses import replace

import fsspec
import numpy as np
import pytest
from conftest import intensities
from small_runs import Songs, assert_same_files

from saec import extract
from saec.extraction import on_ray
from saec.extraction.job import ExtractionJob
from saec.extraction.sources.run import RunSource
from saec.faults import Fault
from saec.files import locked

N = 23
pytestmark = pytest.mark.usefixtures("small_batches")


@pytest.fixture
def songs(config) -> Songs:
    return Songs(config, intensities(N))


def shard(songs: Songs, words: str, **changes):
    return extract(songs.session(**changes), songs.config, shard=words)


def test_shards_give_together_the_bits_of_one_process_and_leave_nothing(songs):
    whole = songs.extract(out="whole")
    assert [shard(songs, f"{index}/3").paths for index in (2, 0)] == [(), ()]
    assert not list(songs.folder.glob("*.npz"))
    parts = shard(songs, "1/3")
    assert_same_files(parts, whole)
    assert not list(songs.folder.glob(".*"))
    assert shard(songs, "0/3").paths == parts.paths  # nothing is left to do


def test_one_call_without_a_shard_takes_what_is_there_and_computes_the_rest(songs, log):
    whole = songs.extract(out="whole")
    shard(songs, "1/4")
    shard(songs, "1/2")
    parts = songs.extract()
    assert "going on: 11 of 23 pictures are done" in log.text
    assert_same_files(parts, whole)


def test_a_shard_that_was_killed_is_computed_again_alone(songs):
    shard(songs, "0/2")
    folder = songs.folder / f".{songs.id}.shard-0-of-2.part"
    done = np.load(folder / "done.npy", mmap_mode="r+")
    done[-1] = False
    done.flush()
    del done  # Windows removes no file that is mapped
    assert shard(songs, "1/2").paths == ()
    assert shard(songs, "0/2").paths[-1].name == f"{songs.id}.json"


@pytest.mark.parametrize("fact", ["settings", "samples", "versions"])
def test_a_shard_of_something_else_is_refused_and_nothing_is_lost(songs, log, fact):
    shard(songs, "0/2")
    plan = songs.folder / f".{songs.id}.shard-0-of-2.part" / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {fact: "other"}))
    assert shard(songs, "1/2").paths == ()
    assert f"shard 0/2 in {plan.parent} is of other {fact}" in log.text
    with pytest.raises(Fault, match=f"shard 0/2 in .* is of other {fact}: call again with --shard 0/2"):
        songs.extract()
    assert shard(songs, "0/2").paths  # which goes over it again


def test_nothing_is_put_together_while_a_shard_is_at_work(songs, monkeypatch):
    monkeypatch.setattr("saec.extraction.job.LOOK_S", 0)
    shard(songs, "0/2")
    with (
        locked(songs.folder / f".{songs.id}.shard-0-of-2.lock", "the shard"),
        pytest.raises(Fault, match="another process is at work on shard 0/2"),
    ):
        songs.extract()
    with locked(songs.folder / f".{songs.id}.lock", "two merges at once"):
        assert shard(songs, "1/2").paths == ()
        with locked(songs.folder / f".{songs.id}.shard-1-of-2.lock", "which holds all shards"):
            assert shard(songs, "1/2").paths == ()
    with (
        locked(songs.folder / f".{songs.id}.shard-1-of-2.lock", "the same shard, twice"),
        pytest.raises(Fault, match="another process is at work on shard 1/2"),
    ):
        shard(songs, "1/2")
    assert songs.extract().paths


def test_a_damaged_shard_is_named_and_computed_again(songs, log):
    shard(songs, "0/2")
    (songs.folder / f".{songs.id}.shard-0-of-2.part" / "X.npy").write_bytes(b"cut")
    assert shard(songs, "1/2").paths == ()
    assert "shard-0-of-2.part/X.npy is damaged" in log.text.replace("\\", "/")
    assert shard(songs, "0/2").paths


def test_a_late_process_of_shards_that_overwrite_finds_what_others_have_put_together(songs, monkeypatch):
    before = songs.extract().paths
    shard(songs, "0/2", overwrite=True)
    late, run_all = [], ExtractionJob._run_all

    def after_another(job):
        run_all(replace(job, shard=None))
        monkeypatch.setattr(ExtractionJob, "_run_all", run_all)
        monkeypatch.setattr(RunSource, "compute", lambda *_: late.append(1))
        return run_all(job)

    monkeypatch.setattr(ExtractionJob, "_run_all", after_another)
    assert shard(songs, "1/2", overwrite=True).paths == before and not late


@pytest.mark.parametrize("words", ["4/4", "1", "-1/2", "a/b"])
def test_a_shard_that_cannot_be_is_a_fault(songs, words):
    with pytest.raises(Fault, match="--shard: its number and how many there are, such as 0/4 to 3/4"):
        shard(songs, words)


def test_more_shards_than_batches_are_no_fault(songs):
    results = [shard(songs, f"{index}/15").paths for index in range(15)]
    assert not any(results[:-1])
    assert results[-1]


def test_processes_of_torchrun_compute_a_shard_each(songs, monkeypatch):
    whole = songs.extract(out="whole")
    given = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "1")
    assert songs.extract().paths == ()
    monkeypatch.setenv("RANK", "0")
    assert_same_files(songs.extract(), whole)


@pytest.mark.parametrize(
    ("processes", "words"),
    [
        ({"engine": "ray", "shard": "0/2"}, "--shard: a cluster parts the work itself: leave it out"),
        ({"engine": "ray", "address": "127.0.0.1:1"}, "the Ray cluster 127.0.0.1:1 does not answer"),
        ({"address": "auto"}, "--address: is that of a Ray cluster: add --engine ray"),
    ],
)
def test_processes_that_do_not_fit_are_a_fault(songs, processes, words):
    with pytest.raises(Fault, match=words):
        extract(songs.session(), songs.config, **processes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray's own settings
def test_a_ray_cluster_gives_the_same_bits_though_a_process_of_it_is_killed(songs, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    whole, flag = songs.extract(out="whole"), tmp_path / "killed"
    encode = on_ray.Encoder.__call__

    def killed_once(self, given):
        if given["batch"][0] == 5 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(self, given)

    monkeypatch.setattr(on_ray.Encoder, "__call__", killed_once)
    ray.cloudpickle.register_pickle_by_value(on_ray)  # so that processes of the cluster have the changed one
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    try:
        made = extract(songs.session(out="memory://ray/features"), songs.config, engine="ray")
        there = fsspec.filesystem("memory")
        assert made.paths == tuple(f"memory://ray/features/{file.name}" for file in whole.paths)
        for file, path in zip(whole.paths[:-1], made.paths, strict=False):
            assert there.cat_file(path) == file.read_bytes()
    finally:
        ray.cloudpickle.unregister_pickle_by_value(on_ray)
        ray.shutdown()
    assert flag.exists()
