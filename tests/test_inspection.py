"""Inspection of a folder of pictures."""

import numpy as np
import pandas as pd
import pytest
from conftest import intensities, training_session, write_pictures
from PIL import Image

from saec import evaluate
from saec.documents import to_yaml
from saec.explorer.page import thumbnails
from saec.faults import MissingFault
from saec.files import write_text
from saec.inspection import inspect, statistics
from saec.session import SessionError, TrainingSession, load_session


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path, intensities(8), "gray")
    return tmp_path


@pytest.mark.parametrize("colormap", ["viridis", "magma", "gray", None])
def test_intensity_is_counted_whatever_the_colour_map_and_luminance_without_one(tmp_path, colormap):
    levels = intensities(3)
    write_pictures(tmp_path, levels, colormap or "gray")
    if colormap is None:
        Image.fromarray(np.stack([levels[0], levels[1], levels[2]], -1)).save(tmp_path / "colours.png")
    result = inspect(tmp_path)
    assert result.levels_are == ("intensity" if colormap else "luminance")
    if colormap:
        assert np.array_equal(result.levels, np.bincount(levels.ravel(), minlength=256))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_folder_of_very_few_pictures_is_inspected(tmp_path, n):
    write_pictures(tmp_path, intensities(n))
    Image.fromarray(np.full((128, 32), 7, dtype=np.uint8)).save(tmp_path / "blank.png")
    assert inspect(tmp_path).blank == ["blank.png"]


def test_sizes_modes_recordings_and_intensities_are_counted(folder):
    inspection = inspect(folder)
    assert inspection.sizes == {"32 x 128": 8} and inspection.modes == {"L": 8}
    assert inspection.recordings == {"rec00": 4, "rec01": 4} and len(inspection.names) == 8
    assert inspection.levels.sum() == 8 * 32 * 128
    assert np.array_equal(inspection.levels, np.bincount(intensities(8).ravel(), minlength=256))
    threads = inspect(folder, n_workers=3)
    assert threads.names == inspection.names and np.array_equal(threads.levels, inspection.levels)
    assert inspection.remarks() == []
    assert inspection.n_bytes == sum(f.stat().st_size for f in folder.iterdir())


def test_what_to_look_at_is_in_the_remarks(folder):
    first = sorted(folder.iterdir())[0]
    Image.open(first).save(folder / "rec09_segm_0000.000.png")
    Image.fromarray(np.full((128, 32), 7, dtype=np.uint8)).save(folder / "blank.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        folder / "wide.png"
    )
    (folder / "cut.png").write_bytes(first.read_bytes()[:60])
    inspection = inspect(folder)
    assert inspection.alike == [(first.name, "rec09_segm_0000.000.png", pytest.approx(1))]
    assert inspection.blank == ["blank.png"] and list(inspection.unreadable) == ["cut.png"]
    remarks = "\n".join(inspection.remarks())
    expected = ("1 picture cannot be read:\n  cut.png", "is blank", "all but the same", "2 modes")
    assert "2 sizes" in remarks
    assert all(words in remarks for words in expected)


def windowed(grey: np.ndarray, kernel: list[list[int]]) -> np.ndarray:
    height, width = grey.shape
    windows = (grey[y : y + 3, x : x + 3] for y in range(height - 2) for x in range(width - 2))
    return np.array([(window * kernel).sum() for window in windows])


def test_statistics_of_a_picture_are_those_of_their_formulas():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float64)
    red, green, blue = (pixels[..., channel].astype(float) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    colours = np.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    noise = np.abs(windowed(grey, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]])).sum()
    expected = {
        "mean": grey.mean(),
        "std": grey.std(),
        "contrast": (np.percentile(grey, 99) - np.percentile(grey, 1)) / 255,
        "sharpness": windowed(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]).var(),
        "colourfulness": colours,
        "noise": np.sqrt(np.pi / 2) * noise / (6 * (9 - 2) * (12 - 2)),
    }
    assert statistics(pixels) == pytest.approx(expected, rel=1e-4)
    assert statistics(pixels[..., 0])["colourfulness"] == 0 and np.isnan(statistics(pixels[:2])["noise"])
    noisy = 128 + 10 * np.random.default_rng(1).standard_normal((200, 200))
    assert statistics(noisy.round().astype(np.uint8))["noise"] == pytest.approx(10, rel=0.03)


