"""Pictures packed into tars or Parquet, against the folder that was packed."""

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from conftest import answer, extraction_session, has_words, intensities, refused, write_pictures
from small_runs import untrained_run
from sounds import record, tone

import main_00_prepare
import main_02_extract
import main_03_evaluate
from saec import extract
from saec.data import DATA
from saec.data.batch import Dataset
from saec.data.images import Images
from saec.data.packed import write_shards
from saec.data.photos import Photos
from saec.data.store import Cache
from saec.faults import Fault

PACKED = "songs/packed"
Change = Callable[[Path], None]


def as_tar(folder: Path, to: Path) -> None:
    write_shards(sorted(folder.glob("*.png")), to, 5)


def as_parquet(folder: Path, to: Path, struct: bool = False, shuffled: bool = True) -> None:
    """Two files of rows in no order, four a group; with `struct` as data sets of others have them."""
    parquet, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    to.mkdir(parents=True, exist_ok=True)
    files = sorted(folder.glob("*.png"))
    files = [files[n] for n in np.random.default_rng(0).permutation(len(files))] if shuffled else files
    for number, some in enumerate((files[:7], files[7:])):
        columns = {"name": [file.name for file in some], "bytes": [file.read_bytes() for file in some]}
        if struct:
            pairs = zip(columns["name"], columns["bytes"], strict=True)
            columns = {"image": [{"bytes": content, "path": name} for name, content in pairs]}
            columns["label"] = [int(file.name[4]) for file in some]
        table = pa.table(columns)
        if struct:
            names = {"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
        parquet.write_table(table, to / f"{number}.parquet", row_group_size=4)


def added(tar: Path, contents: dict[str, bytes | tarfile.TarInfo], **pax: str) -> Path:
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "a") as archive:
        for name, content in contents.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.pax_headers = pax
            info.size = len(content) if isinstance(content, bytes) else 0
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return tar


def rows(data: Dataset) -> np.ndarray:
    values, _ = data.stored.gather(np.arange(data.stored.shape[0]))
    return np.asarray(values)


@pytest.fixture
def folder(config) -> Path:
    folder = config.data / "songs" / "images"
    names = write_pictures(folder, intensities(12))
    table = pd.DataFrame({"file": names, "label": ["a", "b", "c"] * 4})
    table.to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.mark.parametrize("gigabytes", [1, 0], ids=["stored", "streamed"])
@pytest.mark.parametrize("pack", [as_tar, as_parquet])
def test_shards_are_as_the_folder_that_was_packed(pack, gigabytes, folder, tmp_path):
    to = tmp_path / "packed"
    pack(folder, to)
    shutil.copy(folder / "labels.csv", to)
    cache = Cache(tmp_path / "cache", gigabytes)
    for kind in (Images, lambda *at: Photos(*at, size=(32, 32))):
        one, other = kind(folder, cache).open(), kind(to, cache).open()
        assert other.samples.table.equals(one.samples.table) and other.samples.classes == ["a", "b", "c"]
        assert np.array_equal(rows(other), rows(one)) and other.about == one.about


@pytest.mark.parametrize("pack", [as_tar, as_parquet])
def test_features_of_shards_equal_those_of_the_folder_bit_for_bit(pack, folder, config):
    pack(folder, config.data / PACKED)
    run = str(untrained_run(config).folder)
    one = extract(extraction_session(run), config)
    other = extract(extraction_session(run, data={"images": PACKED}), config)
    with np.load(one.paths[0]) as one, np.load(other.paths[0]) as other:
        assert one.files == other.files
        assert all(np.array_equal(one[key], other[key]) for key in one.files)


PNG = b"not decoded"
LABEL = {"label": {"names": ["a"]}}
CLASSES = {f"song{n}.cls": label for n, label in enumerate((b"a\n", b"b", b"a"))}


