"""Scores of clusters, of differences between methods, and of reconstructions."""

import numpy as np
import pytest
import torch
from scipy import stats

from saec.data.batch import Batch
from saec.devices import computing
from saec.evaluation import EVALUATIONS
from saec.evaluation.agreement import agreement, corrected_t_test, holm
from saec.models import Model
from saec.objectives import OBJECTIVES
from saec.sections.rebuilt import rebuilt_scores, sparsity
from saec.similarity import ssim

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
def test_heaps_far_apart_score_1_shuffled_labels_about_0_and_names_of_labels_do_not_matter(name, blobs):
    rows, labels, groups = blobs
    scores = clustering(name)(*blobs).scores
    for score in ("v_measure", "adjusted_rand", "adjusted_mutual_info", "cramers_v", "homogeneity"):
        assert scores[score] == pytest.approx(1), score
    assert scores["n_clusters"] == N_KINDS and scores["silhouette"] > 0.8
    renamed = np.unique(labels, return_inverse=True)[1].astype(str)
    assert clustering(name)(rows, renamed, groups).scores == scores
    shuffled = np.random.default_rng(1).permutation(labels)
    scores = clustering(name)(rows, shuffled, groups).scores
    assert abs(scores["adjusted_rand"]) < 0.05 and 0 <= scores["v_measure"] < 0.1


def test_kmeans_standardises_so_that_no_column_drowns_the_others_and_takes_fewer_rows_than_clusters(blobs):
    rows, labels, groups = blobs
    loud = np.random.default_rng(2).normal(scale=1e4, size=(len(rows), 1))
    assert clustering("kmeans")(np.hstack([rows, loud]), labels, groups).scores["v_measure"] > 0.95
    scores = clustering("kmeans")(np.array([[0.0], [1.0]]), np.array(["a", "b"]), np.arange(2)).scores
    assert scores["v_measure"] == pytest.approx(1)


def test_hdbscan_counts_clusters_and_noise(blobs):
    rows, labels, groups = blobs
    rng = np.random.default_rng(3)
    strays = rng.uniform(40, 400, (8, 6)) * rng.choice([-1, 1], (8, 6))
    with_strays = clustering("hdbscan")(np.vstack([rows, strays]), np.append(labels, ["stray"] * 8), groups)
    assert with_strays.scores["n_clusters"] == N_KINDS
    assert with_strays.scores["noise"] == pytest.approx(8 / (len(rows) + 8))
    assert with_strays.scores["v_measure"] == pytest.approx(1)  # the noise counts as a cluster of its own
    rows = np.random.default_rng(4).uniform(size=(12, 2))  # nothing but noise
    labels = np.array(["a"] * 6 + ["b"] * 6)
    scores = clustering("hdbscan", min_cluster_size=12, resamples=3)(rows, labels, np.arange(12)).scores
    assert scores["n_clusters"] == 0 and scores["noise"] == 1 and "stability" not in scores
    assert scores["adjusted_rand"] == pytest.approx(0)


def test_rows_without_a_label_have_internal_scores_alone_and_clusters_of_chance_are_less_stable(blobs):
    rows, labels, groups = blobs
    scores = clustering("kmeans", n_clusters=4, resamples=3)(rows, np.full(len(rows), ""), groups).scores
    assert set(scores) == {"n_clusters", "noise", "largest", "silhouette", "stability"}
    assert scores["stability"] == pytest.approx(1) and scores["largest"] == 0.25
    some = np.where(np.arange(len(rows)) % 3, labels, "")
    assert clustering("kmeans", n_clusters=4)(rows, some, groups).scores["v_measure"] == pytest.approx(1)
    cloud = np.random.default_rng(0).normal(size=rows.shape)  # clusters that chance makes
    assert clustering("kmeans", n_clusters=4, resamples=5)(cloud, labels, groups).scores["stability"] < 0.7


def test_a_sweep_has_a_row_a_value_and_peaks_where_the_truth_is(blobs):
    rows = clustering("kmeans", sweep=[2, 4, 8, 1000])(*blobs).sweep
    assert [(row["parameter"], row["value"]) for row in rows] == [("n_clusters", n) for n in (2, 4, 8)]
    assert max(rows, key=lambda row: row["v_measure"])["value"] == 4


def test_cramers_v_does_not_grow_with_the_number_of_rows_as_chi_square_does():
    labels = np.array(list("aabb") * 10)
    clusters = np.array([0, 1, 1, 1] * 10)
    once, ten_times = agreement(labels, clusters), agreement(np.tile(labels, 10), np.tile(clusters, 10))
    assert ten_times["chi2"] > 9 * once["chi2"]
    assert ten_times["cramers_v"] == pytest.approx(once["cramers_v"])
    assert once["chi2"] == pytest.approx(once["cramers_v"] ** 2 * len(labels))  # for two by two, too


def test_the_corrected_v_has_nothing_of_chance_however_many_clusters_there_are():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    many = agreement(labels.astype(str), rng.integers(0, 200, 2000))
    assert many["cramers_v"] > 0.25 and many["cramers_v_corrected"] < 0.1
    labels, clusters = (
        np.array(list("aaab")),
        np.array([0, 0, 1, 1]),
    )  # phi squared is 1/3, and of chance, too
    assert agreement(labels, clusters)["cramers_v_corrected"] == pytest.approx(0)
    table = np.tile(labels, 5), np.tile(clusters, 5)  # (1/3 - 1/19) / (1 - 1/19), and its root
    assert agreement(*table)["cramers_v_corrected"] == pytest.approx(np.sqrt((1 / 3 - 1 / 19) * 19 / 18))
    assert agreement(labels, np.arange(4))["cramers_v_corrected"] == 0
    assert agreement(labels, np.unique(labels, return_inverse=True)[1])["cramers_v_corrected"] == 1


