"""Errors of reconstruction: what they are by hand, and where they must be perfect or bad."""

import numpy as np
import pytest

from saec.evaluation.reconstruction import rebuilt_scores, sparsity


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(3, 1, 32, 40)).astype(np.float32)


def test_what_comes_back_whole_has_no_error(pictures):
    scores = rebuilt_scores(pictures, pictures)
    assert np.allclose(scores["mse"], 0) and np.allclose(scores["mae"], 0)
    assert np.allclose(scores["cosine"], 1) and np.allclose(scores["ssim"], 1)


def test_errors_are_of_each_picture_by_hand(pictures):
    rebuilt = pictures.copy()
    rebuilt[1] += 0.1
    scores = rebuilt_scores(pictures, rebuilt)
    assert scores["mse"] == pytest.approx([0, 0.01, 0], abs=1e-6)
    assert scores["mae"] == pytest.approx([0, 0.1, 0], abs=1e-6)
    a, b = pictures[1].ravel().astype(float), rebuilt[1].ravel().astype(float)
    assert scores["cosine"][1] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_noise_costs_structure_and_colour_pictures_are_judged_too():
    rng = np.random.default_rng(1)
    pictures = np.repeat(np.linspace(0, 1, 32)[None, None, None, :], 32, axis=2) * np.ones((2, 3, 1, 1))
    noisy = np.clip(pictures + rng.normal(scale=[[[[0.05]]], [[[0.3]]]], size=pictures.shape), 0, 1)
    ssim = rebuilt_scores(pictures, noisy)["ssim"]
    assert 1 > ssim[0] > ssim[1] > 0


def test_sparsity_is_the_proportion_of_latents_that_are_none():
    latents = np.array([[[0.0, 2.0], [0.0, -1.0]], [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert sparsity(latents).tolist() == [0.5, 0.0, 1.0]