def test_the_table_has_a_row_for_each_picture_that_can_be_read(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3000, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    Image.fromarray(pixels[:, :40, 0]).save(tmp_path / "b.png")
    (tmp_path / "c.webp").write_bytes(b"nothing")
    inspection = inspect(tmp_path)
    first, second = inspection.rows
    shapes = [
        tuple(row[key] for key in ("file", "width", "height", "format", "mode")) for row in (first, second)
    ]
    assert shapes == [("a.jpg", 3000, 30, "JPEG", "RGB"), ("b.png", 40, 30, "PNG", "L")]
    assert first["bytes"] == (tmp_path / "a.jpg").stat().st_size and list(inspection.unreadable) == ["c.webp"]
    assert second["mean"] == pytest.approx(pixels[:, :40, 0].mean(), abs=1e-3)


def test_a_split_has_its_intensities_and_what_is_on_both_sides_of_it(folder, tmp_path_factory):
    names = sorted(file.name for file in folder.iterdir())
    for twin in ("rec08_segm_0000.000.png", "rec09_segm_0000.000.png"):  # one on each side
        (folder / twin).write_bytes((folder / names[0]).read_bytes())
    splits = dict.fromkeys(names, "train") | {twin: "valid"}
    inspection = inspect(folder, splits=splits)
    across, doubt = next(iter(inspection.doubtful.items()))[::-1]
    assert across == [f"{names[0]} = {twin}"] and "the other side of the split" in doubt
    assert [row["split"] for row in inspection.rows] == ["train"] * 8 + ["", "valid"]
    train, valid = (inspection.levels_by_split[side] for side in ("train", "valid"))
    assert (train.sum(), valid.sum()) == (8 * 32 * 128, 32 * 128)
    other = tmp_path_factory.mktemp("valid")
    (folder / twin).rename(other / names[0])
    inspection = inspect(folder, valid=other)
    assert inspection.rows[-1]["file"] == (other / names[0]).as_posix()
    assert [row["split"] for row in inspection.rows] == ["train"] * 9 + ["valid"]
    assert len(next(iter(inspection.doubtful.values()))) == 2  # both copies


@pytest.mark.parametrize("named", ["run", "folder", "run with a folder"])
def test_a_session_names_the_split_by_a_run_or_a_folder(config, named):
    names = write_pictures(config.data / "songs", intensities(6), "gray")
    write_pictures(config.data / "more", intensities(2), "gray")
    run = config.models / "20260101_000000_songs"
    run.mkdir(parents=True)
    (config.data / "songs" / names[0]).rename(config.data / "songs" / "-first.png")
    names[0] = "'-first.png"  # as a run writes it, for spreadsheets
    rows = [f"{name},,,{'valid' if number > 4 else 'train'}" for number, name in enumerate(names)]
    (run / "split.csv").write_text("\n".join(["file,label,group,split", *rows]) + "\n")
    valid = str(config.data / "more") if named == "run with a folder" else 0.3
    given = training_session(data={"kind": "images", "train": "songs", "valid": valid})
    session = load_session(given, TrainingSession)
    write_text(
        run / "session.yaml", to_yaml(session.model_dump(mode="json") | {"record": {"input_shape": [1]}})
    )
    given = {"images": "songs", "inspect": "more" if named == "folder" else str(run), "out": "reports"}
    report = evaluate(given, config)
    table = pd.read_csv(report.folder / "pictures_table.csv")
    assert table["split"].value_counts().to_dict() == (
        {"train": 5, "valid": 1} if named == "run" else {"train": 6, "valid": 2}
    )
    assert (report.folder / "pictures_intensity_split.png").is_file()
    medians = (report.folder / "report.html").read_text(encoding="utf-8").partition("Medians of")[2]
    assert 0 < medians.find("sharpness") < medians.find("train") < medians.find("valid")
    assert ("the other side of the split" in report.findings[-1]) == (named != "run")
    with pytest.raises(SessionError, match="inspect: "):
        evaluate(given | {"inspect": "latest:nothing"}, config)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_pictures_are_compared_as_far_as_there_are_some(tmp_path, n):
    write_pictures(tmp_path, intensities(n), "gray")
    Image.fromarray(np.zeros((128, 32), np.uint8)).save(tmp_path / "blank.png")
    inspection = inspect(tmp_path)
    assert (inspection.alike, inspection.blank, len(inspection.names)) == ([], ["blank.png"], n + 1)
    first = sorted(tmp_path.iterdir())[-1]
    first.with_name("again.png").write_bytes(first.read_bytes())
    assert inspect(tmp_path).alike == [("again.png", first.name, pytest.approx(1))]


def test_what_is_called_a_picture_and_is_none_is_never_opened_as_something_else(folder):
    """Pillow would hand an EPS file to another program."""
    (folder / "eps.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    inspection = inspect(folder)
    assert list(inspection.unreadable) == ["eps.png"]
    assert "is not a PNG, whatever its name says" in inspection.unreadable["eps.png"]
    assert thumbnails(folder, np.array(["eps.png"]), 1.0) == [""]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(MissingFault, match="no .*\\*.png, .* directly in .* found no file at all"):
        inspect(tmp_path)
