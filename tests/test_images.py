"""A folder of pictures as training and extraction get it: which, in what order, with what contents."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import intensities, write_pictures
from PIL import Image

from saec.data import Cache, Dataset
from saec.data.images import Images
from saec.data.png import SIDECAR, USUAL, table
from saec.faults import Fault, MissingFault

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "data" / "songs" / "train" / "images"
    folder.mkdir(parents=True)
    return folder


def opened(folder: Path, **options) -> Dataset:
    return Images(folder, Cache(folder.parents[3] / "cache"), **options).open()


def pixels(data: Dataset) -> np.ndarray:
    """(n, channels, height, width) floats, as a model gets them."""
    return data.front(data.gather(np.arange(len(data)), CPU)).numpy()


def save(folder: Path, name: str, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(folder / name, format="PNG")


def save_palette(folder: Path, levels: np.ndarray, colours: np.ndarray) -> None:
    palette = Image.frombytes("P", levels.shape[::-1], levels.tobytes())
    palette.putpalette(colours.tobytes())
    palette.save(folder / "palette.png")


def read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def random_levels(height: int = 8, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


# Which pictures, and in what order


def test_pictures_are_sorted_by_code_point_whatever_the_case_of_their_suffix(folder):
    names = ["b.png", "C.PNG", "_.png", "ä.png", "a.Png", "10.png", "9.png"]
    for name in names:
        save(folder, name, random_levels())
    data = opened(folder)
    assert data.samples.names.tolist() == ["10.png", "9.png", "C.PNG", "_.png", "a.Png", "b.png", "ä.png"]


def test_only_png_files_directly_in_the_folder_count(folder):
    (folder / "below").mkdir()
    (folder / "folder.png").mkdir()
    for name in ("a.png", "b.png.bak", "below/c.png"):
        save(folder, name, random_levels())
    (folder / "notes.txt").write_text("png")
    assert opened(folder).samples.names.tolist() == ["a.png"]


NESTED = ["up/a_segm_0000.000.png", "up/b.png", "down/a_segm_0001.000.png", "down/deep/c_segm_1.png", "d.png"]


def nested(folder: Path) -> None:
    for name in (*NESTED, "up/._b.png", ".trash/e.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(folder, name, random_levels())


def by_name(data: Dataset) -> dict[str, tuple[str, str]]:
    return {
        name: (label, group) for name, label, group in data.samples.table[["label", "group"]].itertuples()
    }


OF_NESTED = {
    "d.png": ("", "d.png"),
    "down/a_segm_0001.000.png": ("down", "a"),
    "down/deep/c_segm_1.png": ("down", "c"),
    "up/a_segm_0000.000.png": ("up", "a"),
    "up/b.png": ("up", "up/b.png"),
}


def test_pictures_below_a_folder_are_named_by_their_paths_and_the_first_folder_is_the_class(folder, caplog):
    """A recording is one group, whatever the classes of its segments."""
    nested(folder)
    data = opened(folder, recursive=True)
    assert by_name(data) == OF_NESTED and list(by_name(data)) == list(OF_NESTED)
    assert "not used" not in caplog.text
    by_pattern = opened(folder, recursive=True, group=r"^(\w+)/").samples.groups.tolist()
    assert by_pattern == ["d.png", "down", "down", "up", "up"] and "1 pictures have no group" in caplog.text
    (folder / "labels.csv").write_text("file,label\nup/b.png,wren\nd.png,owl\n")
    changed = {"up/b.png": ("wren", "up/b.png"), "d.png": ("owl", "d.png")}
    assert by_name(opened(folder, recursive=True)) == OF_NESTED | changed
    assert opened(folder).samples.names.tolist() == ["d.png"]
    assert f"4 pictures in folders below {folder} are not used: `data.recursive: true` takes" in caplog.text


def test_class_folders_a_table_and_one_picture_are_read_as_a_folder_is(folder):
    nested(folder)
    cache = Cache(folder.parents[3] / "cache")
    several = Images((folder / "up", folder / "down"), cache).open()
    assert by_name(several) == {name: OF_NESTED[name] for name in OF_NESTED if name.count("/") == 1}
    save(folder, "up/b.png", table("gray_r")[random_levels()])
    (folder / "up" / SIDECAR).write_text(json.dumps({"colormap": "gray_r"}))
    one = Images(folder / "up" / "b.png", cache).open()
    assert by_name(one) == {"b.png": ("", "b.png")} and one.about["colormap"] == "gray_r"
    rows = [
        "file,label,group,split,start,end",
        "images/up/b.png,wren,x,valid,1.5,2",
        "images\\d.png,owl,,train,,",
    ]
    (folder.parent / "list.csv").write_text("\n".join(rows))
    data = Images(folder.parent / "list.csv", cache).open()
    assert by_name(data) == {"images/d.png": ("owl", "images/d.png"), "images/up/b.png": ("wren", "x")}
    assert data.samples.splits.tolist() == ["train", "valid"] and len(pixels(data)) == 2


@pytest.mark.parametrize(
    ("limit", "taken"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, range(10)), (99, range(10))]
)
def test_a_limit_takes_pictures_evenly_and_labels_of_others_are_no_loss(folder, limit, taken, log):
    names = write_pictures(folder, intensities(10, 8, 8))
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{name},l{name}\n" for name in names))
    samples = opened(folder, limit=limit).samples
    assert samples.names.tolist() == [names[index] for index in taken] and "labels" not in log.text
    assert samples.labels.tolist() == [f"l{name}" for name in samples.names]


def test_a_missing_folder_and_one_without_pictures_are_different_faults(folder):
    with pytest.raises(MissingFault, match="no such folder: .*nowhere"):
        opened(folder / "nowhere")
    save(folder, "a.png", random_levels())
    with pytest.raises(MissingFault, match=r"no \*.png directly in .*train; there are some in .*images"):
        Images(folder.parent, Cache(folder.parents[3] / "cache"))


# What is in them


@pytest.mark.parametrize("name", USUAL)
def test_rgb_from_the_intensity_store_equals_the_pixels_of_the_png(folder, name):
    levels = random_levels(16, 32)
    save(folder, "a.png", levels if name == "gray" else table(name)[levels])
    data = opened(folder, channels="rgb")
    written = read(folder / "a.png")
    assert data.stored.shape == (1, 16, 32) and data.about["colormap"] == name
    assert np.array_equal(np.rint(pixels(data)[0] * 255), written.transpose(2, 0, 1))


def test_palettes_are_read_as_the_colours_they_stand_for(folder):
    levels = random_levels()
    save(folder, "grey.png", levels)
    save(folder, "rgb.png", np.repeat(levels[..., None], 3, axis=-1))
    save_palette(folder, levels, np.repeat(np.arange(256, dtype=np.uint8), 3))
    assert all(np.array_equal(row, levels) for row in opened(folder).stored.array)


def test_a_palette_of_a_colour_map_is_read_as_its_intensity(folder):
    levels = random_levels()
    save(folder, "rgb.png", table("viridis")[levels])
    save_palette(folder, levels, table("viridis"))
    first, second = opened(folder).stored.array
    assert np.array_equal(first, second)
    assert np.array_equal(table("viridis")[first], table("viridis")[levels])


def test_transparency_that_nothing_has_is_dropped(folder):
    """As matplotlib saves pictures; or a colour that would be transparent and is nowhere in the picture."""
    levels = random_levels() // 2
    plt.imsave(folder / "a.png", levels, cmap="viridis", vmin=0, vmax=255)
    grey = Image.fromarray(levels)
    opaque = Image.new("L", grey.size, 255)
    coloured = Image.fromarray(table("viridis")[levels])
    coloured.save(folder / "b.png", transparency=(1, 2, 3))
    palette = Image.frombytes("P", levels.shape[::-1], levels.tobytes())
    palette.putpalette(table("viridis").tobytes())
    palette.save(folder / "c.png", transparency=bytes([255] * 128))
    palette.save(folder / "d.png", transparency=200)
    assert all(
        np.array_equal(table("viridis")[row], table("viridis")[levels]) for row in opened(folder).stored.array
    )
    other = folder.with_name("grey")
    other.mkdir()
    Image.merge("LA", (grey, opaque)).save(other / "a.png")
    grey.save(other / "b.png", transparency=200)
    assert all(np.array_equal(row, levels) for row in opened(other).stored.array)


def test_blank_pictures_are_warned_of_whenever_a_folder_is_opened(folder, caplog):
    names = write_pictures(folder, intensities(6))
    for name in names[:2]:
        save(folder, name, np.full((128, 32), 7, np.uint8))
    for _ in range(2):
        caplog.clear()
        opened(folder, channels="rgb")
        assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
            f"{folder}: 2 of 6 pictures are of one colour:\n  {names[0]}\n  {names[1]}"
        ]


def test_the_sidecars_map_comes_first(folder):
    levels = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (4, 1))
    save(folder, "a.png", table("gray_r")[levels])
    assert np.array_equal(opened(folder).stored.array[0], table("gray_r")[levels][..., 0])
    (folder / SIDECAR).write_text(json.dumps({"colormap": "gray_r"}))
    data = opened(folder)
    assert data.about["colormap"] == "gray_r"
    assert np.array_equal(table("gray_r")[data.stored.array[0]], table("gray_r")[levels])
    assert data.stored.array[0, 0, 0] == 0 and opened(folder).stored.array[0, 0, -1] > 180


def test_a_sidecars_map_that_explains_nothing_gives_way_to_the_usual_ones(folder):
    save(folder, "a.png", table("magma")[random_levels()])
    (folder / SIDECAR).write_text(json.dumps({"colormap": "viridis"}))
    assert opened(folder).about["colormap"] == "magma"


@pytest.mark.parametrize("row", [0, 3, 39])
def test_a_folder_with_one_picture_in_no_colour_map_is_refused_as_intensity_and_is_rgb(folder, row):
    names = write_pictures(folder, intensities(40, 8, 8))
    save(folder, names[row], np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    with pytest.raises(Fault, match=f"{names[row]} is in no colour map that is known.*data.channels: rgb"):
        opened(folder)
    data = opened(folder, channels="rgb")
    written = np.stack([read(folder / name) for name in names])
    assert data.about["colormap"] == "none" and np.array_equal(data.stored.array, written)
    assert np.array_equal(np.rint(pixels(data) * 255), written.transpose(0, 3, 1, 2))


def test_a_grey_picture_among_coloured_ones_keeps_its_grey_as_rgb(folder):
    levels = random_levels()
    save(folder, "a.png", table("viridis")[levels])
    save(folder, "b.png", levels)
    data = opened(folder, channels="rgb")
    assert np.array_equal(data.stored.array[1], np.repeat(levels[..., None], 3, axis=-1))


# At the size that a model needs


def fitted(folder: Path, fit: str, height: int | None = 8, time_pool: int = 8, **options) -> np.ndarray:
    data = opened(folder, fit=fit, **options).sized_for(height, time_pool)
    result = pixels(data)
    assert result.shape[1:] == data.shape
    return result


FITS = ("none", "pad", "crop", "resize")


@pytest.mark.parametrize("fit", FITS)
def test_a_size_that_suits_is_left_as_it_is_by_every_fit(folder, fit):
    levels = random_levels(8, 16)
    save(folder, "a.png", levels)
    assert np.array_equal(np.rint(fitted(folder, fit)[0, 0] * 255), levels)


@pytest.mark.parametrize(
    ("width", "fit", "words"),
    [
        (12, "none", "12 wide and 8 high.*multiple of 8 and a height of 8.*data.fit: pad.*crop.*resize"),
        (6, "crop", "width 6 cannot be cropped to 8: choose `data.fit: pad`"),
        *[(12, fit, "12 wide and 9 high.*a height of 8: choose `data.fit: resize`") for fit in FITS[:3]],
    ],
)
def test_a_size_that_does_not_suit_is_refused_with_the_remedies(folder, width, fit, words):
    """Rows are frequencies: no fit but `resize` may change their number."""
    save(folder, "a.png", random_levels(9 if "9 high" in words else 8, width))
    with pytest.raises(Fault, match=words):
        fitted(folder, fit)


@pytest.mark.parametrize("channels", ["intensity", "rgb"])
def test_pad_adds_the_floor_colour_on_the_right(folder, channels):
    levels = random_levels(8, 12)
    save(folder, "a.png", table("viridis")[levels])
    result = np.rint(fitted(folder, "pad", channels=channels)[0] * 255).transpose(1, 2, 0)
    expected, floor = (table("viridis")[levels], table("viridis")[0])
    if channels == "intensity":
        expected, floor = opened(folder).stored.array[0][..., None], 0
    assert result.shape[:2] == (8, 16)
    assert np.array_equal(result[:, :12], expected)
    assert (result[:, 12:] == floor).all()


def test_pad_of_plain_rgb_adds_black(folder):
    picture = np.random.default_rng(0).integers(1, 256, (8, 12, 3), dtype=np.uint8)
    save(folder, "a.png", picture)
    result = fitted(folder, "pad", channels="rgb")[0]
    assert np.array_equal(np.rint(result[:, :, :12] * 255), picture.transpose(2, 0, 1))
    assert (result[:, :, 12:] == 0).all()


def test_crop_takes_the_right_end_away(folder):
    levels = random_levels(8, 12)
    save(folder, "a.png", levels)
    assert np.array_equal(np.rint(fitted(folder, "crop")[0, 0] * 255), levels[:, :8])


@pytest.mark.parametrize(("width", "expected"), [(3, 8), (11, 8), (13, 16), (21, 24)])
def test_resize_takes_the_nearest_width_and_at_least_one_step(folder, width, expected):
    save(folder, "a.png", np.full((8, width), 77, np.uint8))
    result = fitted(folder, "resize")
    assert result.shape == (1, 1, 8, expected)
    assert np.allclose(result * 255, 77, atol=1e-3)


def test_resize_is_bilinear_with_antialias_as_torchvision_does_it(folder):
    from torchvision.transforms.functional import resize

    levels = random_levels(12, 20)
    save(folder, "a.png", levels)
    expected = resize(torch.from_numpy(levels[None] / 255).float(), [8, 16], antialias=True)
    assert np.allclose(fitted(folder, "resize")[0], expected, atol=1e-5)


def test_the_original_in_a_figure_is_the_picture_before_it_was_resized(folder):
    levels = random_levels(12, 20)
    save(folder, "a.png", levels)
    data = opened(folder, fit="resize").sized_for(8, 8)
    original = data.front.original(data.gather(np.array([0]), CPU))
    assert np.array_equal((original[0, 0] * 255).round().numpy(), levels) and data.shape == (1, 8, 16)


def test_a_model_of_any_height_keeps_the_height(folder):
    save(folder, "a.png", random_levels(11, 12))
    assert fitted(folder, "pad", height=None).shape == (1, 1, 11, 16)


# Labels and groups


def test_groups_are_the_recordings_in_the_names(folder):
    for name in ("a_segm_1.png", "a_segm_2.png", "b_segm_1.png", "lonely.png"):
        save(folder, name, random_levels())
    data = opened(folder)
    assert data.samples.groups.tolist() == ["a", "a", "b", "lonely.png"]
    assert data.samples.labels.tolist() == ["", "", "", ""]


def test_a_split_beside_pictures_is_left_to_evaluations(folder):
    names = write_pictures(folder, intensities(2))
    (folder / "labels.csv").write_text(f"file,label,split\n{names[0]},a,fold1\n{names[1]},b,test\n")
    samples = opened(folder).samples
    assert samples.labels.tolist() == ["a", "b"] and samples.splits.tolist() == ["", ""]


def test_a_bad_picture_is_left_out_though_another_is_in_no_map(folder, tmp_path, log):
    names = write_pictures(folder, intensities(40))
    (folder / names[4]).write_bytes((folder / names[4]).read_bytes()[:60])
    rgb = np.random.default_rng(0).integers(0, 256, (128, 32, 3), dtype=np.uint8)
    save(folder, names[1], rgb)  # not among those on which the maps are tried
    kind = Images(folder, Cache(tmp_path / "own", n_workers=2), channels="rgb", skip_bad=True)
    data = kind.open()
    assert data.about["left_out"] == [names[4]] and len(data) == 39
    assert f"{names[1]} is in no colour map with the others: all are taken as RGB" in log.text
