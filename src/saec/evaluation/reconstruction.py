"""How far what comes back is from what went in, picture by picture."""

import numpy as np

SSIM = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
SSIM_WINDOW = 11  # pixels
LARGEST = 1e-6  # of a picture's largest latent: what is below is none


def rebuilt_scores(original: np.ndarray, rebuilt: np.ndarray) -> dict[str, np.ndarray]:
    """Of (n, channels, height, width) in [0, 1]: mse, mae, cosine of all pixels, SSIM; each (n,).

    SSIM has the settings of Wang, Bovik, Sheikh and Simoncelli (2004); it is not a number for pictures that
    its window of 11 x 11 does not fit into.
    """
    from skimage.metrics import structural_similarity  # half a second to import

    before, after = (
        pictures.reshape(len(pictures), -1).astype(np.float64) for pictures in (original, rebuilt)
    )
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return {
        "mse": np.square(before - after).mean(1),
        "mae": np.abs(before - after).mean(1),
        "cosine": (before * after).sum(1) / np.maximum(lengths, np.finfo(np.float64).tiny),
        "ssim": np.array(
            [
                structural_similarity(one, other, channel_axis=0, **SSIM)
                if min(one.shape[1:]) >= SSIM_WINDOW
                else np.nan
                for one, other in zip(original, rebuilt, strict=True)
            ]
        ),
    }


def sparsity(latents: np.ndarray) -> np.ndarray:
    """(n,): the proportion of each picture's latents that are none, beside its largest one."""
    sizes = np.abs(latents.reshape(len(latents), -1))
    return (sizes <= LARGEST * sizes.max(1, keepdims=True)).mean(1)
