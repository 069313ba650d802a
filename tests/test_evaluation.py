"""Scores of clusters against labels: 1 where they agree, about 0 where labels know nothing."""

import numpy as np
import pytest

from saec.evaluation import EVALUATIONS

N_KINDS, N_EACH = 4, 40
OPTIONS = {"kmeans": {"n_init": 3}, "hdbscan": {"min_cluster_size": 10}}


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in four heaps far from each other, their columns of very different scale, and their labels."""
    rng = np.random.default_rng(0)
    centres = rng.choice([-1, 1], (N_KINDS, 6)) * np.arange(1, N_KINDS + 1)[:, None]
    kinds = np.repeat(np.arange(N_KINDS), N_EACH)
    rows = (centres[kinds] + 0.05 * rng.normal(size=(len(kinds), 6))).astype(np.float32)
    return rows, np.array(["wren", "robin", "tit", "finch"])[kinds], np.arange(len(rows))


@pytest.mark.parametrize("name", ("kmeans", "hdbscan"))
def test_heaps_far_apart_score_1(name, blobs):
    scores = EVALUATIONS.parse({"name": name, **OPTIONS.get(name, {})})(*blobs)
    assert scores["v_measure"] == pytest.approx(1)
    assert scores["adjusted_rand"] == pytest.approx(1)


@pytest.mark.parametrize("name", ("kmeans", "hdbscan"))
def test_shuffled_labels_score_about_0(name, blobs):
    rows, labels, groups = blobs
    shuffled = np.random.default_rng(1).permutation(labels)
    scores = EVALUATIONS.parse({"name": name, **OPTIONS.get(name, {})})(rows, shuffled, groups)
    assert abs(scores["adjusted_rand"]) < 0.05
    assert 0 <= scores["v_measure"] < 0.1


@pytest.mark.parametrize("name", ("kmeans", "hdbscan"))
def test_scores_are_plain_numbers_and_the_same_again(name, blobs):
    evaluation = EVALUATIONS.parse(name)
    scores = evaluation(*blobs)
    assert all(type(score) is float for score in scores.values())
    assert evaluation(*blobs) == scores


@pytest.mark.parametrize("name", ("kmeans", "hdbscan"))
def test_names_of_labels_do_not_matter(name, blobs):
    rows, labels, groups = blobs
    renamed = np.unique(labels, return_inverse=True)[1]
    assert EVALUATIONS.parse(name)(rows, renamed, groups) == EVALUATIONS.parse(name)(rows, labels, groups)


def test_kmeans_standardises_so_that_no_column_drowns_the_others(blobs):
    rows, labels, groups = blobs
    loud = np.random.default_rng(2).normal(scale=1e4, size=(len(rows), 1))
    assert EVALUATIONS.parse("kmeans")(np.hstack([rows, loud]), labels, groups)["v_measure"] > 0.95


def test_kmeans_of_fewer_rows_than_clusters_still_answers():
    scores = EVALUATIONS.parse("kmeans")(np.array([[0.0], [1.0]]), np.array(["a", "b"]), np.arange(2))
    assert scores["v_measure"] == pytest.approx(1)


def test_hdbscan_counts_clusters_and_noise(blobs):
    rows, labels, groups = blobs
    rng = np.random.default_rng(3)
    strays = rng.uniform(40, 400, (8, 6)) * rng.choice([-1, 1], (8, 6))
    scores = EVALUATIONS.parse("hdbscan")(np.vstack([rows, strays]), np.append(labels, ["stray"] * 8), groups)
    assert scores["n_clusters"] == N_KINDS
    assert scores["noise"] == pytest.approx(8 / (len(rows) + 8))
    assert scores["v_measure"] == pytest.approx(1)  # the noise counts as a cluster of its own


def test_hdbscan_of_nothing_but_noise_finds_no_cluster():
    rows = np.random.default_rng(4).uniform(size=(12, 2))
    scores = EVALUATIONS.parse({"name": "hdbscan", "min_cluster_size": 12})(
        rows, np.array(["a"] * 6 + ["b"] * 6), np.arange(12)
    )
    assert scores["n_clusters"] == 0 and scores["noise"] == 1
    assert scores["adjusted_rand"] == pytest.approx(0)
