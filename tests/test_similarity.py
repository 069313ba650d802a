"""Nearest rows, piece by piece, equal the slow way; what is looked for is not found."""

import numpy as np
import pytest

from saec import reduction
from saec.faults import Fault
from saec.reduction import search


def slow(queries: list[np.ndarray], arrays: list[np.ndarray]) -> np.ndarray:
    """All distances, each file standardised and weighing the same."""
    total = 0
    for wanted, rows in zip(queries, arrays, strict=True):
        mean, std = rows.mean(0), rows.std(0)
        one, other = (wanted - mean) / std, (rows - mean) / std
        total = total + np.square(one[:, None] - other[None]).sum(-1) / rows.shape[1]
    return np.sqrt(total)


@pytest.fixture
def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(70, 5)) * 100, rng.normal(size=(70, 12)).astype(np.float32)]


@pytest.mark.parametrize("piece", [7, 64, 1000])
def test_pieces_of_any_size_give_what_all_distances_give(arrays, piece, monkeypatch):
    monkeypatch.setattr(reduction, "PIECE", piece)
    queries = [array[:3] + 0.01 for array in arrays]
    indices, distances = search(queries, arrays, 6)
    expected = slow(queries, arrays)
    assert np.array_equal(indices, np.argsort(expected, axis=1)[:, :6])
    assert np.allclose(distances, np.sort(expected, axis=1)[:, :6], atol=1e-4)


@pytest.mark.parametrize("piece", [7, 1000])
def test_a_picture_does_not_find_itself_but_finds_its_copy(arrays, piece, monkeypatch):
    monkeypatch.setattr(reduction, "PIECE", piece)
    for array in arrays:
        array[40] = array[3]
    own = np.array([3, 10])
    indices, distances = search([array[own] for array in arrays], arrays, 4, own)
    assert indices.shape == (2, 4) and indices[0, 0] == 40 and distances[0, 0] == pytest.approx(0, abs=1e-3)
    assert 3 not in indices[0] and 10 not in indices[1]


def test_each_file_weighs_the_same_whatever_its_number_of_features():
    one = np.array([[0.0], [1.0], [3.0]])
    wide = np.repeat(np.array([[0.0], [3.0], [1.0]]), 50, axis=1)
    _, distances = search([one[:1], wide[:1]], [one, wide], 2, np.array([0]))
    assert distances[0, 0] == pytest.approx(distances[0, 1])


def test_few_rows_and_constant_features_are_no_obstacle():
    rows = np.arange(4.0)[:, None]
    assert search([rows[:1]], [rows], 9)[0].shape == (1, 4)
    assert search([rows[:1]], [rows], 9, np.array([0]))[0].tolist() == [[1, 2, 3]]
    rows = np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    assert search([rows[:1]], [rows], 2, np.array([0]))[0].tolist() == [[1, 2]]


def test_files_of_other_pictures_or_features_are_refused(arrays):
    with pytest.raises(Fault, match=r"got \[70, 69\] rows"):
        search([arrays[0][:1], arrays[1][:1]], [arrays[0], arrays[1][:-1]], 3)
    with pytest.raises(Fault, match=r"has \[4\] features, the files have \[5\]"):
        search([arrays[0][:1, :4]], arrays[:1], 3)
