"""The map that stays: other rows are placed among those that were fitted, by an unaltered file."""

import json
import shutil
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import intensities, write_pictures
from small_runs import Songs, workplace
from test_reduction import heaps

from saec.config import Config
from saec.extraction.reductions import Reduction, reduce_features
from saec.faults import Fault
from saec.files import sha256_of, write_npz
from saec.reduction.kept import Map, fitted_and_placed

ROWS, KINDS = heaps(80)
FITTED, OTHERS = np.flatnonzero(np.arange(len(ROWS)) % 2), np.flatnonzero(np.arange(len(ROWS)) % 2 == 0)
N = 14


@pytest.fixture(scope="module")
def half() -> Map:
    return Map.fit(ROWS[FITTED], (2, 4), 8, seed=0)


def test_other_rows_lie_in_the_heaps_that_they_are_of(half):
    for d, positions in half.place(ROWS[OTHERS]).items():
        assert positions.shape == (len(OTHERS), d) and positions.dtype == np.float32
        distances = np.linalg.norm(positions[:, None] - half.positions[d][None], axis=2)
        nearest = KINDS[FITTED][np.argsort(distances, axis=1)[:, :8]]
        assert (nearest == KINDS[OTHERS][:, None]).mean() > 0.99
        assert len(np.unique(positions, axis=0)) == len(OTHERS)  # and none hides another


def test_rows_of_the_map_stay_where_they_are_and_no_row_depends_on_the_others(half, monkeypatch):
    together = half.place(ROWS)
    monkeypatch.setattr("saec.reduction.kept.AT_ONCE", 7)
    for d, positions in half.place(ROWS).items():
        np.testing.assert_array_equal(positions[FITTED], half.positions[d])
        np.testing.assert_allclose(positions, together[d], atol=1e-5)


def test_of_more_rows_than_are_fitted_some_are_drawn_and_the_others_placed(log):
    wanted = Reduction(dims=(2,), n_neighbors=8, fit_rows=100)
    reduced = reduce_features(ROWS, wanted, "pictures", Config())
    assert "the map is fitted on 100 of 240 rows" in log.text and len(reduced.map.rows) == 100
    drawn = reduced.map.rows * reduced.map.scale + reduced.map.mean
    index = [np.abs(ROWS / ROWS.std(0) - row / ROWS.std(0)).sum(axis=1).argmin() for row in drawn]
    np.testing.assert_array_equal(reduced.by_dim[2][index], reduced.map.positions[2])
    again, positions = fitted_and_placed(ROWS, (2,), 8, 0, fit_rows=100)
    np.testing.assert_array_equal(positions[2], reduced.by_dim[2])
    assert len(np.unique(positions[2], axis=0)) == len(ROWS)


def test_fitted_rows_have_at_most_all_others_of_them_as_neighbours(log):
    reduced = reduce_features(
        ROWS, Reduction(dims=(2, 120), n_neighbors=150, fit_rows=100), "pictures", Config()
    )
    assert reduced.n_neighbors == 99 and list(reduced.by_dim) == [2] and len(reduced.by_dim[2]) == len(ROWS)
    assert "100 pictures have 99 neighbours, not 150" in log.text
    assert "100 pictures are too few for 120 dimensions" in log.text


def test_rows_with_many_neighbours_are_placed_in_bounded_memory(monkeypatch):
    flat = np.random.default_rng(0).normal(size=(len(ROWS), 2))
    many = Map(ROWS.mean(0), ROWS.std(0), (ROWS - ROWS.mean(0)) / ROWS.std(0), {2: flat}, 200)
    monkeypatch.setattr("saec.reduction.kept.PAIRS", 200_000)
    expected = many.place(ROWS[:3] + 1)[2]
    tracemalloc.start()
    placed = many.place(ROWS + 1)[2]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # bytes; those of all pairs would be 77 MB, more than once
    np.testing.assert_allclose(placed[:3], expected, atol=1e-5)


def test_the_same_rows_and_rows_without_variance_are_placed():
    equal = np.ones((12, 5), np.float32)
    placed = Map.fit(equal, (2,), 4, seed=0).place(np.concatenate([equal, equal + 1]))
    assert np.isfinite(placed[2]).all()