def test_affinity_propagation_says_when_it_has_not_converged_and_when_rows_are_left_out(blobs):
    stopped = clustering("affinity", max_iter=3)(*blobs)
    assert stopped.scores["converged"] == 0 and "did not converge in 3 iterations" in stopped.remarks[0]
    assert clustering("affinity")(*blobs).scores["converged"] == 1
    limited = clustering("affinity", limit=80)(*blobs)
    assert (limited.predicted != "").sum() == 80 and "80 of 160 rows" in limited.remarks[0]


# Differences between methods


def test_the_correction_is_that_of_nadeau_and_bengio_and_without_the_share_the_paired_t_test():
    first, second = np.array([0.9, 0.8, 0.85, 0.95]), np.array([0.7, 0.75, 0.8, 0.7])
    difference = first - second
    t = difference.mean() / np.sqrt(difference.var(ddof=1) * (1 / 4 + 0.25))
    assert corrected_t_test(first, second, 0.25) == pytest.approx(2 * stats.t.sf(t, 3))
    assert corrected_t_test(first, second, 0) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert corrected_t_test(np.ones(5), np.ones(5), 0.25) == 1
    assert corrected_t_test(np.full(5, 0.1 + 0.2), np.full(5, 0.3), 0.25) == 1
    for others in (np.zeros(5), np.full(5, 0.9)):  # in all folds alike, up to rounding: nothing to test by
        assert np.isnan(corrected_t_test(np.ones(5), others, 0.25))
    assert np.isnan(corrected_t_test(np.ones(1), np.zeros(1), 0.25))


def test_holm_multiplies_the_smallest_by_the_number_of_comparisons_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


# Reconstructions


def test_errors_are_of_each_picture_by_hand():
    pictures = np.random.default_rng(0).uniform(size=(3, 1, 32, 40)).astype(np.float32)
    rebuilt = pictures.copy()
    rebuilt[1] += 0.1
    scores = rebuilt_scores(pictures, rebuilt)
    assert scores["mse"] == pytest.approx([0, 0.01, 0], abs=1e-6)
    assert scores["mae"] == pytest.approx([0, 0.1, 0], abs=1e-6)
    a, b = pictures[1].ravel().astype(float), rebuilt[1].ravel().astype(float)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert scores["cosine"] == pytest.approx([1, cosine, 1]) and np.allclose(scores["ssim"][[0, 2]], 1)


def test_structural_similarity_and_signal_to_noise_ratio_are_those_of_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(3, 3, 32, 40))
    noisy = np.clip(pictures + rng.normal(scale=0.2, size=pictures.shape), 0, 1)
    scores, pairs = rebuilt_scores(pictures, noisy), list(zip(pictures, noisy, strict=True))
    expected = [structural_similarity(*pair, channel_axis=0, **options) for pair in pairs]
    assert scores["ssim"] == pytest.approx(expected, abs=1e-9)
    expected = [peak_signal_noise_ratio(*pair, data_range=1.0) for pair in pairs]
    assert scores["psnr"] == pytest.approx(expected, abs=1e-9)
    assert np.isfinite(rebuilt_scores(pictures[:, :, :5], noisy[:, :, :5])["ssim"]).all()


def test_a_loss_of_structure_learns_and_metrics_stand_beside_it():
    torch.manual_seed(0)
    objective = OBJECTIVES.parse(
        {"name": "reconstruction", "loss": "ssim_l1", "metrics": ["cosine", "psnr", "ssim"]}
    )((1, 1, 1), ())
    seen = torch.rand(4, 1, 32, 32)
    model = Model(torch.nn.Identity(), torch.nn.Conv2d(1, 1, 1))
    scores = objective(model, Batch(seen, seen, list("abcd")))
    assert set(scores) == {"loss", "cosine", "psnr", "ssim"}
    rebuilt = model.decoder(seen).detach()
    ours = rebuilt_scores(seen.numpy(), rebuilt.numpy())
    expected = 0.84 * (1 - ours["ssim"].mean()) + 0.16 * ours["mae"].mean()
    assert scores["loss"].item() == pytest.approx(expected, abs=1e-5)
    assert scores["psnr"].item() == pytest.approx(ours["psnr"].mean(), abs=1e-4)
    scores["loss"].backward()
    assert model.decoder.weight.grad.abs() > 0


def test_structure_and_its_gradient_are_as_exact_in_bf16():
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(4, 2, 64, 48), 7, 1, 3)
    results = []
    for precision in ("fp32", "bf16"):
        noisy = (
            smooth + 0.02 * torch.randn(4, 2, 64, 48, generator=torch.Generator().manual_seed(1))
        ).detach()
        with computing(torch.device("cpu"), precision):
            scores = ssim(noisy.requires_grad_(), smooth)
        scores.sum().backward()
        results.append((scores.detach(), noisy.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert 0.5 < results[0][0].mean() < 0.99


def test_noise_costs_structure_and_colour_pictures_are_scored_too():
    rng = np.random.default_rng(1)
    pictures = np.repeat(np.linspace(0, 1, 32)[None, None, None, :], 32, axis=2) * np.ones((2, 3, 1, 1))
    noisy = np.clip(pictures + rng.normal(scale=[[[[0.05]]], [[[0.3]]]], size=pictures.shape), 0, 1)
    ssim = rebuilt_scores(pictures, noisy)["ssim"]
    assert 1 > ssim[0] > ssim[1] > 0


def test_sparsity_is_the_share_of_latents_that_are_zero():
    latents = np.array([[[0.0, 2.0], [0.0, -1.0]], [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert sparsity(latents).tolist() == [0.5, 0.0, 1.0]
