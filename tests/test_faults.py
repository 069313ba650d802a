"""Whatever is wrong with data, files or this machine: one message with the remedy, and nothing is damaged."""

import io
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import extraction_session, intensities, training_session, write_pictures
from PIL import Image
from small_runs import untrained_run, workplace

import main_01_train
import main_02_extract
from saec.config import Config
from saec.data.colormaps import table
from saec.data.png import SIGNATURE
from saec.faults import Fault, collect_faults, did_you_mean, listing
from saec.runs import Run
from saec.runs.find import all_runs

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (128, 32, 4)).astype(np.uint8)
DATA = {"kind": "images", "train": "songs/images", "valid": 0.3}
ONE_EPOCH = {"epochs": 1, "batch_size": 4, "precision": "fp32"}


def answer(script: Any, session: dict[str, Any] | Path, config: Config, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script in this process."""
    torch.set_num_threads(1)
    folder = config.data.parent
    file = session if isinstance(session, Path) else folder / "session.yaml"
    if isinstance(session, dict):
        file.write_text(yaml.safe_dump(session))
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = script.main([str(file), *words, "--config", str(folder / "config" / "config.yaml")])
    return code, out.getvalue(), err.getvalue()


def refused(script: Any, session: dict[str, Any] | Path, config: Config, *words: str) -> str:
    """What is said of a fault; no path is answered."""
    code, out, said = answer(script, session, config, *words)
    assert (code, out) == (2, "") and "Traceback" not in said
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def saved(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def palette(**options: Any) -> bytes:
    return saved(Image.fromarray(NOISE[..., 0]).convert("P"), **options)


GOOD = saved(Image.fromarray(NOISE[..., 0]))
TRUNCATED = "is truncated or damaged (", "): make it again"
NO_PNG = "is not a PNG, whatever its name says: save it as PNG"
ALPHA = "has an alpha channel, grey or RGB is expected: save it without transparency"
UNUSABLE = {
    "truncated": (GOOD[: len(GOOD) // 2], TRUNCATED),
    "only_a_header": (GOOD[:40], TRUNCATED),
    "flipped": (GOOD[:100] + b"\0\0\0\0" + GOOD[104:], TRUNCATED),
    "empty": (b"", ("is empty (0 bytes): copy it again",)),
    "text": (b"this is no picture but a long enough text", (NO_PNG,)),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(100), (NO_PNG,)),
    "short": (GOOD[:20], (NO_PNG,)),
    "rgba": (saved(Image.fromarray(NOISE)), (ALPHA,)),
    "grey_alpha": (saved(Image.fromarray(NOISE[..., :2])), (ALPHA,)),
    "16_bit": (
        saved(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256)),
        ("has 16 bits a channel, 8 are expected: save it as an 8-bit PNG",),
    ),
    "palette": (palette(transparency=0), ("has transparent colours: save it without transparency",)),
    "bomb": (
        SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)),
        ("claims 100000 x 100000 pixels, at most 64,000,000 are read: cut it",),
    ),
    "no_pixels": (
        SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 128, 8, 0, 0, 0, 0)),
        ("claims 0 x 128 pixels",),
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_picture_that_cannot_be_used_is_named_with_what_is_wrong_and_what_to_do(kind, config, pictures):
    content, words = UNUSABLE[kind]
    (pictures / f"zz_{kind}.png").write_bytes(content)
    before = contents(pictures)
    said = refused(main_01_train, training_session(), config)
    assert f"1 of 13 pictures in {pictures} cannot be used, mend or remove them" in said
    assert "or leave them out with `data.skip_bad: true`" in said
    line = next(line for line in said.splitlines() if line.startswith(f"  zz_{kind}.png "))
    assert all(word in line for word in words)
    assert contents(pictures) == before and all_runs(config.models) == []


def test_all_pictures_that_cannot_be_used_are_listed_at_once(config, pictures):
    for kind, (content, _) in UNUSABLE.items():
        (pictures / f"{kind}.png").write_bytes(content)
    n = len(UNUSABLE)
    said = refused(main_01_train, training_session(), config)
    assert f"{n} of {12 + n} pictures" in said
    assert said.count(".png ") == 10 and said.rstrip().endswith(f"... and {n - 10} more")
    file = config.data / "songs" / "unusable_images.txt"
    assert f"all are listed in {file}" in said
    lines = file.read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(f"{kind}.png" for kind in UNUSABLE)
    assert list(config.cache.iterdir()) == []  # no half-built store is left


@pytest.fixture
def with_bad_ones(pictures) -> Path:
    """Among them a first picture whose header, of another size, can be read but not its pixels."""
    for kind, (content, _) in UNUSABLE.items():
        (pictures / f"{kind}.png").write_bytes(content)
    other_size = saved(Image.fromarray(NOISE[:60, :30, 0]))
    (pictures / "a.png").write_bytes(other_size[: len(other_size) // 2])
    return pictures


def test_with_skip_bad_a_training_leaves_them_out_and_says_so(config, with_bad_ones):
    session = training_session(data=DATA | {"skip_bad": True}, training=ONE_EPOCH)
    code, out, said = answer(main_01_train, session, config)
    assert code == 0 and "left out, unusable:\n  16_bit.png" in said
    (run,) = all_runs(config.models)
    assert out == f"{run.folder}\n"
    assert run.record["train"]["n"] + run.record["valid"]["n"] == 12
    assert run.record["train"]["left_out"] == sorted([*(f"{kind}.png" for kind in UNUSABLE), "a.png"])


def test_with_skip_bad_there_must_be_a_good_one_left(config, with_bad_ones):
    for file in with_bad_ones.glob("rec*.png"):
        file.unlink()
    said = refused(main_01_train, training_session(data=DATA | {"skip_bad": True}), config)
    assert f"data.train: {with_bad_ones}: none of its pictures can be used:\n" in said


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def only_in_a_subfolder(folder: Path) -> None:
    (folder / "deeper").mkdir()
    for file in folder.glob("*.png"):
        file.rename(folder / "deeper" / file.name)


def only_bombs(folder: Path) -> None:
    emptied(folder)
    (folder / "bomb.png").write_bytes(UNUSABLE["bomb"][0])


def with_one_wider(folder: Path) -> None:
    Image.fromarray(NOISE[:, :28, 0]).save(folder / "wider.png")


def too_high(folder: Path) -> None:
    emptied(folder)
    write_pictures(folder, intensities(8, height=200))


def too_odd(folder: Path) -> None:
    emptied(folder)
    write_pictures(folder, intensities(8, width=30))


def with_one_in_no_map(folder: Path) -> None:
    Image.fromarray(NOISE[..., :3]).save(folder / "rec01_odd.png")


def of_one_recording(folder: Path) -> None:
    for file in folder.glob("*.png"):
        if not file.name.startswith("rec00"):
            file.unlink()


def a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def labelled(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder.parent / "labels.csv").write_bytes(content)


def with_sidecar(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "_feature_extraction_parameters.json").write_text(content)


FIRST = "rec00_segm_0000.000.png"
FOLDERS = {
    "empty": (emptied, ["data.train: no *.png directly in {folder}"]),
    "missing": (
        shutil.rmtree,
        ["data.train: no such folder: {folder}", "a folder of PNG spectrograms is expected"],
    ),
    "a file": (a_file_instead, ["data.train: no such folder: {folder}"]),
    "deeper": (
        only_in_a_subfolder,
        ["no *.png directly in {folder}", "there are some in {folder}/deeper: name that folder"],
    ),
    "bombs": (only_bombs, ["{folder}: none of its pictures can be used:\n  bomb.png claims 100000 x 100000"]),
    "mixed": (
        with_one_wider,
        [
            "{folder} holds pictures of 2 sizes (width x height), one is expected",
            "put each size into a folder of its own:",
            f"\n  32 x 128: 12, {FIRST}, ",
            "\n  28 x 128: 1, wider.png",
        ],
    ),
    "height": (
        too_high,
        [
            "data.train: pictures are 32 wide and 200 high",
            "a height of 128: choose `data.fit: pad`, `crop` or `resize`, another model",
        ],
    ),
    "width": (
        too_odd,
        ["data.train: pictures are 30 wide and 128 high, the model needs a width that is a multiple of 4"],
    ),
    "no map": (
        with_one_in_no_map,
        [
            "{folder}/rec01_odd.png is in no colour map that is known",
            "use `data.channels: rgb`, or leave it out",
        ],
    ),
    "one recording": (
        of_one_recording,
        [
            "data.valid: 0.3 needs at least two recordings, all 4 pictures come from 'rec00'",
            "name a folder instead",
        ],
    ),
    "two labels": (
        labelled(f"file,label\n{FIRST},wren\n{FIRST},crow\n".encode()),
        ["{folder.parent}/labels.csv says two things of one", f"\n  line 3: {FIRST}: 'wren' and 'crow'"],
    ),
    "columns": (
        labelled(b"name;labels\na;b\n"),
        ["{folder.parent}/labels.csv needs the columns file,label[,group", "it lacks file, label"],
    ),
    "no table": (labelled(b""), ["{folder.parent}/labels.csv needs the columns file,label[,group"]),
    "latin labels": (
        labelled(f"file,label\n{FIRST},p\xe1ssaro\n".encode("latin-1")),
        ["{folder.parent}/labels.csv is not UTF-8 text (byte ", "): save it as UTF-8"],
    ),
    "stray quotation mark": (
        labelled(f'file,label\n"{FIRST},wren\n'.encode() + b"x" * 131_072),
        ["{folder.parent}/labels.csv is no CSV table (field larger", "look for a stray quotation mark"],
    ),
    "sidecar": (
        with_sidecar("{"),
        ["data.train: {folder}/_feature_extraction_parameters.json is not JSON: line 1, column 2"],
    ),
    "sidecar's kind": (with_sidecar("[]"), ["must hold a mapping of keys to values, got list"]),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_cannot_be_trained_on_is_refused_before_a_run_is_made(case, config, pictures):
    change, words = FOLDERS[case]
    change(pictures)
    before = contents(config.data)
    said = refused(main_01_train, training_session(), config).replace("\\", "/")
    for word in words:
        assert word.format(folder=pictures).replace("\\", "/") in said
    assert contents(config.data) == before and all_runs(config.models) == []


@pytest.mark.parametrize("case", ["missing", "deeper", "height", "no map", "mixed"])
def test_a_folder_that_cannot_be_extracted_from_is_refused_and_nothing_is_written(case, config, pictures):
    run = untrained_run(config)
    FOLDERS[case][0](pictures)
    before = contents(config.data), contents(run.folder)
    assert (
        str(pictures) in refused(main_02_extract, extraction_session(run.timestamp), config)
        or case == "height"
    )
    assert (contents(config.data), contents(run.folder)) == before


def test_a_folder_that_no_longer_fits_leaves_the_features_that_are_there(config, pictures):
    run = untrained_run(config)
    session = extraction_session(run.timestamp, reconstructions=0)
    assert answer(main_02_extract, session, config)[0] == 0
    (pictures / "zz.png").write_bytes(UNUSABLE["truncated"][0])
    before = contents(config.data)
    assert "zz.png is truncated" in refused(main_02_extract, session, config)
    after = contents(config.data)
    assert after.keys() - before.keys() == {str(config.data / "songs" / "unusable_images.txt")}
    assert {key: after[key] for key in before} == before


@pytest.mark.parametrize("where", ["file", "below a file"])
def test_an_output_folder_that_is_a_file_is_refused(where, config, pictures):
    run = untrained_run(config)
    taken = config.data / "taken"
    taken.write_text("mine")
    out = taken if where == "file" else taken / "deeper"
    said = refused(main_02_extract, extraction_session(run.timestamp, out=str(out)), config)
    assert f"out: cannot write into {out} (" in said and "): choose another folder" in said
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("key", ["cache", "models"])
def test_a_cache_or_a_models_folder_that_is_a_file_is_refused(key, config, pictures):
    getattr(config, key).write_text("mine")
    said = refused(main_01_train, training_session(), config)
    assert f"cannot write into {getattr(config, key)} (" in said and "): choose another folder" in said
    assert getattr(config, key).read_text() == "mine"


def test_several_faults_of_the_data_are_said_at_once(config, config_file, pictures):
    config_file.write_text("device: cuda:99\nworkers: 0\n")
    data = DATA | {"valid": "songs/nowhere"}
    said = refused(
        main_01_train, training_session(data=data, start={"weights_of": "20250617_131810"}), config
    )
    assert "session session has 3 faults:" in said
    for key in (
        "config.device: device cuda:99 is not there",
        "start.weights_of: no run",
        "data.valid: no such",
    ):
        assert f"\n  {key}" in said


@pytest.mark.skipif(os.name == "nt", reason="there such paths are at home")
def test_a_windows_path_on_another_system_is_refused_and_never_created(config, pictures):
    before = sorted(config.data.parent.rglob("*"))
    path = r"C:\songs\images"
    for data in (DATA | {"train": path}, DATA | {"valid": path}):
        assert f"{path} is a Windows path" in refused(main_01_train, training_session(data=data), config)
    run = untrained_run(config)
    for changes in ({"data": {"images": path}}, {"out": path}):
        said = refused(main_02_extract, extraction_session(run.timestamp, **changes), config)
        assert f"{path} is a Windows path" in said
    new = set(config.data.parent.rglob("*")) - set(before)
    assert not any("songs" in file.name for file in new) and not Path(path).exists()


def test_a_file_name_that_is_no_utf_8_is_a_fault_that_names_it(config, pictures):
    try:
        Path(os.fsdecode(os.fsencode(pictures) + b"/\xff.png")).write_bytes(GOOD)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 alone")
    run = untrained_run(config)
    for script, session in (
        (main_01_train, training_session()),
        (main_02_extract, extraction_session(run.timestamp)),
    ):
        said = refused(script, session, config)
        assert f"{pictures} holds names that are no UTF-8 text, rename them:\n  '\\udcff.png'" in said


def test_a_loss_that_is_no_number_ends_the_training(config, pictures):
    session = training_session(optimizer={"name": "adam", "learning_rate": 1e30})
    said = refused(main_01_train, session, config)
    (run,) = all_runs(config.models)
    assert (
        "epoch 1: the loss is nan" in said
        and "try a lower optimizer.learning_rate, or optimizer.clip" in said
    )
    assert f"epochs kept in {run.folder}: 0" in said
    assert not list(run.folder.glob("*.pt"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Run]:
    """A finished run. The second test, the last to use it, spoils its weights."""
    config = workplace(tmp_path_factory.mktemp("faults"))
    write_pictures(config.data / "songs" / "images", intensities(12))
    assert answer(main_01_train, training_session(training=ONE_EPOCH), config)[0] == 0
    return config, all_runs(config.models)[0]


def test_a_run_whose_pictures_have_changed_does_not_go_on(trained):
    config, run = trained
    before = contents(run.folder)
    new = config.data / "songs" / "images" / "rec03_segm_0000.000.png"
    Image.fromarray(table("viridis")[NOISE[..., 0]]).save(new)
    said = refused(main_01_train, run.folder, config, "--set", "training.epochs=2")
    new.unlink()
    assert f"the train pictures or their recordings have changed since {run.folder} was begun: put" in said
    assert f"weights_of: {run.timestamp}" in said
    assert contents(run.folder) == before


def test_a_loss_that_is_no_number_leaves_the_epochs_before_it(trained):
    config, run = trained
    state = run.load("last")  # as a rate that is too high would leave it
    state["model"]["encoder.0.0.weight"][:] = torch.nan
    torch.save(state, run.folder / "last.pt")
    kept = {name: (run.folder / name).read_bytes() for name in ("best.pt", "history.csv")}
    said = refused(main_01_train, run.folder, config, "--set", "training.epochs=2")
    assert "epoch 2: the loss is nan" in said and f"epochs kept in {run.folder}: 1" in said
    assert {name: (run.folder / name).read_bytes() for name in kept} == kept
    assert run.progress.epoch == 1


class Trap:
    """What a pickle may do to whoever loads it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "pickle", "trap", "other tensors"])
