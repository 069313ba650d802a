"""The NPZ files, read again the way the dashboard reads them (spec C1)."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import intensities
from small_runs import Songs, assert_same_files, workplace

from saec.faults import MissingFault
from saec.features import Features

N = 37  # no multiple of the batch, nor of the shard
BATCH = 4
DIMS = (2, 4, 8, 16)
WITH_MAPS = {"reduction": {"dims": DIMS, "n_neighbors": 10, "seed": 0}, "reconstructions": 2}


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Iterator[Songs]:
    """A folder of pictures beside its features, as a user has it; small batches."""
    songs = Songs(workplace(tmp_path_factory.mktemp("project")), intensities(N))
    for old, new in zip(songs.names, ("Zaunkönig 1.png", "b.PNG", "_a.Png"), strict=False):
        (songs.images / old).rename(songs.images / new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saec.extraction.sources.run.BATCH_PIXELS", BATCH * 128 * 32)
        yield songs


@pytest.fixture(scope="module")
def features(songs) -> Features:
    return songs.extract(**WITH_MAPS)


@pytest.fixture(scope="module")
def root(features) -> Path:
    """The folder that the dashboard is given: the one the image folder lies in."""
    return features.paths[0].parent


def as_the_dashboard_lists(root: Path) -> list[tuple[str, str, str]]:
    """(model, dimensions, file name) of each file that it offers."""
    offered = [name for name in sorted(os.listdir(root)) if ".npz" in name and "dimred_" in name]
    return [("_".join(n.split("_")[4:]), "_".join(n.split("_")[0:2]), n) for n in offered]


def reduced_files(root: Path) -> dict[str, dict[str, np.ndarray]]:
    result = {}
    for _, dims, name in as_the_dashboard_lists(root):
        with np.load(root / name, allow_pickle=False) as arrays:
            result[dims] = dict(arrays)
    return result


def test_names_parse_as_the_dashboard_parses_them_and_files_lie_beside_the_pictures(songs, root):
    assert root == songs.folder
    listed = as_the_dashboard_lists(root)
    assert [model for model, _, _ in listed] == [f"{songs.id}.npz"] * len(DIMS)
    assert sorted(dims for _, dims, _ in listed) == sorted(f"dimred_{d}" for d in DIMS)
    assert all(name.split("_")[2:4] == ["neigh", "10"] for _, _, name in listed)


def test_choosing_by_substrings_finds_one_file(songs, tmp_path):
    for variant in (None, "other-word"):
        songs.extract(**WITH_MAPS, out=str(tmp_path), variant=variant)
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


def test_the_map_is_the_same_in_all_files_to_the_bit_and_columns_are_standardised(root):
    files = reduced_files(root)
    expected = files["dimred_2"]["X_red"].tobytes()
    assert {arrays["X_2D"].tobytes() for arrays in files.values()} == {expected}
    for arrays in files.values():
        for rows in (arrays["X_red"], arrays["X_2D"]):
            np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-5)
            assert np.isfinite(rows.astype(np.float16)).all()


def test_full_features_are_float32_by_channel_and_time(songs, root):
    with np.load(root / f"full_features_{songs.id}.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"X", "N"}
        assert arrays["X"].dtype == np.float32
        assert arrays["X"].shape == (N, 8, 8)


def test_every_file_names_every_picture_once_sorted_by_code_point(songs, root):
    expected = sorted(os.listdir(songs.images))
    assert {"Zaunkönig 1.png", "b.PNG", "_a.Png"} < set(expected)
    files = sorted(root.glob("*.npz"))
    assert len(files) == 7
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            assert arrays["N"].dtype.kind == "U"
            assert arrays["N"].tolist() == expected


def test_what_comes_back_is_what_was_written(features):
    with np.load(features.paths[0], allow_pickle=False) as arrays:
        np.testing.assert_array_equal(features.X, arrays["X"])
        np.testing.assert_array_equal(features.N, arrays["N"])
    assert repr(features).startswith(f"Features(X {features.X.shape}, files: X, pooled, ")
    np.testing.assert_array_equal(features.X_pooled, np.load(features.roles["pooled"])["X"])
    with np.load(features.roles[f"reduced_{max(DIMS)}"]) as arrays:
        np.testing.assert_array_equal(features.X_red, arrays["X_red"])
        np.testing.assert_array_equal(features.X_2D, arrays["X_2D"])
    with pytest.raises(
        MissingFault, match="no X_2D: these features have no reduced file, but \\['X', 'pooled'"
    ):
        _ = Features(features.X, features.N, roles=dict(list(features.roles.items())[:2])).X_2D
    assert [file.suffix for file in features.paths] == [".npz"] * 7 + [".png", ".json"]
    assert all(file.is_file() for file in features.paths)


def test_the_json_says_what_the_files_are_and_nothing_else_is_there(songs, features, root):
    about = json.loads(features.paths[-1].read_text(encoding="utf-8"))
    assert about["id"] == songs.id
    assert about["files"] == [file.name for file in features.paths[:-1]]
    assert about["roles"] == {role: file.name for role, file in features.roles.items()}
    assert list(about["roles"]) == ["X", "pooled", *(f"reduced_{d}" for d in DIMS), "map", "reconstructions"]
    assert about["n_pictures"] == N and about["n_neighbors_used"] == 10
    assert about["model"] == str(songs.run.folder)
    assert about["session"]["data"]["images"] == about["settings"]["images"] == str(songs.images)
    assert about["settings"]["precision"] == "fp32"
    assert about["settings"]["pooling"] == {"name": "mean_std", "trim": 0.1}
    expected = {file.name for file in features.paths} | {"images"}
    assert set(os.listdir(root)) == expected


def test_the_same_pictures_again_give_the_same_bits_also_where_they_are_overwritten(songs, features):
    again = songs.extract(**WITH_MAPS, out="elsewhere")
    assert_same_files(again, features)
    assert {file.parent for file in again.paths} == {songs.config.data / "elsewhere"}
    before = {file: file.read_bytes() for file in features.paths[:-1]}
    times = {file: file.stat().st_mtime_ns for file in before}
    songs.extract(**WITH_MAPS, overwrite=True)
    assert {file: file.read_bytes() for file in before} == before
    assert all(file.stat().st_mtime_ns > times[file] for file in before)
