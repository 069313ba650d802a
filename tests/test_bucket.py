"""Features in a folder of another machine: written as one set, repaired, added to, and read again."""

import errno
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
from conftest import answer, contents, intensities, refused
from fsspec.implementations.memory import MemoryFileSystem
from small_runs import Songs

import main_02_extract
import main_03_evaluate
from saec import extract
from saec.data import remote
from saec.data.bucket import Bucket
from saec.extraction.outputs import Elsewhere
from saec.extraction.sources.run import RunSource
from saec.faults import Fault, KeptFault
from saec.features import Features
from saec.files import TEMPORARY

URL = "memory://lab/features"
WRITES = ("put_file", "mv", "rm_file")


class Lost(MemoryFileSystem):
    """Raises `error` at the writes of which `left` says how many go well."""

    protocol = "lost"
    error: BaseException | None = None
    left = 0
    written: list[str] = []

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("lost://", "memory://"))

    def _count(self, path: str) -> None:
        Lost.written.append(path.rpartition("/")[2])
        Lost.left -= 1
        if Lost.error and Lost.left < 0:
            raise Lost.error

    def put_file(self, lpath, rpath, **options):
        self._count(rpath)
        super().put_file(lpath, rpath, **options)

    def mv(self, path1, path2, **options):
        self._count(path2)
        super().mv(path1, path2, **options)

    def rm_file(self, path):
        self._count(path)
        super().rm_file(path)

    @classmethod
    def fails(cls, error: BaseException | None, after: int = 0) -> None:
        cls.error, cls.left, cls.written = error, after, []


@pytest.fixture
def songs(config, monkeypatch) -> Songs:
    monkeypatch.setattr(remote, "WAITS_S", (0, 0))
    fsspec.register_implementation("lost", Lost, clobber=True)
    Lost.fails(None)
    yield Songs(config, intensities(12))
    MemoryFileSystem.store.clear()


def stored() -> dict[str, bytes]:
    """What lies in the bucket, by name, but for what a killed trial has left."""
    system = fsspec.filesystem("memory")
    files = {name.rpartition("/")[2]: system.cat_file(name) for name in system.find("/lab/features")}
    return {name: content for name, content in files.items() if not name.startswith(TEMPORARY)}


def assert_stored(expected: Features) -> None:
    """The bucket has these files and no others; but for the JSON they agree bit for bit."""
    mine, theirs = stored(), {file.name: file.read_bytes() for file in expected.paths}
    assert mine.keys() == theirs.keys()
    assert not [name for name in mine if mine[name] != theirs[name] and not name.endswith(".json")]


def elsewhere(songs: Songs) -> None:
    """Forgets the cache, as another machine that knows nothing of what was done."""
    shutil.rmtree(songs.config.cache, ignore_errors=True)


def test_features_in_a_bucket_are_those_of_a_folder_and_a_second_call_does_nothing(songs, log, monkeypatch):
    code, out, _ = answer(main_02_extract, songs.session(out=f"{URL}/"), songs.config)
    local = songs.extract(out="local")
    assert (code, out.splitlines()) == (0, [f"{URL}/{file.name}" for file in local.paths])
    assert_stored(local)
    before = stored()
    assert json.loads(before[f"{songs.id}.json"])["session"]["out"] == URL
    for forget in (lambda songs: None, elsewhere):
        forget(songs)
        monkeypatch.setattr(RunSource, "compute", None)
        assert answer(main_02_extract, songs.session(out=URL), songs.config)[:2] == (0, out)
        assert "nothing to do" in log.text and stored() == before
        copied = {file.name for file in songs.config.cache.glob("remote_*/*")}
        assert copied == {"about.json", f"{songs.id}.json"}
        log.clear()


def test_from_python_features_in_a_bucket_are_addresses_and_other_settings_are_refused(songs):
    made = songs.extract(out=URL)
    assert isinstance(made, Elsewhere) and made.roles["pooled"] in made.paths
    for forget in (lambda songs: None, elsewhere):
        forget(songs)
        with pytest.raises(Fault, match=f"{URL} holds features {songs.id} made otherwise:\n  pooling"):
            songs.extract(out=URL, pooling="max")
    songs.extract(out=URL, pooling="max", overwrite=True)
    assert_stored(whole := songs.extract(out="max", pooling="max"))
    fsspec.filesystem("memory").rm_file(f"/lab/features/{whole.roles['pooled'].name}")
    songs.extract(out=URL, pooling="max")
    assert_stored(whole)
    fsspec.filesystem("memory").rm_file(f"/lab/features/{songs.id}.json")
    with pytest.raises(Fault, match=f"of which no {songs.id}.json speaks"):
        songs.extract(out=URL)


