"""Scores of clusters against labels: 1 where they agree, about 0 where labels know nothing."""

import numpy as np
import pytest

from saec.evaluation import EVALUATIONS
from saec.evaluation.agreement import agreement

N_KINDS, N_EACH = 4, 40
PLAIN = {"sweep": [], "resamples": 0}
OPTIONS = {"kmeans": {"n_init": 3}, "dbscan": {"eps": 0.5}, "affinity": {"umap": None}}
NAMES = ("affinity", "dbscan", "hdbscan", "kmeans")


def clustering(name: str, **options):
    return EVALUATIONS.parse({"name": name} | PLAIN | OPTIONS.get(name, {}) | options)


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in four heaps far from each other, their columns of very different scale, and their labels."""
    rng = np.random.default_rng(0)
    centres = rng.choice([-1, 1], (N_KINDS, 6)) * np.arange(1, N_KINDS + 1)[:, None]
    kinds = np.repeat(np.arange(N_KINDS), N_EACH)
    rows = (centres[kinds] + 0.05 * rng.normal(size=(len(kinds), 6))).astype(np.float32)
    return rows, np.array(["wren", "robin", "tit", "finch"])[kinds], np.arange(len(rows))


@pytest.mark.parametrize("name", NAMES)
def test_heaps_far_apart_score_1(name, blobs):
    scores = clustering(name)(*blobs).scores
    for score in ("v_measure", "adjusted_rand", "adjusted_mutual_info", "cramers_v", "homogeneity"):
        assert scores[score] == pytest.approx(1), score
    assert scores["n_clusters"] == N_KINDS and scores["silhouette"] > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_labels_score_about_0(name, blobs):
    rows, labels, groups = blobs
    shuffled = np.random.default_rng(1).permutation(labels)
    scores = clustering(name)(rows, shuffled, groups).scores
    assert abs(scores["adjusted_rand"]) < 0.05
    assert 0 <= scores["v_measure"] < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_plain_numbers_and_the_same_again(name, blobs):
    scores = clustering(name)(*blobs).scores
    assert all(type(score) is float for score in scores.values())
    assert clustering(name)(*blobs).scores == scores


@pytest.mark.parametrize("name", NAMES)
def test_names_of_labels_do_not_matter(name, blobs):
    rows, labels, groups = blobs
    renamed = np.unique(labels, return_inverse=True)[1].astype(str)
    assert clustering(name)(rows, renamed, groups).scores == clustering(name)(rows, labels, groups).scores


def test_kmeans_standardises_so_that_no_column_drowns_the_others(blobs):
    rows, labels, groups = blobs
    loud = np.random.default_rng(2).normal(scale=1e4, size=(len(rows), 1))
    assert clustering("kmeans")(np.hstack([rows, loud]), labels, groups).scores["v_measure"] > 0.95


def test_kmeans_of_fewer_rows_than_clusters_still_answers():
    scores = clustering("kmeans")(np.array([[0.0], [1.0]]), np.array(["a", "b"]), np.arange(2)).scores
    assert scores["v_measure"] == pytest.approx(1)


def test_hdbscan_counts_clusters_and_noise(blobs):
    rows, labels, groups = blobs
    rng = np.random.default_rng(3)
    strays = rng.uniform(40, 400, (8, 6)) * rng.choice([-1, 1], (8, 6))
    found = clustering("hdbscan")(np.vstack([rows, strays]), np.append(labels, ["stray"] * 8), groups)
    scores = found.scores
    assert scores["n_clusters"] == N_KINDS
    assert scores["noise"] == pytest.approx(8 / (len(rows) + 8))
    assert scores["v_measure"] == pytest.approx(1)  # the noise counts as a cluster of its own


def test_hdbscan_of_nothing_but_noise_finds_no_cluster():
    rows = np.random.default_rng(4).uniform(size=(12, 2))
    labels = np.array(["a"] * 6 + ["b"] * 6)
    scores = clustering("hdbscan", min_cluster_size=12)(rows, labels, np.arange(12)).scores
    assert scores["n_clusters"] == 0 and scores["noise"] == 1
    assert scores["adjusted_rand"] == pytest.approx(0)


def test_without_labels_only_what_needs_none_is_said(blobs):
    rows, labels, groups = blobs
    scores = clustering("kmeans", n_clusters=4, resamples=3)(rows, np.full(len(rows), ""), groups).scores
    assert set(scores) == {"n_clusters", "noise", "largest", "silhouette", "stability"}
    assert scores["stability"] == pytest.approx(1) and scores["largest"] == 0.25


def test_agreement_is_of_the_rows_whose_label_is_known(blobs):
    rows, labels, groups = blobs
    some = np.where(np.arange(len(rows)) % 3, labels, "")
    assert clustering("kmeans", n_clusters=4)(rows, some, groups).scores["v_measure"] == pytest.approx(1)


def test_nothing_but_noise_is_not_stable(blobs):
    rows, labels, groups = blobs
    scores = clustering("hdbscan", min_cluster_size=160, resamples=3)(rows, labels, groups).scores
    assert scores["n_clusters"] == 0 and "stability" not in scores


def test_clusters_that_chance_makes_are_less_stable(blobs):
    rows, labels, groups = blobs
    cloud = np.random.default_rng(0).normal(size=rows.shape)
    firm, loose = (
        clustering("kmeans", n_clusters=4, resamples=5)(some, labels, groups).scores["stability"]
        for some in (rows, cloud)
    )
    assert firm > 0.95 > 0.7 > loose


def test_a_sweep_has_a_row_a_value_and_peaks_where_the_truth_is(blobs):
    found = clustering("kmeans", sweep=[2, 4, 8, 1000])(*blobs)
    assert [(row["parameter"], row["value"]) for row in found.sweep] == [("n_clusters", n) for n in (2, 4, 8)]
    assert max(found.sweep, key=lambda row: row["v_measure"])["value"] == 4


def test_cramers_v_does_not_grow_with_the_number_of_rows_as_chi_square_does():
    labels = np.array(list("aabb") * 10)
    clusters = np.array([0, 1, 1, 1] * 10)
    once, ten_times = agreement(labels, clusters), agreement(np.tile(labels, 10), np.tile(clusters, 10))
    assert ten_times["chi2"] > 9 * once["chi2"]
    assert ten_times["cramers_v"] == pytest.approx(once["cramers_v"])


def test_affinity_propagation_says_when_it_has_not_converged(blobs):
    found = clustering("affinity", max_iter=3)(*blobs)
    assert found.scores["converged"] == 0 and "did not converge in 3 iterations" in found.remarks[0]
    assert clustering("affinity")(*blobs).scores["converged"] == 1


def test_affinity_propagation_takes_so_many_rows_and_says_so(blobs):
    found = clustering("affinity", limit=80)(*blobs)
    assert (found.predicted != "").sum() == 80 and "80 of 160 rows" in found.remarks[0]
