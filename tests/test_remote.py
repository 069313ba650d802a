"""Folders of other machines: a real S3 server on this one, a file system in memory, and one that fails."""

import os
import re
import shutil
import urllib.request
from pathlib import Path

import fsspec
import pytest
from conftest import TINY, answer, contents, intensities, refused, training_session, write_pictures
from fsspec.implementations.memory import MemoryFileSystem
from moto import settings as moto_settings
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from small_runs import untrained_run
from sounds import record, tone
from traces import curves, save

import main_00_prepare
import main_01_train
import main_02_extract
import main_03_evaluate
from saec import extract, train
from saec.config import Config
from saec.data import DATA, remote
from saec.data.remote import local_copy, only_listed, why_unsafe
from saec.data.store import Cache
from saec.faults import Fault, MissingFault
from saec.files import DAY_S
from saec.runs import Run
from saec.training.job import go_on

PNG = (".png",)
SECRET = "s3cr3t"
FOLDER = "songs/train/images"


class Failing(MemoryFileSystem):
    """Loses the connection `left` times in the middle of an object."""

    protocol = "failing"
    store, pseudo_dirs = {}, [""]
    left, got = 0, []

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("failing://", "memory://"))

    def get_file(self, rpath, lpath, **options):
        Failing.got.append(rpath)
        if Failing.left:
            Failing.left -= 1
            Path(lpath).write_bytes(b"half")
            raise ConnectionResetError(f"lost https://user:{SECRET}@host/x?token={SECRET}")
        super().get_file(rpath, lpath, **options)


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path) -> S3FileSystem:
    """An empty bucket `songs`."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"id_{SECRET}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    urllib.request.urlopen(f"{server}/moto-api/reset", b"").close()
    s3 = S3FileSystem(skip_instance_cache=True)
    s3.mkdir("songs")
    return s3


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    monkeypatch.setattr(remote, "WAITS_S", (0, 0))
    fsspec.register_implementation("failing", Failing, clobber=True)
    memory = fsspec.filesystem("memory")
    yield memory
    for one in (MemoryFileSystem, Failing):
        one.store.clear()
    Failing.left, Failing.got = 0, []


def put_pictures(system, folder: str, tmp_path: Path, n: int = 12) -> None:
    names = write_pictures(tmp_path / "made", intensities(n))
    for name in names:
        system.pipe(f"{folder}/{name}", (tmp_path / "made" / name).read_bytes())


def n_copied(log) -> int:
    """How many files the last copying had."""
    counts = re.findall(r"(\d+) files \(.* are copied into", log.text)
    log.clear()
    return int(counts[-1]) if counts else 0


def names_in(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_a_training_reads_s3_once_and_goes_on_on_another_machine(s3, config, tmp_path, log):
    put_pictures(s3, FOLDER, tmp_path)
    s3.pipe("songs/labels.csv", b"file,label\nrec00_segm_0000.000.png,a\n")
    session = training_session(data={"kind": "images", "train": f"s3://{FOLDER}/", "valid": 0.3})
    run = train(session | {"training": session["training"] | {"epochs": 1}}, config)
    assert n_copied(log) == 13
    assert run.session.data.train == f"s3://{FOLDER}/"
    copy = local_copy(f"s3://{FOLDER}", config, PNG)
    assert copy.parts[-2:] == ("train", "images") and (copy.parents[1] / "labels.csv").is_file()
    elsewhere = config.model_copy(update={"cache": tmp_path / "elsewhere"})
    whole = go_on(run, elsewhere, epochs=2)
    assert whole.progress.epoch == 2 and n_copied(log) == 13
    assert SECRET.encode() not in b"".join(contents(tmp_path).values()) and SECRET not in log.text


def test_only_what_changed_is_copied_again_and_what_is_gone_goes(s3, config, tmp_path, log):
    log.set_level("INFO", logger="werkzeug")
    for name in ("a.png", "b.png", "deep/c.png", "deep/d.png", ".hidden.png", "notes.doc"):
        s3.pipe(f"songs/x/{name}", name.encode())
    folder = local_copy("s3://songs/x", config, PNG)
    assert names_in(folder) == ["a.png", "b.png", "deep/c.png", "deep/d.png"]
    assert "(2 others, or hidden ones, are of no use here)" in log.text
    times = {name: (folder / name).stat().st_mtime_ns for name in names_in(folder)}
    log.clear()
    assert local_copy("s3://songs/x", config, PNG) == folder
    assert "GET /songs/x/" not in log.text
    s3.pipe("songs/x/a.png", b"A.PNG")  # as long as before
    s3.rm("songs/x/deep/c.png")
    s3.rm("songs/x/deep/d.png")
    local_copy("s3://songs/x", config, PNG)
    assert re.findall(r"GET /songs/(x/\S+)", log.text) == ["x/a.png"]
    assert names_in(folder) == ["a.png", "b.png"] and not (folder / "deep").exists()
    assert (folder / "a.png").read_bytes() == b"A.PNG"
    assert (folder / "b.png").stat().st_mtime_ns == times["b.png"] != (folder / "a.png").stat().st_mtime_ns


def test_sound_of_class_folders_and_tables_is_read_from_memory(memory, config, tmp_path):
    for name in ("dog/a.wav", "dog/b.wav", "cat/a.wav", "cat/b.wav"):
        memory.pipe(f"/field/{name}", record(tmp_path / "made.wav", tone(440)).read_bytes())
    memory.pipe("/field/some.csv", b"file,label\ndog/a.wav,bark\ncat/b.wav,meow\n")

    def listed(location) -> list[tuple[str, str]]:
        table = DATA.parse({"kind": "audio", "train": ""}).at(location, config).samples.table
        return list(zip(table.index, table["label"], strict=True))

    assert listed("memory://field") == [
        ("cat/a.wav", "cat"),
        ("cat/b.wav", "cat"),
        ("dog/a.wav", "dog"),
        ("dog/b.wav", "dog"),
    ]
    assert listed(("memory://field/dog", "memory://field/cat")) == listed("memory://field")
    assert listed("memory://field/some.csv") == [("cat/b.wav", "meow"), ("dog/a.wav", "bark")]
    assert listed("memory://field/dog/b.wav") == [("b.wav", "")]


def test_traces_are_read_from_s3(s3, config, tmp_path):
    for name in ("s1/a.npy", "s1/b.npz", "s2/a.npy"):
        s3.pipe(f"songs/traces/{name}", save(tmp_path / name, curves(20)).read_bytes())
    data = DATA.parse({"kind": "arrays", "train": "", "scale": "none"}).at("s3://songs/traces", config)
    assert data.samples.names.tolist() == ["s1/a", "s1/b", "s2/a"]
    assert data.open().n_frames.tolist() == [20, 20, 20]


def test_a_lost_connection_is_tried_again_and_then_a_fault_after_which_the_rest_is_copied(config, log):
    system = fsspec.filesystem("failing")
    for name in "abcde":
        system.pipe(f"/x/{name}.png", name.encode())
    Failing.left = 2
    folder = local_copy("failing://x", config, PNG)
    assert names_in(folder) == [f"{name}.png" for name in "abcde"] and len(Failing.got) == 7
    assert "it is tried again" in log.text and SECRET not in log.text
    for name in "abcde":
        system.pipe(f"/x/{name}.png", b"new")
    Failing.got, Failing.left = [], 0

    def lose_the_fourth(path: str, local: str, get=Failing.get_file) -> None:
        Failing.left = 3 if path == "/x/d.png" else 0
        get(system, path, local)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Fault) as fault:
        patch.setattr(Failing, "get_file", lambda self, path, local: lose_the_fourth(path, local))
        local_copy("failing://x", config, PNG)
    words = "failing://x/d.png cannot be reached: look at the network, and at AWS_ENDPOINT_URL"
    assert words in str(fault.value) and SECRET not in str(fault.value)
    assert (folder / "d.png").read_bytes() == b"d"  # whole, the old one
    Failing.got, Failing.left = [], 0
    local_copy("failing://x", config, PNG)
    assert {"/x/d.png"} <= {*Failing.got} <= {"/x/d.png", "/x/e.png"}
    assert not [name for name in names_in(folder.parent) if "writing" in name]


def test_a_check_says_what_would_be_copied_and_writes_nothing(memory, config, tmp_path):
    put_pictures(memory, "/check/train", tmp_path)
    put_pictures(memory, "/check/valid", tmp_path, 8)
    data = {"kind": "images", "train": "memory://check/train", "valid": "memory://check/valid"}
    session = training_session(data=data)
    before = contents(tmp_path)
    code, out, text = answer(main_01_train, session, config, "--check")
    assert (code, out) == (0, "") and "train: memory://check/train" in text
    for words in ("12 files (0.00 GB) of memory://check/train", "8 files (0.00 GB) of memory://check/valid"):
        assert words in text
    assert contents(tmp_path).keys() - before.keys() == {"session.yaml"}
    text = refused(main_01_train, session | {"start": {"weights_of": "latest:x"}}, config, "--check")
    assert "no finished run of session 'x'" in text and "8 files" in text
    for part in ("train", "valid"):
        local_copy(f"memory://check/{part}", config, PNG)
    before = contents(config.cache)
    code, _, text = answer(main_01_train, session, config, "--check")
    assert code == 0 and "train 12 pictures, valid 8 pictures" in text and "first" not in text
    assert contents(config.cache) == before


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@songs/x",
        f"https://host/x?token={SECRET}",
        f"https://{SECRET}@host/x",
        f"simplecache::s3://key:{SECRET}@songs/x",
    ],
)
def test_an_address_with_a_password_is_refused_and_never_shown(url, config, tmp_path, log):
    sessions = {
        main_01_train: [
            {"train": url},
            {"train": "songs", "valid": url},
            {"train": [url, "a"]},
            {"train": [url, 3]},
            {"valid": url, "train": 3},
        ],
        main_03_evaluate: [{"images": url}, {"sounds": [url], "images": "demo/valid/images"}],
        main_02_extract: [{"images": url}],
    }
    for script, several in sessions.items():
        for data in several:
            session = {"data": {"kind": "images"} | data, "model": TINY}
            session = {"run": "latest:x", "data": data} if script is main_02_extract else session
            session = data if script is main_03_evaluate else session
            for words in ((), ("--check",)):
                assert SECRET not in refused(script, session, config, *words)
    text = refused(main_00_prepare, {"recordings": "here"}, config, "--set", f"out='{url}")
    assert "is not YAML" in text and SECRET not in text
    text = refused(main_00_prepare, {"recordings": "here"}, config, "--set", f"recordings={url}", "--check")
    assert "recordings: an address must be a name alone" in text and SECRET not in text
    assert SECRET not in refused(main_00_prepare, {"recordings": url}, config)
    for key in ("out", "annotations"):
        assert SECRET not in refused(main_00_prepare, {"recordings": "here", key: url}, config)
    (tmp_path / "session.yaml").unlink()
    assert SECRET not in log.text
    assert SECRET.encode() not in b"".join(contents(tmp_path).values())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3:/songs/x", "s3:/songs/x names no remote folder"),
        ("s3://songs/none", "s3://songs/none holds no file that can be used, there are 0 others"),
        ("s3://songs/other", "holds no file that can be used, there are 1 others"),
        ("s3://nobody/x", "s3://nobody/x is not there: look at the names of its bucket and folders"),
        ("nothing://a/b", "nothing://a/b cannot be opened (ValueError: Protocol not known: nothing)"),
        ("gs://a/b", "gs://a/b needs a package that is not installed"),
        ("file:///tmp", "give a folder of this machine by its path"),
        ("s3://songs/bad", "'songs/bad/../x.png' leads out of its folder"),
        ("s3://songs/both", "names that are one on this disk"),
        ("s3://songs/large", "raise `cache_gb` in the config"),
    ],
)
def test_what_cannot_be_copied_is_a_fault(url, words, s3, config):
    for name in ("other/x.doc", "bad/../x.png", "both/a.png", "both/a.png/b.png", "large/a.png"):
        s3.pipe(f"songs/{name}", 2000 * b"a")
    small = config.model_copy(update={"cache_gb": 1e-6 if "large" in url else 1.0})
    with pytest.raises(Fault, match=re.escape(words)):
        local_copy(url, small, PNG)
    assert not names_in(config.cache) if config.cache.exists() and "both" not in url else True


def test_credentials_rights_and_a_server_that_is_not_there_are_told_apart(s3, config, monkeypatch):
    s3.pipe("songs/x/a.png", b"a")
    with monkeypatch.context() as patch, pytest.raises(MissingFault, match="may not be read, access is deni"):
        patch.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
        local_copy("s3://songs/x", config, PNG)
    for host, words in (
        (f"key:{SECRET}@127.0.0.1:9", "cannot be read"),
        ("127.0.0.1:9", "cannot be reached"),
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
        with pytest.raises(Fault, match=f"s3://songs/x {words}") as fault:
            local_copy("s3://songs/x", config, PNG)
        assert SECRET not in str(fault.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Fault, match="needs credentials: set AWS_ACCESS_KEY_ID and"):
        local_copy("s3://songs/x", config, PNG)


@pytest.mark.parametrize("name", ["", "../a", "a/../b", "/a", "a//b", "./a", "a\\b", "a\nb", 300 * "a"])
def test_names_that_lead_elsewhere_are_never_used(name):
    assert why_unsafe(name, False)


@pytest.mark.parametrize(
    "name", ["con.wav", "a/NUL", "com1.png", "C:/a", "a:b.wav", "a?.wav", "a./b", "a /b.png"]
)
def test_names_that_windows_cannot_have_are_refused_there_alone(name):
    assert why_unsafe(name, True) and not why_unsafe(name, False)


def test_names_that_differ_in_case_alone_are_a_fault_on_disks_that_take_them_for_one(memory, config):
    for name in ("a.png", "A.png", "b.png"):
        memory.pipe(f"/case/{name}", b"a")
    if not config.data.parent.with_name(config.data.parent.name.upper()).exists():  # else it is such a disk
        folder = local_copy("memory://case", config, PNG)
        assert names_in(folder) == ["A.png", "a.png", "b.png"]
        memory.pipe("/case/b.png", b"new")
        base = folder.parent
        base.with_name(base.name.upper()).mkdir()  # as such a disk would answer
    with pytest.raises(Fault, match=r"one on this disk, rename them there:\n  case/A.png\n  case/a.png$"):
        local_copy("memory://case", config, PNG)


def test_features_and_pictures_of_a_remote_folder_need_a_folder_of_this_machine(memory, config, tmp_path):
    put_pictures(memory, "/songs/images", tmp_path)
    run: Run = untrained_run(config)
    session = {"run": run.timestamp, "data": {"images": "memory://songs/images"}, "reduction": None}
    text = refused(main_02_extract, session, config)
    assert "out: features cannot lie beside a remote folder: name a folder of this machine" in text
    features = extract(session | {"out": "features"}, config)
    assert len(features.N) == 12
    assert '"images": "memory://songs/images"' in features.paths[-1].read_text()
    memory.pipe("/field/a.wav", record(tmp_path / "a.wav", tone(440, 1.0)).read_bytes())
    session = {"recordings": "memory://field", "segment_s": 0.2}
    text = refused(main_00_prepare, session, config)
    assert "out: pictures cannot lie beside a remote folder: name a folder of this machine" in text
    code, out, _ = answer(main_00_prepare, session | {"out": "pictures"}, config)
    assert code == 0 and "memory://field" in (Path(out.strip()) / "prepared.json").read_text()
    assert "a path of this machine is expected, got an address, s3://..." in refused(
        main_00_prepare, session | {"out": "s3://songs/out"}, config
    )


def test_the_cache_counts_copies_and_removes_those_that_nobody_has_used_for_long(memory, config):
    for folder in ("old", "new"):
        memory.pipe(f"/{folder}/a.png", 600_000 * b"a")
    old, new = (local_copy(f"memory://{folder}", config, PNG).parent for folder in ("old", "new"))
    cache = Cache(config.cache, gigabytes=1e-3)
    assert "holds 0.00 GB of remote folders" in cache.no_room(1)
    cache.keep("store", lambda folder: {})
    assert old.exists() and new.exists() and cache.holds("store")  # in use
    long_ago = old.stat().st_mtime - 8 * DAY_S
    os.utime(old, (long_ago, long_ago))
    assert not cache.no_room(1)
    cache.keep("other", lambda folder: {})
    assert not old.exists() and new.exists() and cache.holds("store")
    assert local_copy("memory://old", config, PNG).parent.exists()


def test_only_listed_copies_again_afterwards(memory, config: Config):
    memory.pipe("/x/a.png", b"a")
    with only_listed() as waiting, pytest.raises(Fault):
        local_copy("memory://x", config, PNG)
    assert waiting and not config.cache.exists()
    assert local_copy("memory://x", config, PNG).is_dir()


def test_features_are_written_to_s3_and_a_bucket_that_is_not_there_is_never_made(s3, config, tmp_path, log):
    write_pictures(config.data / "images", intensities(12))
    run: Run = untrained_run(config)
    session = {"run": run.timestamp, "data": {"images": "images"}, "reduction": None}
    local = extract(session | {"out": "features"}, config)
    made = extract(session | {"out": "s3://songs/night/features"}, config)
    assert made.paths == tuple(f"s3://songs/night/features/{file.name}" for file in local.paths)
    assert sorted(s3.ls("songs/night/features")) == sorted(path.removeprefix("s3://") for path in made.paths)
    for file, path in zip(local.paths[:-2], made.paths, strict=False):
        assert s3.cat_file(path) == file.read_bytes()
    shutil.rmtree(config.cache)
    log.clear()
    assert extract(session | {"out": "s3://songs/night/features/"}, config) == made
    assert "nothing to do" in log.text
    text = refused(main_02_extract, session | {"out": "s3://nobody/x"}, config)
    assert "out: s3://nobody/x is not there: look at the names of its bucket" in text
    assert s3.ls("") == ["songs"]
    assert SECRET.encode() not in b"".join(contents(tmp_path).values()) and SECRET not in log.text