def test_by_cosine_rows_of_one_direction_are_near_whatever_their_length(tmp_path):
    fitted = Map.fit(ROWS[FITTED], (2,), 8, seed=0, metric="cosine")
    np.testing.assert_allclose(np.linalg.norm(fitted.rows, axis=1), 1, rtol=1e-6)
    unit = (ROWS[FITTED] - fitted.mean) / fitted.scale
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.rows, unit, atol=1e-6)
    np.savez(tmp_path / "map.npz", **fitted.arrays())
    read = Map.read(tmp_path / "map.npz", sha256_of(tmp_path / "map.npz"))
    assert read.metric == "cosine"
    longer = fitted.mean + 3 * (ROWS[FITTED] - fitted.mean)
    distances = np.linalg.norm(read.place(longer)[2] - fitted.positions[2], axis=1)
    assert distances.max() < 0.05


FORGED = {
    "no rows": {"rows": lambda rows: rows[:0]},
    "fewer rows": {"rows": lambda rows: rows[:3]},
    "fewer features": {"rows": lambda rows: rows[:, :3]},
    "a row": {"rows": np.ravel},
    "rows that are no numbers": {"rows": lambda rows: rows * np.nan},
    "rows without an end": {"rows": lambda rows: rows * np.float32(1e30)},
    "rows of text": {"rows": lambda rows: rows.astype(str)},
    "another mean": {"mean": lambda mean: mean[:2]},
    "a mean that is no number": {"mean": lambda mean: mean * np.nan},
    "no scale": {"scale": lambda scale: scale * 0},
    "no neighbours": {"n_neighbors": lambda n: n * 0},
    "more neighbours than rows": {"n_neighbors": lambda n: n * 1000},
    "fewer positions": {"layout_2": lambda layout: layout[:3]},
    "positions of other dimensions": {"layout_2": lambda layout: layout[:, :1]},
    "positions without an end": {"layout_2": lambda layout: layout * np.inf},
}


@pytest.mark.parametrize("case", FORGED)
def test_a_map_whose_arrays_no_fit_gives_is_refused_though_its_checksum_is_right(case, half, tmp_path):
    changes = {name: change(half.arrays()[name]) for name, change in FORGED[case].items()}
    write_npz(tmp_path / "map.npz", **half.arrays() | changes)
    with pytest.raises(Fault, match=r"map.npz cannot be read as a map: its (arrays|numbers)|not enough val"):
        Map.read(tmp_path / "map.npz", sha256_of(tmp_path / "map.npz"))


def test_features_that_are_far_from_all_of_a_map_are_refused(half):
    with pytest.raises(Fault, match="features are far from all of the map"):
        half.place(ROWS[:2] * np.float32(1e30))


# In an extraction


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Iterator[Songs]:
    """Pictures with a map, and another folder with half of them and some new ones."""
    songs = Songs(workplace(tmp_path_factory.mktemp("project")), intensities(N))
    songs.extract(reduction={"dims": [3], "n_neighbors": 5})
    later = songs.folder / "later"
    write_pictures(later, intensities(3, seed=9), "gray")
    for number, name in enumerate(songs.names[::2]):
        shutil.copy(songs.images / name, later / f"x{number}.png")
    return songs


def like(songs: Songs, name: str, **changes) -> dict:
    given = {"data": {"images": "songs/later"}, "reduction": {"like": name}, "out": "songs"}
    return given | {"variant": "later", "overwrite": True} | changes


def test_later_pictures_are_placed_on_the_map_of_earlier_ones(songs):
    first = songs.extract(reduction={"dims": [3], "n_neighbors": 5})
    for name in (songs.id, f"songs/{songs.id}.json", f"{songs.id}_later"):  # the last is like the first one
        variant = "latest" if name.endswith("later") else "later"
        later = songs.extract(**like(songs, name, variant=variant))
        assert list(later.roles) == ["X", "pooled", "reduced_3"]
        assert later.roles["reduced_3"].name == f"dimred_3_neigh_5_{songs.id}_{variant}.npz"
        np.testing.assert_array_equal(later.X_red[3:], first.X_red[::2])
        np.testing.assert_array_equal(later.X_2D[3:], first.X_2D[::2])
        made = later.paths[-1]
        del later  # Windows replaces no file that is mapped
    about = json.loads(made.read_text())
    original = json.loads(first.paths[-1].read_text())
    assert about["session"]["reduction"] == {
        **original["session"]["reduction"],
        "like": str(first.paths[-1]),
        "sha256": original["sha256"]["map"],
    }


