"""Errors of reconstruction and sparsity of latents, picture by picture."""

import numpy as np

SSIM = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
SSIM_WINDOW = 11  # pixels
LARGEST = 1e-6  # of a picture's largest latent: smaller ones count as zero


def rebuilt_scores(original: np.ndarray, rebuilt: np.ndarray) -> dict[str, np.ndarray]:
    """Returns mse, mae, cosine of all pixels and SSIM, each (n,), of (n, channels, height, width) in [0, 1].

    SSIM has the settings of Wang, Bovik, Sheikh and Simoncelli (2004); it is not a number for pictures that
    its window of 11 x 11 does not fit into.
    """
    from skimage.metrics import structural_similarity  # half a second to import

    before, after = (pictures.reshape(len(pictures), -1).astype(float) for pictures in (original, rebuilt))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    fits = min(original.shape[2:]) >= SSIM_WINDOW
    pairs = zip(original, rebuilt, strict=True)
    ssim = [structural_similarity(*pair, channel_axis=0, **SSIM) if fits else np.nan for pair in pairs]
    return {
        "mse": np.square(before - after).mean(1),
        "mae": np.abs(before - after).mean(1),
        "cosine": (before * after).sum(1) / np.maximum(lengths, np.finfo(np.float64).tiny),
        "ssim": np.array(ssim),
    }


def sparsity(latents: np.ndarray) -> np.ndarray:
    """Returns (n,) the share of each picture's latents that are zero beside its largest one."""
    sizes = np.abs(latents.reshape(len(latents), -1))
    return (sizes <= LARGEST * sizes.max(1, keepdims=True)).mean(1)