def test_labels_are_those_of_a_table_beside_shards_else_those_within(folder, tmp_path, log):
    small = (folder / "rec00_segm_0000.000.png").read_bytes()
    names, hidden = (
        ["song0.png", "song1.png", "song2.left.png", "song2.right.png"],
        ["._song0.cls", "._a.png"],
    )
    added(tmp_path / "a" / "0.TAR", {f"./{name}": small for name in names + hidden} | CLASSES)
    added(tmp_path / "a" / "1.tar", {"song3.json": b'{"label": "c", "split": "VAL", "site": 7, "x": []}'})
    added(tmp_path / "a" / "1.tar", {"song3.png": small})
    samples = Images(tmp_path / "a", Cache(tmp_path / "cache")).samples
    assert samples.names.tolist() == sorted([*names, "song3.png"])
    assert samples.labels.tolist() == ["a", "b", "a", "a", "c"]
    assert samples.table["site"].tolist() == ["", "", "", "", "7"]
    (tmp_path / "a" / "labels.csv").write_text("file,label\nsong0.png,z\n")
    assert Images(tmp_path / "a", Cache(tmp_path / "cache")).samples.labels.tolist() == ["z", "", "", "", ""]
    assert "not used" not in log.text
    added(tmp_path / "a" / "1.tar", {"gone.cls": b"a", "labels.csv": b"file,label"})
    added(tmp_path / "a" / "2.tar", {"labels.csv": b"file,label"})
    assert len(Images(tmp_path / "a", Cache(tmp_path / "cache")).samples) == 5
    assert "2 files in shards are of no picture, tables belong beside shards:\n  labels" in log.text
    as_parquet(folder, tmp_path / "b", struct=True)
    (folder / "labels.csv").unlink()
    one, other = (Images(at, Cache(tmp_path / "cache")) for at in (folder, tmp_path / "b"))
    assert other.samples.names.tolist() == one.samples.names.tolist()
    assert other.samples.labels.tolist() == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert np.array_equal(rows(other.open()), rows(one.open()))


def test_class_folders_tables_and_links_work_within_shards(folder, tmp_path):
    files, cache = sorted(folder.glob("*.png")), Cache(tmp_path / "cache")
    link = tarfile.TarInfo("b/y.png")
    link.type, link.linkname = tarfile.LNKTYPE, "a/x.png"
    added(tmp_path / "t" / "0.tar", {"a/x.png": files[0].read_bytes(), "b/y.png": link})
    added(tmp_path / "t" / "sub" / "0.tar", {"x.png": files[1].read_bytes()})
    data = Images(tmp_path / "t", cache, recursive=True).open()
    assert data.samples.names.tolist() == ["a/x.png", "b/y.png", "sub/x.png"]
    assert data.samples.labels.tolist() == ["a", "b", "sub"]
    of = Images(folder, cache).open().stored
    assert np.array_equal(rows(data), np.asarray(of.gather(np.array([0, 0, 1]))[0]))
    (tmp_path / "t" / "some.csv").write_text("file,label\nb/y.png,z\n")
    data = Images(tmp_path / "t" / "some.csv", cache).open()
    assert data.samples.labels.tolist() == ["z"]
    assert np.array_equal(rows(data)[0], rows(Images(folder, cache).open())[0])


def cut(n: int) -> Change:
    def change(folder: Path) -> None:
        tar = added(folder / "1.tar", {"x.png": PNG * 99})
        tar.write_bytes(tar.read_bytes()[:n])

    return change


def holding(**contents: bytes) -> Change:
    return lambda folder: added(folder / "1.tar", {"/".join(k.split("__")): v for k, v in contents.items()})


