"""Neighbours against counting all distances; reductions that keep clusters and come out the same again."""

import os
import warnings

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.preprocessing import StandardScaler

from saec.evaluation import EVALUATIONS
from saec.reduction import n_neighbors_used, possible_dims, reduce_dims
from saec.reduction.graph import _widths, knn, neighborhood_graph

DIMS = (2, 4)
N_KINDS, N_EACH = 3, 20
KMEANS = EVALUATIONS.parse({"name": "kmeans", "sweep": [], "resamples": 0})
COMPILES = pytest.mark.slow  # umap-learn takes many seconds the first time in a process


def heaps(n_each: int = N_EACH, n_features: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Rows in three heaps, columns of very different scale, with the number of each row's heap."""
    rng = np.random.default_rng(0)
    kinds = np.arange(N_KINDS * n_each) % N_KINDS
    centres = rng.normal(scale=8, size=(N_KINDS, n_features))
    rows = (centres[kinds] + rng.normal(size=(len(kinds), n_features))) * 10.0 ** rng.integers(
        -3, 3, n_features
    )
    return rows.astype(np.float32), kinds


def slow_distances(rows: np.ndarray) -> np.ndarray:
    exact = rows.astype(np.float64)
    return np.sqrt(((exact[:, None] - exact[None]) ** 2).sum(axis=-1))


@pytest.fixture(scope="module")
def once() -> dict[int, np.ndarray]:
    return reduce_dims(heaps()[0], DIMS, n_neighbors=8, seed=0)


def noise(n: int = 60, n_features: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, n_features)).astype(np.float32)


def test_neighbours_are_those_that_counting_all_distances_finds():
    rows = noise()
    indices, distances = knn(rows, 7)
    expected = np.argsort(slow_distances(rows), axis=1)[:, :7]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, np.sort(slow_distances(rows), axis=1)[:, :7], atol=1e-6)


def test_each_row_is_its_own_first_neighbour_even_beside_its_doubles():
    rows = np.concatenate([noise(100), noise(100), noise(100)])
    indices, distances = knn(rows, 6)
    np.testing.assert_array_equal(indices[:, 0], np.arange(300))
    assert not distances[:, 0].any()
    assert all(len(set(row)) == 6 for row in indices.tolist())
    assert (np.diff(distances, axis=1) >= 0).all()


@COMPILES
def test_the_neighbourhood_graph_is_that_of_umap_learn():
    from umap.umap_ import fuzzy_simplicial_set

    for rows in (noise(), np.concatenate([noise()] * 3), np.ones((12, 5), np.float32)):
        indices, distances = knn(rows, 7)
        theirs, _, _ = fuzzy_simplicial_set(
            rows, 7, np.random.RandomState(0), "euclidean", knn_indices=indices, knn_dists=distances
        )
        ours = neighborhood_graph(indices, distances)
        np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-5)


def test_memberships_of_a_row_sum_up_to_the_logarithm_of_its_neighbours():
    indices, distances = knn(noise(), 8)
    excess = distances[:, 1:] - distances[:, [1]]
    widths = _widths(np.pad(excess, ((0, 0), (1, 0))), distances)
    np.testing.assert_allclose(np.exp(-excess / widths[:, None]).sum(axis=1), np.log2(8), atol=1e-4)


@COMPILES
def test_neighbourhoods_are_kept_as_well_as_by_umap_learn():
    from umap import UMAP

    rows = heaps(100)[0]
    scaled = StandardScaler().fit_transform(rows)

    def theirs(seed: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a seed means one thread
            umap = UMAP(n_neighbors=10, n_components=4, random_state=seed, n_jobs=1)
            return StandardScaler().fit_transform(umap.fit_transform(scaled))

    def ours(seed: int) -> np.ndarray:
        return reduce_dims(rows, (4,), n_neighbors=10, seed=seed)[4]

    kept = [
        np.mean([trustworthiness(scaled, way(seed), n_neighbors=10) for seed in range(5)])
        for way in (theirs, ours)
    ]  # of one seed it is 0.95 to 0.98, either way, and another on another processor
    assert kept[1] > kept[0] - 0.01


def test_reductions_are_standardised_and_heaps_stay_heaps_by_any_seed_and_scale(once):
    assert set(once) == set(DIMS)
    other = reduce_dims(heaps()[0] * np.float32(1024), (2,), n_neighbors=8, seed=1)[2]
    assert other.tobytes() != once[2].tobytes()
    for rows in (*once.values(), other):
        assert len(rows) == N_KINDS * N_EACH and rows.dtype == np.float32
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-5)
        assert KMEANS(rows, heaps()[1], heaps()[1]).scores["v_measure"] > 0.95


@pytest.mark.parametrize(("dims", "n_threads"), [((4, 2), 1), ((2,), 2), ((3, 2), 2)])
def test_a_seed_gives_the_same_bits_with_any_threads_and_dimensions(once, dims, n_threads, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: n_threads)
    again = reduce_dims(heaps()[0], dims, n_neighbors=8, seed=0)
    assert all(again[d].tobytes() == once[d].tobytes() for d in dims if d in once)


def test_d_dimensions_need_max_4_and_d_plus_2_rows_and_neighbours_are_other_rows():
    expected = {3: (), 4: (2,), 5: (2,), 6: (2, 4), 17: (2, 4, 8), 18: (2, 4, 8, 16)}
    assert {n: possible_dims((2, 4, 8, 16), n) for n in expected} == expected
    assert [n_neighbors_used(10, n) for n in (5, 11, 5000)] == [4, 10, 10]


def test_the_fewest_rows_that_are_possible_equal_rows_and_columns_without_variance_do_reduce():
    equal = np.ones((12, 5), np.float32)
    equal[6:, 0] = 2
    for rows in (equal, *(noise(n) for n in (4, 5, 6, 10))):
        dims = possible_dims((2, 4, 8), len(rows))
        reduced = reduce_dims(rows, dims, n_neighbors_used(10, len(rows)), seed=0)
        assert all(np.isfinite(reduced[d]).all() and reduced[d].shape == (len(rows), d) for d in dims)