def test_a_checkpoint_that_is_damaged_or_no_checkpoint_is_named_and_left_as_it_is(kind, config, pictures):
    run, trap = untrained_run(config), config.data / "trapped"
    good = (run.folder / "best.pt").read_bytes()
    for file in (run.folder / "best.pt", run.folder / "last.pt"):
        if kind == "trap":
            torch.save({"model": Trap(trap)}, file)
        elif kind == "other tensors":
            torch.save({"weight": torch.zeros(3)}, file)
        else:
            damaged = {"empty": b"", "text": b"text" * 9, "cut": good[:-100], "pickle": pickle.dumps(3, 2)}
            file.write_bytes(damaged[kind])
    before = contents(run.folder)
    for said in (
        refused(main_01_train, run.folder, config),
        refused(main_02_extract, extraction_session(run.timestamp), config),
    ):
        assert f"{run.folder / 'last.pt'} is " in said or f"{run.folder / 'best.pt'} is " in said
        assert "restore it from a copy" in said
    assert contents(run.folder) == before and not trap.exists()


def test_a_listing_shows_the_first_and_counts_the_rest():
    assert listing("abc") == "  a\n  b\n  c"
    assert listing(range(1012), most=2) == "  0\n  1\n  ... and 1,010 more"


def test_the_nearest_name_is_named_or_all_of_them():
    assert did_you_mean("epoch", ["epochs", "seed"]) == "did you mean 'epochs'?"
    assert did_you_mean("xyz", ["epochs", "seed"]) == "choose from epochs, seed"
    assert did_you_mean(None, ["epochs"]) == "choose from epochs"


def test_faults_are_noted_under_their_key_and_bugs_are_not():
    def refuse(word: str) -> None:
        raise Fault(f"no {word}")

    faults = []
    assert (
        collect_faults(faults, "a.b", str.upper, "x") == "X"
        and collect_faults(faults, "a.b", refuse, "way") is None
    )
    assert faults == ["a.b: no way"]
    with pytest.raises(ZeroDivisionError):
        collect_faults(faults, "a.b", lambda: 1 // 0)