def a_giant_header(folder: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (folder / "1.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * tarfile.RECORDSIZE))


def of_two_tars(folder: Path) -> None:
    one = (folder / "0.tar").read_bytes()
    (folder / "0.tar").write_bytes(one + one)


def with_symbolic_link(folder: Path) -> None:
    link = tarfile.TarInfo("x.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    added(folder / "1.tar", {"x.png": link})


def with_a_picture_beside(folder: Path) -> None:
    (folder / "beside.png").write_bytes(PNG)


def parquet_of(classes: bool = False, twice: bool = False, **columns: Any) -> Change:
    def change(folder: Path) -> None:
        (folder / "0.tar").unlink()
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = pa.table(columns)
        if classes:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": LABEL}})})
        if twice:
            table = table.append_column("bytes", table["bytes"])
        parquet.write_table(table, folder / "0.parquet")

    return change


def in_a_folder(folder: Path) -> None:
    (folder / "0.tar").unlink()
    added(folder / "0.tar", {"songs/a.png": PNG})


def renamed(name: str) -> Change:
    return lambda folder: (folder / "0.tar").rename(folder / name)


FAULTS: dict[str, tuple[Change, str]] = {
    "cut within a picture": (cut(900), "1.tar cannot be read as a tar ... copy it again"),
    "cut behind a picture": (
        cut(2048),
        "1.tar is truncated or damaged at byte 2,048: copy or write it again",
    ),
    "compressed": (renamed("0.tar.gz"), "0.tar.gz is compressed: write its files into a tar that is not"),
    "no tar": (
        lambda folder: (folder / "1.tar").write_bytes(b"\x1f\x8b" + PNG),
        "1.tar cannot be read as a tar",
    ),
    "a giant header": (
        a_giant_header,
        "1.tar cannot be read as a tar (1,099,511,627,776 bytes are no",
    ),
    "a giant size": (
        lambda folder: added(folder / "1.tar", {"x.png": PNG}, size=str(10**30)),
        "1.tar cannot be read as a tar",
    ),
    "sparse": (
        lambda folder: added(folder / "1.tar", {"x.png": PNG}, **{"GNU.sparse.map": "a"}),
        "1.tar cannot be read as a tar",
    ),
    "two tars joined": (
        of_two_tars,
        "0.tar is truncated or damaged ... do not join tars",
    ),
    "one name twice in a tar": (
        lambda folder: added(folder / "0.tar", {"./a.png": PNG}),
        "0.tar holds a.png more than once",
    ),
    "two labels": (
        holding(**{"x.cls": b"a", "x.json": b'{"label": "b"}', "x.png": PNG}),
        "1.tar holds x.json, whose label another file denies",
    ),
    "labels that are no text": (
        holding(**{"x.json": b'{"label": "\\ud800"}'}),
        "1.tar holds x.json, which is no text or no JSON",
    ),
    "a link that leads nowhere": (
        lambda folder: (folder / "1.tar").symlink_to("nowhere"),
        "1.tar leads nowhere or is no file: remove it",
    ),
    "one name twice": (holding(**{"a.png": PNG}), "1 name is there more than once ... a.png"),
    "absolute": (holding(**{"__etc__x.png": PNG}), "1 name is outside the folder ... '/etc/x.png'"),
    "up": (holding(**{"..__x.png": PNG}), "1 name is outside the folder ... '../x.png'"),
    "a symbolic link": (
        with_symbolic_link,
        "1.tar holds the link or device x.png: write it with `tar --deref",
    ),
    "labels that are no JSON": (
        holding(**{"a.json": b"{"}),
        "1.tar holds a.json, which is no text or no JSON",
    ),
    "labels that are a list": (holding(**{"a.json": b"[]"}), "1.tar holds a.json, which must be a mapping"),
    "pictures beside": (
        with_a_picture_beside,
        "holds beside.png and shards with a.png: put shards into a folder",
    ),
    "all in a folder": (in_a_folder, "directly in ... some in ... songs: say `data.recursive: true`"),
    "no picture": (renamed("0.txt"), "no *.png directly in"),
    "Parquet without bytes": (
        parquet_of(name=["a.png"]),
        "0.parquet has no column bytes or image with bytes",
    ),
    "Parquet without names": (
        parquet_of(bytes=[PNG]),
        "0.parquet needs the columns bytes or image ... it has bytes",
    ),
    "Parquet with a name missing": (
        parquet_of(name=["a.png", None], bytes=[PNG, PNG]),
        "0.parquet has no name in row 1: name is None",
    ),
    "Parquet with names of bytes": (
        parquet_of(name=[b"a.png"], bytes=[PNG]),
        "0.parquet has no name in row 0: name is b'a.png'",
    ),
    "Parquet with a mapping missing": (
        parquet_of(image=[{"bytes": PNG, "path": "a.png"}, None]),
        "0.parquet has no name in row 1: image.path is None",
    ),
    "Parquet with a class too many": (
        parquet_of(classes=True, name=["a.png"], bytes=[PNG], label=[1]),
        "0.parquet has label 1 in row 0, but names 1 classes",
    ),
    "Parquet with a column twice": (
        parquet_of(twice=True, name=["a.png"], bytes=[PNG]),
        "0.parquet has more than one column bytes",
    ),
    "Parquet of giant groups": (
        parquet_of(name=["a.png"], bytes=[bytes(1 << 16)]),
        "0.parquet has groups of up to 0.0 GB, which are read whole: write it with fewer rows in each",
    ),
    "Parquet of text": (parquet_of(name=["a.png"], bytes=["text"]), "0.parquet has no column bytes"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_shards_that_cannot_be_used_are_refused_before_anything_is_read(case, tmp_path, monkeypatch):
    change, words = FAULTS[case]
    monkeypatch.setattr("saec.data.shards.MOST_IN_GROUP", 1 << 15)
    added(tmp_path / "packed" / "0.tar", {"a.png": PNG})
    change(tmp_path / "packed")
    with pytest.raises(Fault) as fault:
        Images(tmp_path / "packed", Cache(tmp_path / "cache"))
    assert has_words(str(fault.value), words)


def test_parquet_needs_pyarrow_unless_it_is_a_table_beside_pictures(folder, tmp_path, monkeypatch):
    as_parquet(folder, tmp_path / "packed")
    shutil.copy(tmp_path / "packed" / "0.parquet", folder / "labels.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Fault, match=r'0.parquet needs pyarrow: pip install -e "\.\[parquet\]"'):
        Images(tmp_path / "packed", Cache(tmp_path / "cache"))
    assert len(Images(folder, Cache(tmp_path / "cache")).samples) == 12


def test_a_shard_written_anew_is_read_anew_and_one_that_changes_is_a_fault(folder, tmp_path):
    as_tar(folder, tmp_path / "packed")
    cache = Cache(tmp_path / "cache", 0)
    one = Images(tmp_path / "packed", cache)
    (tmp_path / "packed" / "000002.tar").unlink()
    other = Images(tmp_path / "packed", cache)
    assert len(other.samples) == 10 and other.fingerprint != one.fingerprint
    data = other.open()
    added(tmp_path / "packed" / "000001.tar", {"more.png": PNG})
    with pytest.raises(Fault, match="is no longer as it was when it was checked"):
        rows(data)


def test_the_preparation_packs_pictures_which_a_second_call_finds(config, tmp_path):
    record(config.data / "songs" / "a.wav", tone(400, 1.0))
    record(config.data / "songs" / "b.wav", tone(900, 1.0))
    session = {"recordings": "songs", "out": "plain", "sample_rate": 8000, "segment_s": 0.1, "n_fft": 64}
    session |= {"hop_length": 16, "equalize": False}
    assert answer(main_00_prepare, session, config)[0] == 0
    for _ in range(2):
        code, out, _ = answer(main_00_prepare, session | {"out": "packed", "pack": 10}, config)
        assert code == 0 and Path(out.strip()) == config.data / "packed"
    plain, packed = (Images(config.data / name, Cache.of(config)) for name in ("plain", "packed"))
    names = plain.samples.names.tolist()
    assert packed.samples.names.tolist() == names and len(names) > 20
    assert not list((config.data / "packed").glob("*.png")) and not list(config.data.glob(".*"))
    assert (config.data / "packed" / "000002.tar").is_file()
    for table in ("prepared.csv", "_feature_extraction_parameters.json"):
        assert (config.data / "packed" / table).read_bytes() == (config.data / "plain" / table).read_bytes()
    assert np.array_equal(rows(packed.open()), rows(plain.open()))
    (config.data / "packed" / "000001.tar").unlink()
    assert "exists and was not prepared" in refused(
        main_00_prepare, session | {"out": "packed", "pack": 10}, config
    )


def test_shards_are_copied_from_other_machines(folder, config, tmp_path):
    as_tar(folder, tmp_path / "packed")
    memory = fsspec.filesystem("memory")
    for file in (tmp_path / "packed").iterdir():
        memory.pipe(f"/bucket/packed/{file.name}", file.read_bytes())
    options = DATA.parse({"kind": "images", "train": ""})
    kind = options.at("memory://bucket/packed", config)
    assert np.array_equal(rows(kind.open()), rows(Images(folder, Cache.of(config)).open()))
    memory.store.clear()


@pytest.mark.slow
def test_features_of_shards_are_evaluated_with_pictures_on_the_page(folder, config):
    as_tar(folder, config.data / PACKED)
    shutil.move(folder / "labels.csv", config.data / PACKED)
    run = untrained_run(config)
    session = extraction_session(run.timestamp, data={"images": PACKED})
    code, out, _ = answer(main_02_extract, session, config)
    pooled = next(path for path in out.split() if "pooled" in path)
    session = {"images": PACKED, "features": pooled, "evaluations": "knn", "inspect": True}
    session |= {"similar": {"to": "rec00_segm_0000.000.png", "n": 3}}
    code, out, text = answer(main_03_evaluate, session, config)
    assert code == 0, text
    page = (Path(out.strip()) / "explorer.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") == 12 and '"links":null' in page
    assert (Path(out.strip()) / "similar_session.png").is_file()
    assert len(pd.read_csv(Path(out.strip()) / "pictures_table.csv")) == 12