def test_the_dimensions_that_few_rows_allow_are_those_of_the_map(songs):
    songs.extract(variant="few", reduction={"dims": [3, 50], "n_neighbors": 5})
    assert "reduced_3" in songs.extract(**like(songs, f"{songs.id}_few")).roles
    with pytest.raises(Fault, match="has 3 dimensions, got 50"):
        songs.extract(**like(songs, f"{songs.id}_few", reduction={"like": f"{songs.id}_few", "dims": [50]}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"reduction": {"like": "saec_2020"}},
            "reduction.like: no such features: saec_2020 (the id of some in",
        ),
        ({"reduction": {"like": "songs/later"}}, "no such features"),
        ({"reduction": {"like": ""}}, "reduction.like: string should have at least 1 character"),
        ({"reduction": {"like": "ID", "dims": [2, 3, 5]}}, "has 3 dimensions, got 5"),
        ({"reduction": {"like": "ID", "n_neighbors": 7}}, "has n_neighbors 5, got 7: leave it out"),
        ({"reduction": {"like": "ID", "seed": 1}}, "has seed 0, got 1: leave it out"),
        ({"reduction": {"like": "ID", "metric": "cosine"}}, "has metric euclidean, got cosine: leave it out"),
        ({"pooling": "max"}, "made otherwise"),
        ({"data": {"images": "songs/later", "fit": "crop"}}, 'fit: there null, here "crop"'),
        (
            {"variant": None, "data": {"images": "songs/images"}},
            "are these features: choose a `variant:` word",
        ),
        ({"reduction": {"sha256": 64 * "0"}}, "`like` names"),
        ({"reduction": {"like": "ID", "sha256": 64 * "0"}}, "was altered since it was written"),
    ],
)
def test_what_cannot_be_placed_is_refused_before_pictures_are_read(songs, changes, words):
    changes = like(songs, songs.id) | changes
    if changes["reduction"].get("like") == "ID":
        changes["reduction"] = changes["reduction"] | {"like": songs.id}
    before = songs.files()
    with pytest.raises(Fault) as fault:
        songs.extract(**changes)
    assert words in str(fault.value) and songs.files() == before


def test_a_map_that_was_altered_removed_or_never_kept_is_refused(songs):
    file, about = songs.folder / f"map_{songs.id}.npz", songs.folder / f"{songs.id}.json"
    whole, text = file.read_bytes(), about.read_text()
    session = like(songs, songs.id)
    file.write_bytes(whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:])
    with pytest.raises(Fault, match=f"{file.name} was altered .*`overwrite: true`"):
        songs.extract(**session)
    file.unlink()
    with pytest.raises(Fault, match=f"no such file: .*{file.name}"):
        songs.extract(**session)
    old = json.loads(text)
    del old["roles"]["map"], old["sha256"]
    about.write_text(json.dumps(old))
    with pytest.raises(Fault, match="keeps no map: extract those features once more"):
        songs.extract(**session)
    of_itself = json.loads(text)["session"] | {"reduction": {"like": str(about), "sha256": "a"}}
    for damage in ({"sha256": []}, {"session": of_itself}):
        about.write_text(json.dumps(json.loads(text) | damage))
        with pytest.raises(Fault, match=rf"{about.name} is damaged \(.*\): remove it, extract anew"):
            songs.extract(**session)
    about.write_text(text)
    file.write_bytes(whole)


def test_features_like_others_are_not_put_on_a_map_made_after_those(songs):
    first = {"variant": "first", "overwrite": True}
    songs.extract(**first, reduction={"dims": [3], "n_neighbors": 5})
    songs.extract(**like(songs, f"{songs.id}_first", variant="second"))
    songs.extract(**first, reduction={"dims": [3], "n_neighbors": 5, "seed": 1})
    with pytest.raises(Fault, match=f"map_{songs.id}_first.npz was altered since it was written"):
        songs.extract(**like(songs, f"{songs.id}_second", variant="third"))
    songs.extract(**like(songs, f"{songs.id}_first", variant="second"))
    assert "reduced_3" in songs.extract(**like(songs, f"{songs.id}_second", variant="third")).roles
