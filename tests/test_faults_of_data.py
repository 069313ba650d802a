"""Whatever is wrong with pictures and sounds: one message with the remedy, and nothing is damaged."""

import io
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import (
    answer,
    contents,
    extraction_session,
    has_words,
    intensities,
    refused,
    training_session,
    write_pictures,
)
from PIL import Image
from small_runs import untrained_run
from sounds import RATE, features_session, heard_session, record, record_classes, tone
from traces import NAMES, STRIDED, curves, save, write_traces

import main_01_train
import main_02_extract
from saec import extract
from saec.config import Config
from saec.data.png import SIGNATURE
from saec.runs.find import all_runs
from saec.session import TrainingSession, load_session
from saec.training.plan import check_training

NOISE = np.random.default_rng(0).integers(0, 256, (128, 32, 4)).astype(np.uint8)
ONE_EPOCH = {"epochs": 1, "batch_size": 4, "precision": "fp32"}
CRAFTED = {"name": "handcrafted", "sample_rate": RATE}
ARRAYS = {"kind": "arrays", "scale": "file"}
OPTIONS = {"photos": {"size": [128, 32], "colour": "grey"}}
Change = Callable[[Path], Any]


class Data:
    """Twelve samples of a kind in a folder, and the sessions that train on them and extract from them."""

    def __init__(self, kind: str, config: Config):
        self.kind, self.config = kind, config
        self.pictures = kind in ("images", "photos")
        self.items_are = "pictures" if self.pictures else {"audio": "recordings", "arrays": "arrays"}[kind]
        self.key = "images" if self.pictures else {"audio": "sounds", "arrays": "arrays"}[kind]
        if self.pictures:
            self.folder = config.data / "songs" / "images"
            write_pictures(self.folder, intensities(12))
            if kind == "photos":
                for number, file in enumerate(sorted(self.folder.iterdir())):
                    photo = Image.open(file).resize((30 + 5 * number, 90))
                    photo.save(file.with_suffix(".jpg"), "JPEG")
                    file.unlink()
        elif kind == "audio":
            self.folder = record_classes(config.data / "sounds")
        else:
            self.folder = config.data / "traces"
            write_traces(self.folder, 12)
        self.good = contents(self.folder)
        self.listed = self.folder.parent / f"unusable_{self.folder.name}.txt"

    def named(self, file: Path) -> str:
        return file.relative_to(self.config.data).as_posix()

    def training(self, **data: Any) -> dict[str, Any]:
        if self.kind == "audio":
            return heard_session(data=data, training=ONE_EPOCH)
        folder = str(self.folder.relative_to(self.config.data))
        parts = {} if self.pictures else {"model": STRIDED, "views": "plain"}
        data = {"kind": self.kind, "train": folder, "valid": 0.3} | OPTIONS.get(self.kind, {}) | data
        return training_session(data=data, training=ONE_EPOCH, **parts)

    def extraction(self, **data: Any) -> dict[str, Any]:
        """Of pictures and arrays by an untrained run, of sounds by the handcrafted extractor."""
        if self.kind == "audio":
            return features_session(None, extractor=CRAFTED, data={"sounds": "sounds"} | data)
        of_arrays = {"model": STRIDED, "data": ARRAYS, "record": {"input_shape": [1, len(NAMES), 256]}}
        run = next(iter(all_runs(self.config.models)), None)
        of_kind = {"images": {}, "photos": {"data": {"kind": "photos"} | OPTIONS["photos"]}}
        run = run or untrained_run(self.config, **of_kind.get(self.kind, of_arrays))
        folder = str(self.folder.relative_to(self.config.data))
        session = extraction_session(run.timestamp, reconstructions=0)
        return session | {"data": {self.key: folder} | data}

    def add_bad(self) -> list[str]:
        """Writes every bad file; returns their names in the folder."""
        for name, (make, _) in BAD[self.kind].items():
            make(self.folder / name)
        return sorted(BAD[self.kind])


@pytest.fixture(params=["images", "photos", "audio", "arrays"])
def data(request, config) -> Data:
    return Data(request.param, config)


# Files


