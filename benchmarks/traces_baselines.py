"""Codes of scikit-learn as baselines, computed on frames or on windows of frames around each."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.decomposition import PCA, FastICA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning

N_LEARNT = 8_000  # frames, drawn at random
WINDOWS = (1, 9, 21)  # frames
N_MOST = 64
N_ICA = (13, 32)
ATOMS = (13, 32, 64)
ALPHAS = (0.5, 1.0)

Encode = Callable[[np.ndarray], np.ndarray]  # a trace (frames, columns) to codes (frames, n)


def windows(trace: np.ndarray, n_frames: int) -> np.ndarray:
    """Returns (frames, columns x n_frames): what is around each frame; ends are repeated."""
    padded = np.pad(trace, ((n_frames // 2, n_frames // 2), (0, 0)), mode="edge")
    return sliding_window_view(padded, n_frames, axis=0).reshape(len(trace), -1)


def baselines(name: str, traces: list[np.ndarray], seed: int) -> Iterator[tuple[dict[str, Any], Encode]]:
    """Yields encoders of a kind with their settings; whoever compares them takes the best."""
    for n_frames in WINDOWS:
        frames = np.concatenate([windows(trace, n_frames) for trace in traces])
        chosen = np.random.default_rng(seed).permutation(len(frames))[:N_LEARNT]
        for settings, model in MODELS[name](frames.shape[1], seed):
            fitted = _quietly(model.fit, frames[chosen])
            yield {"window": n_frames} | settings, partial(_encoded, fitted, n_frames)


def _encoded(fitted: Any, n_frames: int, trace: np.ndarray) -> np.ndarray:
    return _quietly(fitted.transform, windows(trace, n_frames))


def _quietly(work: Callable[[np.ndarray], Any], frames: np.ndarray) -> Any:
    """Says nothing where what is found is not yet quite the best."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return work(frames)


def _pca(n_inputs: int, seed: int) -> Iterator[tuple[dict[str, Any], PCA]]:
    n = min(n_inputs, N_MOST)
    yield {"components": n}, PCA(n, random_state=seed)


def _ica(n_inputs: int, seed: int) -> Iterator[tuple[dict[str, Any], FastICA]]:
    for n in N_ICA:
        if n <= n_inputs:
            yield (
                {"components": n},
                FastICA(n, whiten="unit-variance", max_iter=500, tol=1e-3, random_state=seed),
            )


def _dictionary(n_inputs: int, seed: int) -> Iterator[tuple[dict[str, Any], Any]]:
    for n, alpha in product(ATOMS, ALPHAS):
        yield (
            {"components": n, "alpha": alpha},
            MiniBatchDictionaryLearning(
                n,
                alpha=alpha,
                max_iter=20,
                batch_size=256,
                fit_algorithm="cd",
                transform_algorithm="lasso_cd",
                transform_alpha=alpha,
                positive_code=True,
                random_state=seed,
            ),
        )


MODELS = {"PCA": _pca, "ICA": _ica, "sparse dictionary": _dictionary}
