"""The NPZ files, read again the way the dashboard reads them (spec C1)."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import extraction_session, intensities, write_pictures
from small_runs import untrained_run, workplace

from saec import extract
from saec.config import Config
from saec.features import Features
from saec.runs import Run

N = 37  # no multiple of the batch, nor of the shard
BATCH = 4
REDUCTION = {"dims": [2, 4, 8, 16], "n_neighbors": 10, "seed": 0}


class Place:
    """A folder of pictures beside its features, as a user has it."""

    def __init__(self, folder: Path):
        self.config: Config = workplace(folder)
        self.images = self.config.data / "songs" / "images"
        names = write_pictures(self.images, intensities(N))
        for old, new in zip(names, ("Zaunkönig 1.png", "b.PNG", "_a.Png"), strict=False):
            (self.images / old).rename(self.images / new)
        self.run: Run = untrained_run(self.config)

    def extract(self, **changes) -> Features:
        session = extraction_session(self.run.timestamp, reduction=REDUCTION, precision="fp32", **changes)
        return extract(session, self.config)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saec.extraction.sources.run.BATCH_PIXELS", BATCH * 128 * 32)
        yield


@pytest.fixture(scope="module")
def features(place, small_batches) -> Features:
    return place.extract()


@pytest.fixture(scope="module")
def root(features) -> Path:
    """The folder that the dashboard is given: the one the image folder lies in."""
    return features.paths[0].parent


def as_the_dashboard_lists(root: Path) -> list[tuple[str, str, str]]:
    """(model, dimensions, file name) of each file that it offers."""
    offered = [name for name in sorted(os.listdir(root)) if ".npz" in name and "dimred_" in name]
    return [("_".join(n.split("_")[4:]), "_".join(n.split("_")[0:2]), n) for n in offered]


def reduced_files(root: Path) -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for _, dims, name in as_the_dashboard_lists(root):
        with np.load(root / name, allow_pickle=False) as arrays:
            found[dims] = dict(arrays)
    return found


def test_files_lie_beside_the_image_folder(place, root):
    assert root == place.images.parent


def test_names_parse_as_the_dashboard_parses_them(place, root):
    listed = as_the_dashboard_lists(root)
    assert {model for model, _, _ in listed} == {f"saec_{place.run.timestamp}.npz"}
    assert {dims for _, dims, _ in listed} == {"dimred_2", "dimred_4", "dimred_8", "dimred_16"}
    assert {name.split("_")[2:4] == ["neigh", "10"] for _, _, name in listed} == {True}


def test_there_is_one_file_for_each_dimension_and_model(root):
    counts = Counter((model, dims) for model, dims, _ in as_the_dashboard_lists(root))
    assert set(counts.values()) == {1}


def test_choosing_by_substrings_finds_one_file(place, features, tmp_path):
    out = str(tmp_path)
    place.extract(out=out)
    place.extract(out=out, variant="other-word")
    listed = as_the_dashboard_lists(tmp_path)
    assert len(listed) == 8
    for model, dims, name in listed:
        assert [other for _, _, other in listed if f"{dims}_" in other and model in other] == [name]


def test_reductions_are_float32_of_the_dimensions_in_their_names(root):
    for dims, arrays in reduced_files(root).items():
        assert set(arrays) == {"X_red", "X_2D", "N"}
        assert arrays["X_red"].shape == (N, int(dims.split("_")[1]))
        assert arrays["X_2D"].shape == (N, 2)
        assert arrays["X_red"].dtype == arrays["X_2D"].dtype == np.float32


def test_the_map_is_the_same_in_all_files_to_the_bit(root):
    files = reduced_files(root)
    expected = files["dimred_2"]["X_red"].tobytes()
    assert {arrays["X_2D"].tobytes() for arrays in files.values()} == {expected}


def test_columns_are_standardised_and_finite_as_float16(root):
    for arrays in reduced_files(root).values():
        for rows in (arrays["X_red"], arrays["X_2D"]):
            np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-5)
            assert np.isfinite(rows.astype(np.float16)).all()


def test_full_features_are_float32_by_channel_and_time(place, root):
    with np.load(root / f"full_features_saec_{place.run.timestamp}.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"X", "N"}
        assert arrays["X"].dtype == np.float32
        assert arrays["X"].shape == (N, 8, 8)


def test_every_file_names_every_picture_once_sorted_by_code_point(place, root):
    expected = sorted(os.listdir(place.images))
    files = sorted(root.glob("*.npz"))
    assert len(files) == 6
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            assert arrays["N"].dtype.kind == "U"
            assert arrays["N"].tolist() == expected


def test_names_are_bare_and_keep_their_suffix(place, features):
    assert all((place.images / name).is_file() and "/" not in name for name in features.N)
    assert {"Zaunkönig 1.png", "b.PNG", "_a.Png"} < set(features.N.tolist())


def test_what_comes_back_is_what_was_written(features):
    with np.load(features.paths[0], allow_pickle=False) as arrays:
        np.testing.assert_array_equal(features.X, arrays["X"])
        np.testing.assert_array_equal(features.N, arrays["N"])
    assert [file.suffix for file in features.paths] == [".npz"] * 6 + [".json"]
    assert all(file.is_file() for file in features.paths)


def test_the_json_says_what_the_files_are(place, features):
    about = json.loads(features.paths[-1].read_text(encoding="utf-8"))
    assert about["id"] == f"saec_{place.run.timestamp}"
    assert about["files"] == [file.name for file in features.paths[:-1]]
    assert about["roles"] == {role: file.name for role, file in features.roles.items()}
    assert list(about["roles"]) == ["X", "pooled", *(f"reduced_{d}" for d in REDUCTION["dims"])]
    assert about["n_pictures"] == N and about["n_neighbors_used"] == 10
    assert about["model"] == str(place.run.folder)
    assert about["session"]["data"]["images"] == str(place.config.data / "songs" / "images")
    assert about["settings"]["images"] == str(place.images)
    assert about["settings"]["precision"] == "fp32"
    assert about["settings"]["pooling"] == {"name": "mean_std", "trim": 0.1}


def test_nothing_else_is_left_in_the_folder(place, features, root):
    expected = {file.name for file in features.paths}
    expected |= {"images", f"reconstructions_saec_{place.run.timestamp}.png"}
    assert set(os.listdir(root)) == expected


@pytest.mark.parametrize("changes", [{"out": "elsewhere"}, {"out": "elsewhere", "overwrite": True}])
def test_the_same_pictures_again_give_the_same_bits(place, features, changes):
    again = place.extract(**changes)
    assert len(again.paths) == len(features.paths)
    for first, second in zip(features.paths[:-1], again.paths[:-1], strict=True):
        assert second.parent == place.config.data / "elsewhere"
        assert second.read_bytes() == first.read_bytes()


def test_overwriting_in_place_gives_the_same_bits(place, features):
    before = {file: file.read_bytes() for file in features.paths[:-1]}
    times = {file: file.stat().st_mtime_ns for file in before}
    place.extract(overwrite=True)
    assert {file: file.read_bytes() for file in before} == before
    assert all(file.stat().st_mtime_ns > times[file] for file in before)
