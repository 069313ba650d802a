"""Several processes compute shards of an extraction; what they give together is what one process gives."""

import pytest
from conftest import intensities
from small_runs import Songs

from saec import extract

N, BATCH = 23, 2


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", BATCH * 128 * 32)


@pytest.fixture
def songs(config) -> Songs:
    return Songs(config, intensities(N))


def shard(songs: Songs, words: str, **changes):
    return extract(songs.session(**changes), songs.config, shard=words)


def test_shards_give_together_the_bits_of_one_process_and_leave_nothing(songs):
    whole = songs.extract(variant="whole")
    assert [shard(songs, f"{index}/3", variant="parts").paths for index in (2, 0)] == [(), ()]
    assert not list(songs.folder.glob("*_parts.npz"))
    parts = shard(songs, "1/3", variant="parts")
    for mine, theirs in zip(parts.paths[:-1], whole.paths[:-1], strict=True):
        assert mine.read_bytes() == theirs.read_bytes()
    assert not list(songs.folder.glob(".*"))
    assert shard(songs, "0/3", variant="parts").paths == parts.paths  # nothing is left to do