def test_pictures_that_were_added_are_encoded_alone_and_what_is_the_same_is_not_written_again(songs, log):
    songs.extract(out="lost://lab/features")
    elsewhere(songs)
    Lost.fails(None)
    songs.extract(out="lost://lab/features", variant="max", pooling="max")
    assert "12 of 12 pictures are as they were" in log.text
    put = [name for name in Lost.written if ".made." in name and "max" in name]
    assert len({*put}) == 3  # latents, pooled features, JSON
    elsewhere(songs)
    for number in range(4):
        shutil.copy(songs.images / songs.names[0], songs.images / f"z{number}.png")
    for changes in ({}, {"variant": "max", "pooling": "max"}):
        songs.extract(out=URL, **changes)
    assert "12 of 16 pictures are as they were" in log.text
    local = [songs.extract(out="local"), songs.extract(out="local", variant="max", pooling="max")]
    mine = stored()
    for features in local:
        assert all(mine[file.name] == file.read_bytes() for file in features.paths[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("forget", [lambda songs: None, elsewhere])
def test_a_kill_at_any_write_leaves_the_old_set_or_what_the_next_call_ends(songs, forget):
    new, url = songs.extract(out="local", pooling="max"), "lost://lab/features"
    songs.extract(out=url)
    before, store = stored(), dict(MemoryFileSystem.store)
    for n_done in range(30):
        elsewhere(songs)
        MemoryFileSystem.store.clear()
        MemoryFileSystem.store.update(store)
        Lost.fails(KeyboardInterrupt(), after=n_done)
        try:
            songs.extract(out=url, pooling="max", overwrite=True)
            break
        except KeyboardInterrupt:
            Lost.fails(None)
        forget(songs)
        there = stored()
        is_old = there.get(f"{songs.id}.json") == before[f"{songs.id}.json"]
        if f"{songs.id}.json" in there:  # a whole set
            kept = before if is_old else {file.name: file.read_bytes() for file in new.paths[:-1]}
            assert {name: there[name] for name in kept} == kept
        songs.extract(out=url, pooling="max", overwrite=is_old)
        assert_stored(new)
    assert n_done > 10


FAILURES = {
    "denied": (PermissionError("Forbidden"), "may not be written, access is denied: look at the credentials"),
    "full": (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    "lost": (ConnectionResetError("reset"), "cannot be reached: look at the network"),
    "reads only": (NotImplementedError(), "cannot be written: its file system does not do that"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_bucket_that_cannot_be_written_is_one_message_and_nothing_there_is_harmed(songs, case):
    error, words = FAILURES[case]
    url = "lost://lab/features"
    songs.extract(out=url)
    before = stored()
    session = songs.session(out=url, pooling="max", overwrite=True)
    for n_done in (0, 3, 4):  # the trial before anything is computed, the first file, and the JSON
        Lost.fails(error, after=n_done)
        text = refused(main_02_extract, session, songs.config)
        assert words in text and ("what was computed is kept" in text) == bool(n_done)
        Lost.fails(None)
        there = stored()
        assert {name: there[name] for name in before} == before
    assert answer(main_02_extract, session, songs.config)[0] == 0
    assert_stored(songs.extract(out="local", pooling="max"))


def test_a_check_writes_nothing_and_says_what_it_cannot_know(songs, tmp_path):
    code, out, text = answer(main_02_extract, songs.session(out=URL), songs.config, "--check")
    assert (code, out, stored()) == (0, "", {}) and not songs.config.cache.exists()
    assert f"files of {songs.id} in {URL}: new" in text
    assert "whether it can be written there shows when the work begins" in text
    songs.extract(out=URL)
    before = contents(tmp_path), stored()
    assert f"in {URL}: same" in answer(main_02_extract, songs.session(out=URL), songs.config, "--check")[2]
    assert (contents(tmp_path), stored()) == before
    elsewhere(songs)
    text = answer(main_02_extract, songs.session(out=URL), songs.config, "--check")[2]
    assert f"first 1 files (0.00 GB) of {URL} are copied" in text and not songs.config.cache.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out": "file:///tmp/x"}, "give a folder of this machine by its path"),
        ({"out": "nothing://a/b"}, "nothing://a/b cannot be opened (ValueError: Protocol not known"),
        ({"out": "gs://a/b"}, "gs://a/b needs a package that is not installed"),
        ({"out": "s3://key:s3cr3t@lab/x"}, "an address must be a name alone"),
        ({"out": "memory://a/b[1]"}, "b[1] cannot be written to: [ in the names of its folders"),
        ({"out": "memory://songs", "data": {"images": "memory://songs"}}, "holds the pictures themselves"),
    ],
)
def test_an_address_that_cannot_be_written_to_is_a_fault(songs, changes, words):
    for name in songs.names:
        fsspec.filesystem("memory").pipe(f"/songs/{name}", (songs.images / name).read_bytes())
    for check in ((), ("--check",)):
        if not (check and "data" in changes):  # which would be copied first
            text = refused(main_02_extract, songs.session(**changes), songs.config, *check)
            assert words in text and "s3cr3t" not in text


@pytest.mark.usefixtures("small_batches")
def test_shards_of_one_cache_are_put_together_in_the_bucket_and_those_of_another_are_not_there(
    songs, tmp_path, log
):
    def shard(words: str, cache: str = "cache"):
        config = songs.config.model_copy(update={"cache": tmp_path / cache})
        return extract(songs.session(out=URL), config, shard=words)

    assert shard("0/2").paths == shard("1/2", "other").paths == () and not stored()
    assert f"shard 1/2 is complete, others are not yet: all must lie in {tmp_path / 'other'}" in log.text
    made = shard("1/2")
    assert made.paths[-1] == f"{URL}/{songs.id}.json"
    assert_stored(songs.extract(out="local"))
    assert shard("0/2", "other").paths == made.paths  # nothing is left to do


def test_processes_of_torchrun_write_one_set(songs, monkeypatch):
    whole = songs.extract(out="local")
    given = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for index in ("1", "0"):
        monkeypatch.setenv("RANK", index)
        made = songs.extract(out=URL)
    assert len(made.paths) == 3
    assert_stored(whole)


def test_what_was_not_written_is_written_by_the_next_call_which_computes_nothing(songs, monkeypatch):
    Lost.fails(ConnectionResetError(), after=3)
    with pytest.raises(KeptFault, match="what was computed is kept"):
        songs.extract(out="lost://lab/features")
    Lost.fails(None)
    monkeypatch.setattr(RunSource, "rows", None)
    songs.extract(out="lost://lab/features")
    monkeypatch.undo()
    assert_stored(songs.extract(out="local"))
    assert not [*songs.config.cache.glob("remote_*/.saec*")]


def test_uploads_that_another_machine_removes_are_written_by_the_next_call(songs, monkeypatch):
    url = "lost://lab/features"
    songs.extract(out=url)

    def rm_file(self, path):
        for name in [name for name in self.store if ".made." in name]:
            del self.store[name]
        MemoryFileSystem.rm_file(self, path)

    monkeypatch.setattr(Lost, "rm_file", rm_file)
    with pytest.raises(KeptFault, match="what was computed is kept"):
        songs.extract(out=url, pooling="max", overwrite=True)
    monkeypatch.undo()
    songs.extract(out=url, pooling="max")
    assert_stored(songs.extract(out="local", pooling="max"))


def test_files_that_are_still_being_written_or_lead_out_of_the_cache_are_not_copied(songs):
    pooled = songs.extract(out=URL).roles["pooled"].rpartition("/")[2]
    for name in (f".{songs.id}.made.{pooled}", "saec_a\\..\\other.json"):
        fsspec.filesystem("memory").pipe(f"/lab/features/{name}", b"half")
    bucket = Bucket(URL, songs.config)
    assert [file.name for file in bucket.copies("*pooled*.npz")] == [pooled]
    assert not [*bucket.folder.glob(".*.made.*"), *bucket.folder.glob("*other.json")]


@pytest.mark.slow
def test_a_map_in_a_bucket_is_kept_and_its_features_are_evaluated(songs, tmp_path):
    reduction = {"dims": [2], "n_neighbors": 4}
    first = songs.extract(out=URL, reduction=reduction)
    elsewhere(songs)
    for like in (songs.id, first.paths[-1]):
        later = songs.extract(out=URL, variant="later", reduction={"like": like}, overwrite=True)
    about = json.loads(stored()[later.paths[-1].rpartition("/")[2]])
    assert about["session"]["reduction"]["like"] == first.paths[-1]
    shutil.copytree(songs.images, songs.folder / "more")
    local = songs.extract(out="local", reduction=reduction)
    names = [f"dimred_2_neigh_4_{songs.id}{variant}.npz" for variant in ("", "_later")]
    np.savez(tmp_path / "first.npz", **np.load(local.roles["reduced_2"]))
    for name in names:
        (tmp_path / name).write_bytes(stored()[name])
        np.testing.assert_allclose(np.load(tmp_path / name)["X_red"], local.X_red, atol=1e-6)
    rows = [f"{name},{'ab'[number % 2]}" for number, name in enumerate(songs.names)]
    (songs.folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    kmeans = {"name": "kmeans", "sweep": [2], "resamples": 2}
    session = {"images": "songs/images", "features": first.roles["pooled"], "evaluations": [kmeans]}
    session |= {"explorer": None, "inspect": False, "pixels": False}
    elsewhere(songs)
    code, out, text = answer(main_03_evaluate, session, songs.config)
    assert code == 0, text
    fetched = {file.name for file in songs.config.cache.glob("remote_*/*.npz")}
    assert fetched == {Path(first.roles["pooled"]).name, names[0]}
    session["features"] = f"{URL}/pooled_none_*.npz"
    assert f"no file matches {URL}/pooled_none_*.npz" in refused(main_03_evaluate, session, songs.config)
