"""Photographs of any size and format: how they are decoded, and what is made of a folder of them."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, answer, contents
from PIL import Image, ImageFile, ImageOps

import main_01_train
import main_02_extract
import main_03_evaluate
from saec.data import DATA, Cache
from saec.data.photos import ALPHA, DEEP, FRAMES, TURNS, picture_of
from saec.data.png import decode
from saec.faults import Unusable
from saec.inspection import inspect
from saec.runs.find import all_runs

# 12 x 16 squares of 8 pixels in random colours, 96 high and 128 wide
SQUARES = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
PHOTO = Image.fromarray(SQUARES)
GREY = np.asarray(PHOTO.convert("L"))
WHOLE = (1000, 1000)  # a size for which nothing is decoded in part
LOSSLESS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}


def saved(file: Path, photo: Image.Image, form: str, **options: Any) -> Path:
    photo.save(file, form, **LOSSLESS.get(form, {}) | options)
    return file


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_picture_of_each_format_is_decoded_whatever_its_name_says(form, tmp_path):
    photo = PHOTO.quantize(200) if form == "GIF" else PHOTO
    picture = picture_of(saved(tmp_path / "a.jpg", photo, form), WHOLE)
    error = np.abs(picture.pixels.astype(int) - np.asarray(photo.convert("RGB"))).mean()
    assert error <= (2 if form == "JPEG" else 0) and picture.size == (96, 128) and picture.form == form
    assert picture.changes == (["are of a palette, taken as RGB"] if form == "GIF" else [])


def test_a_picture_is_read_where_a_program_has_lifted_the_limit_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    file = saved(tmp_path / "a.jpg", Image.new("RGB", (30, 20), "red"), "JPEG")
    assert picture_of(file, WHOLE).pixels.shape == (20, 30, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_stands_upright_as_its_exif_says_in_part_of_its_size_too(form, turn, tmp_path):
    exif = Image.Exif()
    exif[0x112] = turn
    file = saved(tmp_path / "a", PHOTO.resize((512, 384), Image.Resampling.NEAREST), form, exif=exif)
    with Image.open(file) as photo:
        upright = ImageOps.exif_transpose(photo).convert("RGB")
    picture = picture_of(file, WHOLE)
    assert np.array_equal(picture.pixels, np.asarray(upright)) and picture.size == upright.size[::-1]
    assert picture.changes == [TURNS] * (turn > 1 and form != "TIFF")
    small = picture_of(file, (12, 16) if turn < 5 else (16, 12), "resize").pixels
    expected = np.asarray(upright.resize(small.shape[1::-1], Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(small - expected).mean() < (3 if form == "JPEG" else 0.01)


OF_ONE_COLOUR: dict[str, tuple[Image.Image, str, tuple[int, int, int], list[str]]] = {
    "grey": (Image.new("L", (9, 8), 77), "JPEG", (77, 77, 77), ["are grey, taken as RGB"]),
    "two levels": (Image.new("1", (9, 8), 1), "PNG", (255, 255, 255), ["are grey, taken as RGB"]),
    "CMYK": (Image.new("CMYK", (9, 8), (255, 0, 0, 0)), "JPEG", (0, 255, 255), ["are CMYK, taken as RGB"]),
    "16 bits": (Image.fromarray(np.full((8, 9), 0x4D33, "u2")), "PNG", (0x4D, 0x4D, 0x4D), [DEEP]),
    "transparent": (Image.new("RGBA", (9, 8), (200, 0, 0, 0)), "PNG", (255, 255, 255), [ALPHA]),
    "opaque": (Image.new("RGBA", (9, 8), (200, 0, 0, 255)), "PNG", (200, 0, 0), []),
    "one pixel": (Image.new("RGB", (1, 1), (200, 0, 0)), "PNG", (200, 0, 0), []),
    "one line": (Image.new("RGB", (10_000, 1), (200, 0, 0)), "JPEG", (200, 0, 0), []),
    "one column": (Image.new("RGB", (1, 10_000), (200, 0, 0)), "PNG", (200, 0, 0), []),
    "grey that libjpeg would add": (Image.new("RGB", (32, 32), (128,) * 3), "JPEG", (128,) * 3, []),
}


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
@pytest.mark.parametrize("case", OF_ONE_COLOUR)
def test_what_a_file_holds_becomes_rgb_or_grey_of_one_size_and_changes_are_said(case, fit, tmp_path):
    photo, form, colour, changes = OF_ONE_COLOUR[case]
    file = saved(tmp_path / "a", photo, form)
    picture = picture_of(file, (20, 30), fit)
    assert picture.pixels.shape == (20, 30, 3) and picture.pixels.dtype == np.uint8
    assert picture.changes == changes and picture.size == photo.size[::-1] and picture.mode == photo.mode
    is_so = (np.abs(picture.pixels.astype(int) - colour) <= 3).all(axis=2)
    assert is_so[9:11, 14:16].any() if fit == "pad" else is_so.all()
    assert picture_of(file, (20, 30), fit, "L").pixels.shape == (20, 30)


def test_a_picture_is_cropped_in_its_middle_or_padded_with_grey_all_around(tmp_path):
    file = saved(tmp_path / "a.png", PHOTO, "PNG")  # 96 x 128
    assert np.array_equal(picture_of(file, (96, 96), "crop").pixels, SQUARES[:, 16:112])
    padded = picture_of(file, (128, 128), "pad").pixels
    assert np.array_equal(padded[16:112], SQUARES) and (np.delete(padded, slice(16, 112), 0) == 128).all()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(form, tmp_path):
    more = [Image.new("RGB", PHOTO.size)] * 2
    picture = picture_of(saved(tmp_path / "a", PHOTO, form, save_all=True, append_images=more), WHOLE)
    assert FRAMES in picture.changes and np.abs(picture.pixels.astype(int) - SQUARES).mean() < 12


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_half_a_jpeg_is_refused_though_a_package_lets_it_pass(mode, progressive, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8))
    file = saved(tmp_path / "a.jpg", noise.convert(mode), "JPEG", progressive=progressive)
    whole = file.read_bytes()
    assert picture_of(file, WHOLE).size == (40, 48)
    for behind in (b"", b"\xff\xd9", bytes(5000)):
        for share in (0.02, 0.2, 0.5, 0.8, 0.95):
            file.write_bytes(whole[: int(len(whole) * share)] + behind)
            for size in (WHOLE, (5, 6)):
                with pytest.raises(Unusable):
                    picture_of(file, size)


def write_photos(folder: Path, n: int = 12) -> list[str]:
    """Pictures of two kinds of scenes in two class folders, of several sizes and formats."""
    names = []
    for number in range(n):
        scene = np.full((40 + number, 56, 3), (40, 90, 200) if number % 2 else (200, 120, 30))
        scene[8:20, number : number + 12] = 250
        name = f"{'sea' if number % 2 else 'sand'}/{number:02d}{('.jpg', '.PNG', '.webp')[number % 3]}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.astype(np.uint8)).save(folder / name)
        names.append(name)
    return sorted(names)


def test_names_that_differ_in_case_alone_are_two_samples_with_labels_of_their_own(tmp_path):
    for name in ("a.jpg", "A.jpg", "A.JPG"):
        Image.new("RGB", (9, 9), (len(list(tmp_path.iterdir())) * 50, 0, 0)).save(tmp_path / name)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system has one file of the three")
    (tmp_path / "labels.csv").write_text("file,label\na.jpg,one\nA.jpg,two\nA.JPG,three\n")
    kind = DATA.parse({"kind": "photos", "train": "", "size": 8})(tmp_path, Cache(tmp_path / "cache"))
    data = kind.open()
    assert data.samples.names.tolist() == ["A.JPG", "A.jpg", "a.jpg"]
    assert data.samples.labels.tolist() == ["three", "two", "one"]
    assert data.stored.array[:, 0, 0, 0].tolist() == pytest.approx([100, 50, 0], abs=2)


def test_changes_are_said_once_with_their_numbers_and_what_is_not_used(tmp_path, caplog):
    folder = tmp_path / "photos"
    write_photos(folder, 4)
    for name in ("a.gif", "b.gif"):
        PHOTO.convert("L").save(folder / name, save_all=True, append_images=[Image.new("L", PHOTO.size)])
    (folder / "raw.cr2").write_bytes(b"raw")
    options = {"kind": "photos", "train": "", "size": 16, "colour": "grey"}
    for _ in range(2):  # decoded, and from the cache
        caplog.clear()
        DATA.parse(options)(folder, Cache(tmp_path / "cache", n_workers=2)).open()
        assert caplog.text.count(f"{folder}: of 6 pictures\n  2 {FRAMES}") == 1
        assert caplog.text.count(f"{folder}: not used: 1 x .cr2") == 1


def test_a_folder_of_photographs_is_learnt_extracted_and_evaluated(config):
    folder = config.data / "photos"
    names = write_photos(folder)
    data = {"kind": "photos", "train": "photos", "valid": 4, "size": [128, 32]}
    session = {"data": data, "model": TINY, "views": "photo"}
    session["training"] = {"epochs": 1, "batch_size": 4, "precision": "fp32"}
    assert answer(main_01_train, session, config)[0] == 0
    (run,) = all_runs(config.models)
    assert run.record["input_shape"] == [3, 128, 32]
    before = contents(folder)
    session = {"run": run.timestamp, "data": {"images": "photos"}, "reduction": None, "reconstructions": 2}
    code, _, text = answer(main_02_extract, session | {"out": "photos/features"}, config)
    assert (
        code == 2 and "photos/features holds the pictures themselves" in text
    )  # whose figures it would take
    code, out, _ = answer(main_02_extract, session, config)
    assert code == 0
    pooled = next(path for path in out.split() if "pooled" in path)
    assert np.load(pooled)["N"].tolist() == names and contents(folder) == before
    session = {"images": "photos", "features": pooled, "evaluations": "knn"}
    session["rebuilt"] = {"run": run.timestamp, "images": "photos"}
    session["similar"] = {"to": names[0], "n": 3}
    code, out, text = answer(main_03_evaluate, session, config)
    report = Path(out.strip())
    assert code == 0 and "no pixels" not in text and (report / "similar_session.png").is_file()
    assert (report / "similar_session.csv").read_text().count("sand/") > 3
    assert "pixels 32 x 32" in (report / "scores.csv").read_text()
    page = (report / "explorer.html").read_text(encoding="utf-8")
    small = re.findall(r"data:image/(\w+);base64,([\w+/=]+)", page)
    assert [form for form, _ in small] == [{"G": "webp"}.get(name[-1], "jpeg") for name in names]
    for form, content in small:
        with Image.open(io.BytesIO(base64.b64decode(content))) as thumbnail:
            assert thumbnail.format == form.upper() and min(thumbnail.size) > 30


def test_the_look_through_a_folder_of_photographs_counts_formats_and_what_cannot_be_read(tmp_path):
    names = write_photos(tmp_path)
    (tmp_path / "text.jpg").write_text("this is no picture")
    result = inspect(tmp_path, 2)
    assert result.names == names and list(result.unreadable) == ["text.jpg"]
    assert result.modes == {"RGB JPEG": 4, "RGB PNG": 4, "RGB WEBP": 4} and len(result.sizes) == 12
    assert result.are_photos and len(result.remarks()) == 1  # sizes and modes are no remarks
    assert result.levels_are == "luminance"
    assert result.levels.sum() == sum((40 + number) * 56 for number in range(12))


def test_a_spectrogram_is_decoded_as_ever(pictures):
    for file in pictures.iterdir():
        assert np.array_equal(picture_of(file, (1, 1)).pixels, decode(file))
