"""What a look through a folder of pictures finds."""

import numpy as np
import pytest
from conftest import intensities, write_pictures
from PIL import Image

from saec.faults import MissingFault
from saec.inspection import inspect


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path, intensities(8), "gray")
    return tmp_path


def test_sizes_modes_recordings_and_grey_values_are_counted(folder):
    found = inspect(folder)
    assert found.sizes == {"32 x 128": 8} and found.modes == {"L": 8}
    assert found.recordings == {"rec00": 4, "rec01": 4} and len(found.names) == 8
    assert found.levels.sum() == 8 * 32 * 128
    assert np.array_equal(found.levels, np.bincount(intensities(8).ravel(), minlength=256))
    assert found.remarks() == [] and found.n_bytes == sum(f.stat().st_size for f in folder.iterdir())


def test_threads_find_the_same(folder):
    one, other = inspect(folder), inspect(folder, n_workers=3)
    assert one.names == other.names and np.array_equal(one.levels, other.levels)


def test_what_is_odd_is_said(folder):
    first = sorted(folder.iterdir())[0]
    Image.open(first).save(folder / "rec09_segm_0000.000.png")
    Image.fromarray(np.full((128, 32), 7, dtype=np.uint8)).save(folder / "blank.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        folder / "wide.png"
    )
    (folder / "cut.png").write_bytes(first.read_bytes()[:60])
    found = inspect(folder)
    assert found.alike == [(first.name, "rec09_segm_0000.000.png", pytest.approx(1))]
    assert found.blank == ["blank.png"] and list(found.unreadable) == ["cut.png"]
    said = "\n".join(found.remarks())
    for words in (
        "1 pictures cannot be read: cut.png",
        "are blank",
        "all but the same",
        "2 sizes",
        "2 modes",
    ):
        assert words in said


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(MissingFault, match="no \\*.png directly in"):
        inspect(tmp_path)