def saved(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def half(form: str, behind: bytes = b"", **options: Any) -> Change:
    """Writes the first half of a picture of that format, and something behind it."""
    whole = saved(Image.fromarray(NOISE[..., :3]), form, **options)
    return holding(whole[: len(whole) // 2] + behind)


def of_header(width: int, height: int) -> bytes:
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return SIGNATURE + struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))


def with_chunk(at: int, kind: bytes, content: bytes) -> bytes:
    """Returns a picture with one more chunk, before its pixels (33: after the header) or after them."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return GOOD[:at] + chunk + GOOD[at:]


def of_two_headers(width: int, height: int) -> bytes:
    return with_chunk(33, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def holding(content: bytes) -> Change:
    return lambda file: file.write_bytes(content)


def sound(samples: Any, share: float = 1, **options: Any) -> Change:
    """Writes a recording of which only that share of bytes is kept."""

    def write(file: Path) -> None:
        whole = record(file, np.asarray(samples), **options).read_bytes()
        file.write_bytes(whole[: int(len(whole) * share)])

    return write


def array(values: Any, share: float = 1, behind: bytes = b"", **more: Any) -> Change:
    """Writes an NPY, or with `more` arrays an NPZ, of which only that share of bytes is kept."""
    file = io.BytesIO()
    if more or behind == ZIPPED:
        np.savez(file, ema=values, **more)
    else:
        np.save(file, values)
    whole = file.getvalue() + behind.removeprefix(ZIPPED)
    return holding(whole[: int(len(whole) * share)])


def flipped(file: Path) -> None:
    array(curves(30), behind=ZIPPED)(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:400] + bytes(byte ^ 1 for byte in whole[400:404]) + whole[404:])


def except_at(value: complex) -> np.ndarray:
    """Curves in which one number, of frame 7 and column 2, is another."""
    values = curves(30).astype(np.float64)
    values[7, 2] = value
    return values


GREY = NOISE[..., 0]
GOOD = saved(Image.fromarray(GREY))
NO_PNG = "is not a PNG, whatever its name says: save it as PNG"
TRUNCATED = "is truncated or damaged ( ... ): make it again"
ALPHA = "has an alpha channel, grey or RGB is expected: save it without transparency"
SIXTEEN = "has 16 bits a channel, 8 are expected: save it as an 8-bit PNG"
TRANSPARENT = saved(Image.fromarray(GREY).convert("P"), transparency=0)
TOO_LARGE = "claims 100000 x 100000 pixels, at most 64,000,000 are read: cut it"
CUT = "is truncated: copy it again"
TOO_MANY = "claims too many pixels, at most 89,478,485 are read: cut it"
WITH_NAN = np.where(np.arange(1600) == 700, np.nan, tone(300))
ZIPPED = b"zipped"  # stands for an NPZ of one array
DAMAGED = "is truncated or damaged ( ... ): copy or make it again"
NOT_NUMBERS = "holds samples that are not numbers (NaN or infinite)"
BAD: dict[str, dict[str, tuple[Change, str]]] = {
    "images": {
        "truncated.png": (holding(GOOD[: len(GOOD) // 2]), TRUNCATED),
        "only_a_header.png": (holding(GOOD[:40]), TRUNCATED),
        "flipped.png": (holding(GOOD[:100] + b"\0\0\0\0" + GOOD[104:]), TRUNCATED),
        "empty.png": (holding(b""), "is empty (0 bytes): copy it again"),
        "text.png": (holding(b"this is no picture but a long enough text"), NO_PNG),
        "jpeg.png": (holding(b"\xff\xd8\xff\xe0" + bytes(100)), NO_PNG),
        "short.png": (holding(GOOD[:20]), NO_PNG),
        "rgba.png": (holding(saved(Image.fromarray(NOISE))), ALPHA),
        "grey_alpha.png": (holding(saved(Image.fromarray(NOISE[..., :2]))), ALPHA),
        "16_bit.png": (holding(saved(Image.fromarray(GREY.astype(np.uint16) * 256))), SIXTEEN),
        "palette.png": (holding(TRANSPARENT), "has transparent colours: save it without transparency"),
        "bomb.png": (holding(of_header(100_000, 100_000)), TOO_LARGE),
        "two_headers.png": (holding(of_two_headers(13_000, 13_000)), TRUNCATED),
        "second_bomb.png": (holding(of_two_headers(30_000, 30_000)), TRUNCATED),
        "colours_after_pixels.png": (holding(with_chunk(len(GOOD) - 12, b"iCCP", b"")), TRUNCATED),
        "no_pixels.png": (holding(of_header(0, 128)), "claims 0 x 128 pixels"),
    },
    "photos": {
        "text.jpg": (holding(b"this is no picture but a long enough text"), "is none of JPEG, PNG, "),
        "empty.gif": (holding(b""), "is empty (0 bytes): copy it again"),
        "header.jpeg": (holding(saved(Image.fromarray(GREY), "JPEG")[:40]), "damaged"),
        "cut.jpg": (half("JPEG"), "is truncated or damaged ("),
        "end.jpg": (half("JPEG", b"\xff\xd9"), CUT),
        "zeros.jpg": (half("JPEG", bytes(9_999), quality=100), CUT),
        "cmyk.jpg": (holding(saved(Image.fromarray(NOISE, "CMYK"), "JPEG")[:9_000] + b"\xff\xd9"), CUT),
        "cut.png": (half("PNG"), "is truncated or damaged ("),
        "zeros.png": (half("PNG", bytes(9_999)), "is truncated"),
        "cut.webp": (half("WEBP"), "is truncated or damaged ("),
        "zeros.webp": (half("WEBP", bytes(9_999)), ""),
        "cut.bmp": (half("BMP"), "is truncated or damaged ("),
        "cut.tiff": (half("TIFF", compression="tiff_lzw"), ""),
        "cut.gif": (half("GIF"), "is truncated or damaged ("),
        "bomb.png": (holding(of_two_headers(30_000, 30_000)), TOO_MANY),
        "large.png": (holding(of_two_headers(10_000, 10_000)), TOO_MANY),
        "float.tif": (holding(saved(Image.fromarray(GREY.astype("f4")), "TIFF")), "has pixels of 32 bits"),
    },
    "audio": {
        "low/three.wav": (sound(tone(300)[:3]), "has 3 samples at 8000 Hz, 128 are needed"),
        "low/nan.wav": (sound(WITH_NAN, subtype="FLOAT"), NOT_NUMBERS),
        "low/cut.wav": (sound(tone(300), 0.5), "is truncated: 3,200 bytes announced, "),
        "mid/cut.flac": (sound(tone(300, 3.0), 0.5), ""),
        "mid/empty.wav": (holding(b""), "is empty (0 bytes)"),
        "mid/text.wav": (holding(b"no sound but long enough"), "cannot be read as sound"),
        "mid/nothing.wav": (sound([]), "has no samples"),
    },
    "arrays": {
        "empty.npy": (holding(b""), "is empty (0 bytes): copy it again"),
        "text.npy": (holding(b"no array at all"), "is no NPY, whatever its name says: make it by numpy.save"),
        "letter.npz": (
            holding(b"no array at all"),
            "is no NPZ, whatever its name says: make it by numpy.savez",
        ),
        "zipped.npy": (array(curves(9), behind=ZIPPED), "is an NPZ by what it holds: rename it to .npz"),
        "plain.npz": (array(curves(9)), "is an NPY by what it holds: rename it to .npy"),
        "cut.npy": (array(curves(30), 0.5), "is truncated: 600 bytes announced, "),
        "header.npy": (array(curves(30), 0.03), DAMAGED),
        "half.npz": (array(curves(30), 0.5, behind=ZIPPED), DAMAGED),
        "flipped.npz": (flipped, DAMAGED),
        "behind.npy": (array(curves(30), behind=b"more"), "holds 4 bytes behind its array: save one a"),
        "nothing.npz": (holding(b"PK\x05\x06" + bytes(18)), "holds no array: make it by numpy.savez"),
        "keys.npz": (
            array(curves(9), times=curves(9)),
            "holds 2 arrays, ema, times: choose one by `data.key`",
        ),
        "objects.npy": (array(np.array([{}])), "holds objects, which only pickle could read: save numbers"),
        "complex.npz": (array(1j * curves(9), behind=ZIPPED), "holds complex numbers: save their real parts"),
        "words.npy": (array(np.array([["a"]])), "holds <U1 in place of numbers: save it as numpy.float32"),
        "scalar.npy": (array(7), "holds one number, frames x columns are expected"),
        "one_axis.npy": (
            array(np.ones(7)),
            "has one axis of 7, frames x columns are expected: save `array[:",
        ),
        "three.npy": (
            array(np.ones((1, 7, 5))),
            "has 3 axes, 1 x 7 x 5, frames x columns are expected: save",
        ),
        "no_frame.npy": (array(np.ones((0, 5))), "has no frame: it is 0 x 5"),
        "no_column.npy": (array(np.ones((5, 0))), "has no column: it is 5 x 0"),
        "narrow.npy": (array(curves(9)[:, :4]), "has 4 columns, 12 of 13 arrays have 5: one number is"),
        "nan.npy": (
            array(except_at(np.nan)),
            "has NaN or infinity in 1 of 30 frames, first in frame 7, column 2",
        ),
        "infinite.npz": (array(except_at(-np.inf), behind=ZIPPED), "has NaN or infinity in 1 of 30 frames"),
        "large.npy": (array(except_at(1e300)), "has a number too large for float32 in 1 of 30 frames"),
    },
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, bad in BAD.items() for name in bad])
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong_and_what_to_do(kind, name, config):
    data = Data(kind, config)
    make, words = BAD[kind][name]
    make(data.folder / name)
    before = contents(config.data)
    text = refused(main_01_train, data.training(), config)
    assert f"1 of 13 {data.items_are} in {data.folder} cannot be used, mend or remove them" in text
    assert "or leave them out with `data.skip_bad: true`" in text
    line = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
    assert has_words(line, words)
    after = contents(config.data)
    assert after.pop(data.named(data.listed)) and after == before and all_runs(config.models) == []


def test_all_files_that_cannot_be_used_are_listed_at_once(data, config):
    names = data.add_bad()
    n = len(names)
    text = refused(main_01_train, data.training(), config)
    assert f"{n} of {12 + n} {data.items_are}" in text and f"all are listed in {data.listed}" in text
    assert sum(f"  {name} " in text for name in names) == min(n, 10)
    assert text.rstrip().endswith(f"... and {n - 10} more") == (n > 10)
    assert sorted(line.split()[0] for line in data.listed.read_text().splitlines()) == names
    assert not any(config.cache.glob("*"))  # no half-built store is left
    assert "how long they are" not in text


def test_with_skip_bad_a_training_leaves_them_out_and_says_so(data, config):
    names = data.add_bad()
    answer(main_01_train, data.training(), config, "--check")
    assert not data.listed.exists()
    assert f"all are listed in {data.listed}" in refused(main_01_train, data.training(), config)
    if data.pictures:  # of another size, which can be read, though its pixels cannot; and it comes first
        other = saved(Image.fromarray(NOISE[:60, :30, 0]))
        (data.folder / "0.png").write_bytes(other[: len(other) // 2])
        names = ["0.png", *names]
    code, out, text = answer(main_01_train, data.training(skip_bad=True), config)
    (run,) = all_runs(config.models)
    assert (code, out) == (0, f"{run.folder}\n") and f"left out, unusable:\n  {names[0]}" in text
    assert not data.listed.exists()
    assert sorted(run.record["train"]["left_out"]) == names
    counts = run.record["train"]["n"], run.record["valid"]["n"]
    assert sum(counts) == 12 and re.search("data: train {} .*, valid {} ".format(*counts), text)


def test_rows_of_other_splits_are_no_data_of_a_training_nor_count_for_its_limit(data, config):
    files = sorted(str(file.relative_to(data.folder).as_posix()) for file in data.folder.rglob("*.*"))
    splits = ["train", "test", "valid", "test"] * 3
    rows = [f"{file},{'ab'[n // 4 % 2]},{splits[n]}\n" for n, file in enumerate(files)]
    (data.folder / "table.csv").write_text("".join(["file,label,split\n", *rows]))
    for limit, n in ((None, 3), (4, 2)):
        session = data.training(train=str(data.folder / "table.csv"), limit=limit)
        plan = check_training(load_session(session, TrainingSession), config)
        assert plan.n_samples == (n, n) and re.match(f"data: train {n} .*, valid {n} ", plan.describe())
        code, _, text = answer(main_01_train, session, config)
        assert code == 0 and re.search(f"data: train {n} .*, valid {n} ", text)


def test_a_bad_file_leaves_the_features_that_are_there(data, config):
    assert answer(main_02_extract, data.extraction(), config)[0] == 0
    before = contents(config.data)
    bad = {"images": "text.png", "photos": "end.jpg", "audio": "low/nan.wav", "arrays": "nan.npy"}
    name = bad[data.kind]
    make, words = BAD[data.kind][name]
    make(data.folder / name)
    assert f"{name} {words}" in refused(main_02_extract, data.extraction(), config)
    after = contents(config.data)
    assert after.keys() - before.keys() == {data.named(data.listed), data.named(data.folder / name)}
    assert {key: after[key] for key in before} == before
    text = refused(main_02_extract, data.extraction() | {"out": "elsewhere"}, config)
    listed = config.data / "elsewhere" / data.listed.name
    assert f"all are listed in {listed}:" in text and name in listed.read_text()
    spared = data.extraction(skip_bad=True) | {"variant": "spared"}
    code, _, text = answer(main_02_extract, spared, config)
    assert code == 0 and f"left out, unusable:\n  {name}" in text


def test_a_file_name_that_is_no_utf_8_is_a_fault_that_names_it(data, config):
    names = {"images": b"\xff.png", "photos": b"\xff.png", "audio": b"low/\xff.wav", "arrays": b"\xff.npy"}
    name = names[data.kind]
    file = next(iter(data.good))
    try:
        shutil.copy(file, os.fsdecode(os.fsencode(data.folder) + b"/" + name))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 alone")
    words = f"{data.folder} holds names that are no UTF-8 text, rename them:\n  {os.fsdecode(name)!r}"
    assert words in refused(main_01_train, data.training(), config)
    assert words in refused(main_02_extract, data.extraction(), config)


# Folders and tables


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def only_bad(kind: str) -> Change:
    def change(folder: Path) -> None:
        emptied(folder)
        for name, (make, _) in BAD[kind].items():
            (folder / name).parent.mkdir(exist_ok=True)
            make(folder / name)

    return change


def without(pattern: str) -> Change:
    return lambda folder: [file.unlink() for file in folder.rglob(pattern)]


def only_pictures(**size: int) -> Change:
    return lambda folder: (emptied(folder), write_pictures(folder, intensities(8, **size)))


def a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def only_in_a_subfolder(folder: Path) -> None:
    (folder / "deeper").mkdir()
    for file in folder.glob("*.png"):
        file.rename(folder / "deeper" / file.name)


def picture(name: str, pixels: np.ndarray) -> Change:
    return lambda folder: Image.fromarray(pixels).save(folder / name)


def written(name: str, content: str, encoding: str = "utf-8") -> Change:
    """Writes a file into the folder; `../name` lies beside it."""
    return lambda folder: (folder / name).write_bytes(content.encode(encoding))


def table(text: str) -> Change:
    return written("table.csv", text)


def without_classes(folder: Path) -> None:
    for file in folder.rglob("*.wav"):
        file.rename(folder / f"{file.parent.name}{file.name}")


def of_one_group(folder: Path) -> None:
    rows = [f"{file.relative_to(folder).as_posix()},,evening" for file in folder.rglob("*.wav")]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *rows]))


def with_others(**hertz: float) -> Change:
    return lambda folder: record_classes(folder.parent / "others", n=2, **hertz)


def no_sound(folder: Path) -> None:
    emptied(folder)
    (folder / "notes.txt").write_text("no sound")


def of_channels(*counts: int) -> Change:
    def change(folder: Path) -> None:
        for n in counts:
            record(folder / "low" / f"of_{n}.wav", np.tile(tone(300)[:, None], n))

    return change


FIRST = "rec00_segm_0000.000.png"
SIDECAR = "_feature_extraction_parameters.json"
TWO_SIZES = (
    "{folder} holds pictures of 2 sizes (width x height), one is expected ... put each size into a folder of"
    f" its own: ... \n  32 x 128: 12, {FIRST},  ... \n  28 x 128: 1, wider.png"
)
TWICE = f"file,label\n{FIRST},wren\n{FIRST},crow\n"
TIMES = "file,start,end\nlow/0.wav,soon,\nlow/2.wav,0.1,0.1\n,0,1\n"
THREE_ROWS = (
    "table.csv: 3 rows are not right, correct or delete them:"
    "\n  line 2: start must be seconds from 0, got 'soon'"
    "\n  line 3: must end after it starts, got start 0.1 and end 0.1 s"
    "\n  line 4: names no file"
)
JSON_TIMES = '[{"file": "low/0.wav", "start": [1]}, {"file": null}]'
CLIPS = """{"audio": [
    {"file_name": "low/0.wav", "class": "class0", "data_type": "train_data", "dataset": "sulawesi"},
    {"file_name": "kenya/9.wav", "class": "class1", "data_type": "test_data", "dataset": "test_kenya"}
]}"""
GONE = "file,label\nlow/0.wav,low\nlow/9.wav,low\ngone/1.wav,mid\n"
ONE_LEFT = "file,label,split\nlow/0.wav,low,train\nlow/1.wav,low,\nmid/0.wav,mid,valid\nlow/2.wav,low,valid\n"
NEEDS_TWO = "data.train: classification needs samples of two classes at least, got "


def transposed(folder: Path) -> None:
    shutil.rmtree(folder)
    for n in range(12):
        save(folder / f"{n}.npy", curves(30 + n // 2).T)


# A change of the folder, the words of the message, further options of the data; a table is trained on.
FAULTS: dict[str, tuple] = {
    "images: empty": (emptied, "data.train: no *.png directly in {folder}"),
    "images: missing": (
        shutil.rmtree,
        "data.train: no such folder: {folder} ... a folder of PNG spectrograms is expected",
    ),
    "images: a file": (a_file_instead, "data.train: {folder} is no picture and no table of them: expected"),
    "images: deeper": (
        only_in_a_subfolder,
        "no *.png directly in {folder} ... there are some in {folder}/deeper: name that folder, or say "
        "`data.recursive: true`",
    ),
    "images: no rows": (table("file,label\n"), "table.csv names no picture: a row for each is expected"),
    "images: twice": (
        table(
            f"file,label\n{FIRST},low\n./{FIRST},mid\n../images/{FIRST},mid\n../../songs/images/{FIRST},\n"
        ),
        f"table.csv names the same picture more than once:\n  {FIRST} at 0 s: 4 rows",
    ),
    "images: no such files": (
        table("file\ngone/1.png\n"),
        "{folder}/table.csv names 1 file that is not there: add what is missing ... {folder}/gone/1.png",
    ),
    "images: of two sizes": (picture("wider.png", GREY[:, :28]), TWO_SIZES),
    "images: height": (
        only_pictures(height=200),
        "data.train: pictures are 32 wide and 200 high"
        " ... a height of 128: choose `data.fit: resize`, another model",
    ),
    "images: width": (
        only_pictures(width=30),
        "data.train: pictures are 30 wide and 128 high, the model needs a width that is a multiple of 4",
    ),
    "images: no colour map": (
        picture("rec01_odd.png", NOISE[..., :3]),
        "{folder}/rec01_odd.png is in no colour map that is known"
        " ... train with `data.channels: rgb`, or leave it out",
    ),
    "images: two labels": (
        written("../labels.csv", TWICE),
        f"{{folder.parent}}/labels.csv says two things of one ... \n  line 3: {FIRST}: 'wren' and 'crow'",
    ),
    "images: sidecar": (written(SIDECAR, "{"), f"{{folder}}/{SIDECAR} is not JSON: line 1, column 2"),
    "images: kind of sidecar": (written(SIDECAR, "[]"), "must hold a mapping of keys to values, got list"),
    "images: bad ones alone": (
        only_bad("images"),
        "{folder}: none of its pictures can be used:\n",
        {"skip_bad": True},
    ),
    "photos: empty": (emptied, "*.gif directly in {folder} or below it: found no file at all"),
    "photos: no picture": (no_sound, "*.gif directly in {folder} or below it: found 1 x .txt"),
    "photos: missing": (shutil.rmtree, "data.train: no such folder: {folder} (a folder of pictures"),
    "photos: no such files": (table("file\ngone/1.jpg\n"), "names 1 file that is not there: "),
    "photos: bad ones alone": (
        only_bad("photos"),
        "17 of 17 pictures in {folder} cannot be used, mend or remove them; all are listed in",
        {"skip_bad": True},
    ),
    "audio: empty": (emptied, "data.train: no recording in {folder} or below it ... found no file at all"),
    "audio: missing": (shutil.rmtree, "data.train: no folder of recordings: {folder}"),
    "audio: no sound": (no_sound, "expected files such as .wav ... found 1 x .txt"),
    "audio: bad ones alone": (
        only_bad("audio"),
        "7 of 7 recordings in {folder} cannot be used, mend or remove them; all are listed in",
        {"skip_bad": True},
    ),
    "audio: no rows": (table("file,label\n"), "table.csv names no recording: a row for each is expected"),
    "audio: times": (table(TIMES), THREE_ROWS),
    "audio: no such files": (
        table(GONE),
        "{folder}/table.csv names 2 files that are not there: add what is ... gone/1.wav ... low/9.wav",
    ),
    "audio: twice": (
        table("file,label\nlow/0.wav,low\nlow/0.wav,mid\n"),
        "table.csv names the same sound more than once:\n"
        "  low/0.wav at 0 s: 2 rows, more labels than one: low and mid\n"
        "delete rows, or let a training take the first of them by `data.several: first`",
    ),
    "audio: near names": (
        table("file,label\nlow\\0.WAV,low\nmid/9.wav,mid\n"),
        "table.csv names 1 file that is not there: add what is missing ... {folder}/mid/9.wav",
    ),
    "audio: gone clips": (
        written("table.json", CLIPS),
        "{folder}/table.json names 1 file that is not there: add what is missing ... {folder}/kenya/9.wav",
    ),
    "audio: unknown types of clips": (
        written("table.json", CLIPS.replace("train_data", "learn_data")),
        "table.json: 1 rows are not right ... entry 1: split must be train, valid, test or nothing",
    ),
    "audio: a long name": (
        table(f"file\n{'x' * 300}.wav\n"),
        "table.csv names 1 file that is not there: add what is",
    ),
    "audio: beyond the end": (
        table("file,label,start,end\nlow/0.wav,low,,\nmid/0.wav,mid,7,8\n"),
        "1 of 2 recordings ... \n  mid/0.wav from 7 s on has 0 samples at 8000 Hz, ",
    ),
    "audio: latin json": (
        written("table.json", '[{"file": "p\xe1ssaro"}]', "latin-1"),
        "{folder}/table.json is not ",
    ),
    "audio: times of json": (
        written("table.json", JSON_TIMES),
        "entry 1: start must be seconds from 0, got '[1]' ... entry 2: names no file",
    ),
    "audio: no table": (
        written("table.xlsx", "PK"),
        "table.xlsx is no recording and no table of them ... got '.xlsx'",
    ),
    "arrays: empty": (
        emptied,
        "data.train: no array in {folder} or below it: expected .npy or .npz files, found no file at all",
    ),
    "arrays: missing": (shutil.rmtree, "data.train: no folder of arrays: {folder}"),
    "arrays: no such table": (
        written("files_of.csv", "file\n"),
        "no table {folder}/file_of.csv: did you mean 'files_of.csv'?",
        {"train": "traces/file_of.csv"},
    ),
    "arrays: rows for columns": (
        transposed,
        "12 of 12 arrays in {folder} cannot be used ... 0.npy is 5 x 30, and all have 5 rows: transpose them",
        {"skip_bad": True},
    ),
    "arrays: no array": (no_sound, "expected .npy or .npz files, found 1 x .txt"),
    "arrays: a file": (a_file_instead, "data.train: {folder} is no array and no table of them: expected"),
    "arrays: bad ones alone": (
        only_bad("arrays"),
        "24 of 24 arrays in {folder} cannot be used, mend or remove them; all are listed in",
        {"skip_bad": True},
    ),
    "arrays: one name": (
        lambda folder: array(curves(9))(folder / "1.npy"),
        "data.train: 2 arrays share a name, as suffixes do not count: remove or rename\n  1.npy\n  1.npz",
    ),
    "arrays: no such files": (
        table("file\n0\n1\ngone/77.npy\n"),
        "table.csv names 1 file that is not there: add what is missing ... {folder}/gone/77.npy",
    ),
    "arrays: twice": (
        table("file,label\n0.npy,a\n0,b\n"),
        "table.csv names the same array more than once:\n  0.npy at 0 s: 2 rows, more labels than one:",
    ),
}
ONLY_IN_TRAINING: dict[str, tuple] = {
    "photos: another format": (
        Path.exists,
        "directly in {folder} or below it: found 12 x .jpg",
        {"formats": "png"},
    ),
    "photos: size": (
        Path.exists,
        "data.train: pictures are 33 wide and 120 high, the model needs a width that is a multiple of 4 and "
        "a height of 128: choose `data.size: [128, 32]`, another model",
        {"size": [120, 33]},
    ),
    "photos: options": (
        Path.exists,
        "data.size ... data.fit: input should be 'resize', 'crop' or 'pad' ... data.formats",
        {"size": [0, 33], "fit": "none", "formats": ["raw"]},
    ),
    "images: several folders": (
        Path.exists,
        "data.train: a class is called by the name of its folder, two are called images: rename",
        {"train": ["songs/images", "others/images"]},
    ),
    "images: one recording": (
        without("rec0[12]*.png"),
        "data.valid: 0.3 needs at least two recordings, all 4 pictures come from 'rec00'"
        " ... name a folder instead",
    ),
    "audio: a missing channel": (
        of_channels(2),
        "12 of 13 recordings ... high/0.wav has 1 channels, channel 1 is asked for (the first is 0)",
        {"channel": 1},
    ),
    "audio: one class": (
        lambda folder: [shutil.rmtree(folder / name) for name in ("high", "mid")],
        NEEDS_TWO + "one class, 'low': sort files into folders by class",
    ),
    "audio: no classes": (without_classes, NEEDS_TWO + "no labels"),
    "images: a number for validation": (
        Path.exists,
        "data.valid: 12 of 12 pictures leave none to train on: choose fewer",
        {"valid": 12},
    ),
    "audio: a number for validation": (  # rows for tests are none to train on
        table(ONE_LEFT.replace("mid,valid", "mid,train").replace("low,valid", "low,test")),
        "data.valid: 3 of 3 sounds leave none to train on: choose fewer",
        {"valid": 3},
    ),
    "images: a seed of no part": (
        lambda folder: write_pictures(folder.parent / "others", intensities(2)),
        "data.split_seed: draws a part of data.train, and ... a table's rows are for validation: leave it",
        {"valid": "songs/others", "split_seed": 3},
    ),
    "audio: a seed of no part": (
        table(ONE_LEFT.replace("mid,valid", "mid,train")),
        "data.split_seed: draws a part of data.train",
        {"split_seed": 3},
    ),
    "audio: one of each": (
        without("[123].wav"),
        "data.valid: 0.25 needs two recordings and two samples of a class at least, got 3 and 1",
    ),
    "audio: one group": (
        of_one_group,
        "data.valid: 0.25 needs two recordings ... got 1 and 4: name a folder",
    ),
    "audio: other classes": (
        with_others(odd=2000, strange=500),
        "data.valid: none of its samples is of a class that training has",
        {"valid": "others"},
    ),
    "arrays: in both folders": (
        lambda folder: write_traces(folder.parent / "others", 2),
        "data.valid: 2 arrays are in data.train, by their names: remove them from one ... \n  0\n  1",
        {"valid": "others"},
    ),
    "arrays: one folder in the other": (
        lambda folder: write_traces(folder / "deeper", 2),
        "data.valid: 2 arrays are in data.train, too: name folders of which none ... traces/deeper/0.npy",
        {"valid": "traces/deeper"},
    ),
    "arrays: columns": (
        lambda folder: save(folder.parent / "others" / "x.npy", curves(9)),
        "has a fault: ... data.train: data.columns: there is no column 5",
        {"columns": [5], "valid": "others"},
    ),
    "arrays: keys": (
        lambda folder: write_traces(folder),
        "6 of 12 arrays in {folder} cannot be used ... 1.npz holds no array 'x' (`data.key`), but ema",
        {"key": "x"},
    ),
    "audio: one class left": (table(ONE_LEFT), NEEDS_TWO + "one class, 'low'"),
    "audio: none left": (
        table(ONE_LEFT.replace("train", "test").replace("wav,low,\n", "wav,low,test\n")),
        "data.train: the table's split names no sample to train on: call some `train`",
    ),
}


@pytest.mark.parametrize("case", [*FAULTS, *ONLY_IN_TRAINING])
def test_data_that_cannot_be_used_are_refused_before_anything_is_made(case, config):
    change, words, *options = (FAULTS | ONLY_IN_TRAINING)[case]
    data = Data(case.partition(":")[0], config)
    change(data.folder)
    options = dict(*options)
    for file in data.folder.glob("table.*"):
        options["train"] = str(file)
    before = contents(config.data)
    texts = [refused(main_01_train, data.training(**options), config)]
    assert all_runs(config.models) == []
    if case in FAULTS:
        key = data.key
        wanted = {key if option == "train" else option: value for option, value in options.items()}
        text = refused(main_02_extract, data.extraction(**wanted), config)
        texts.append(text.replace(f"data.{key}: ", "data.train: "))
    for text in texts:
        assert has_words(text.replace("\\", "/"), words.format(folder=data.folder).replace("\\", "/"))
    after = contents(config.data)
    after.pop(data.named(data.listed), None)
    assert after == before


# What can be learnt all the same


def silent_ones(folder: Path) -> None:
    for channels in ((), (2,)):
        record(folder / "low" / f"silent{len(channels)}.wav", np.zeros((1600, *channels)))


def of_other_rates(folder: Path) -> None:
    for rate in (44_100, 4000):
        record(folder / "low" / f"at_{rate}.wav", tone(300, rate=rate), rate)


def with_unknown_ones(folder: Path) -> None:
    with_others(low=300, odd=2000)(folder)
    record(folder.parent / "others" / "loose.wav", tone(300))


SILENT = "2 recordings are silent, all their samples are 0:\n  low/silent0.wav\n  low/silent1.wav"
RATES = (
    "resampled to 8000 Hz, recordings have 4000, 8000, 44100 Hz ... some recordings were made at 4000 Hz: "
    "at `sample_rate: 8000` they hold nothing above 2000"
)
RARE = "1 classes have too few recordings for both sides and are not in validation:\n  rare"
UNKNOWN = (
    "3 validation samples are of no class that training has and are left out: ... \n  without a label"
    " ... \n  odd"
)
WARNINGS: dict[str, tuple[Change, str, int, dict[str, Any]]] = {
    "silence": (silent_ones, SILENT, 14, {"standardise": "item"}),
    "channels": (of_channels(2, 3, 6), "", 15, {}),
    "rates": (of_other_rates, RATES, 14, {}),
    "rare": (lambda folder: record(folder / "rare" / "0.wav", tone(2000)), RARE, 13, {}),
    "classes of validation": (with_unknown_ones, UNKNOWN, 14, {"valid": "others"}),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_what_can_be_learnt_all_the_same_is_learnt_with_a_warning(case, config, log):
    change, words, n, options = WARNINGS[case]
    data = Data("audio", config)
    change(data.folder)
    code, _, text = answer(main_01_train, data.training(**options), config)
    (run,) = all_runs(config.models)
    assert code == 0 and has_words(text, words)
    always = ("no better", "groups are unknown")
    logged = [one.msg for one in log.records if one.levelname == "WARNING"]
    warnings = [words for words in logged if not any(word in words for word in always)]
    assert bool(warnings) == bool(words)
    assert run.record["train"]["n"] + run.record["valid"]["n"] == n
    assert run.record["classes"] == ["high", "low", "mid", *["rare"] * (case == "rare")]


@pytest.mark.parametrize("where", ["labels.csv", "table.csv"])
def test_of_several_labels_the_first_or_each_is_learnt_and_features_come_once(data, where, config, log):
    files = sorted(str(file.relative_to(data.folder).as_posix()) for file in data.folder.rglob("*.*"))
    names = [Path(file).stem for file in files] if data.kind == "arrays" else files
    again = f"{names[0]}#2"
    rows = [f"{name},{'ab'[n % 2]}\n" for n, name in enumerate(names)]
    (data.folder / where).write_text("".join(["file,label\n", *rows, f"{names[0]},c\n", f"{names[0]},c\n"]))
    location = {"train": str(data.folder / where)} if where == "table.csv" else {}
    text = refused(main_01_train, data.training(**location), config)
    assert "a and c" in text or "'a' and 'c'" in text
    assert "several: first` takes the first" in text or "or each label by `data.several: all`" in text

    def learnt(several: str) -> dict[str, str]:
        session = load_session(data.training(**location, several=several), TrainingSession)
        plan = check_training(session, config)
        samples = plan.kinds["train"].open()
        assert plan.sizes["train"].n_samples == len(samples)
        first = samples.gather(np.flatnonzero(samples.samples.files == files[0]), torch.device("cpu"))
        assert (first.values == first.values[:1]).all()
        assert len({*samples.samples.groups[samples.samples.files == files[0]]}) == 1
        return dict(zip(samples.samples.names.tolist(), samples.samples.labels.tolist(), strict=True))

    once = {name: "ab"[n % 2] for n, name in enumerate(names)}
    assert learnt("first") == once and learnt("all") == once | {again: "c"}
    code, _, text = answer(main_01_train, data.training(**location, several="all"), config)
    (run,) = all_runs(config.models)
    assert code == 0 and run.record["train"]["n"] + run.record["valid"]["n"] == len(names) + 1
    samples = {data.key: next(iter(location.values()), str(data.folder))}
    by_run = {"run": run.timestamp, "data": samples, "out": "by_run", "reduction": None}
    by_others = data.extraction(**samples, several="first") | {"out": "by_others", "reduction": None}
    for session in (by_run, by_others):
        assert extract(session, config).N.tolist() == names


def of_another_case(folder: Path) -> None:
    record(folder / "l_OW" / "0.wav", tone(300))
    record(folder / "l_OW" / "1.wav", tone(300))


def with_an_empty_one(folder: Path) -> None:
    (folder / "no").mkdir()


HEAVY = {"name": "cnn", "widths": [32], "hidden": 1024, "latent": 4, "dropout": [0, 0]}
CHECKED: dict[str, tuple[Change, str, dict[str, Any]]] = {
    "written alike": (of_another_case, "classes that may be one ... :\n  'l_OW' and 'low'", {}),
    "one recording": (WARNINGS["rare"][0], "1 classes have one recording alone ... :\n  rare", {}),
    "an empty folder": (with_an_empty_one, "1 folders in {folder} hold no recording:\n  no", {}),
    "no groups": (Path.exists, "groups are unknown, every recording is one of its own", {}),
    "class folders": (Path.exists, "classes: high, low", {"train": ["sounds/high", "sounds/low"]}),
    "too many weights": (Path.exists, "lin1.2 has 1,835,008 weights for 12 samples", {"model": HEAVY}),
}


@pytest.mark.parametrize("case", CHECKED)
def test_a_check_warns_of_what_will_not_be_learnt_well(case, config):
    change, words, options = CHECKED[case]
    data = Data("audio", config)
    change(data.folder)
    before = contents(config.data.parent)
    session = data.training(**{key: value for key, value in options.items() if key != "model"})
    session |= {key: value for key, value in options.items() if key == "model"}
    code, out, text = answer(main_01_train, session, config, "--check")
    assert (code, out) == (0, "") and has_words(text, words.format(folder=data.folder))
    for word in ("may be one", "one recording alone", "hold no recording", "weights for"):
        assert text.count(word) == (word in words)
    after = contents(config.data.parent)
    assert after.pop("session.yaml") and after == before
