"""Measures how alike pictures are: cosine, peak signal-to-noise ratio, structural similarity."""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, DEVIATION = 11, 1.5  # pixels, of the Gaussian window of structural similarity
STABLE = (0.01**2, 0.03**2)  # what keeps its fractions stable, for values in [0, 1]


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Returns (n,) the cosine of all numbers of samples (n, ...)."""
    return F.cosine_similarity(one.flatten(1), other.flatten(1), dim=1)


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """Returns (n,) the peak signal-to-noise ratio in dB of samples (n, ...) in [0, 1], at most 100."""
    errors = (one - other).square().flatten(1).mean(1)
    return -10 * errors.clamp(min=1e-10).log10()


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Returns (n,) the structural similarity of pictures (n, channels, height, width) in [0, 1].

    Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment": a Gaussian window of 11 x 11 pixels
    that lies wholly inside; of smaller pictures one as large as fits.
    """
    down, across = (_windows(size, one) for size in one.shape[2:])

    def windowed(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # bf16, and TF32 of convolutions, lose variances
            return down @ x @ across.T

    means = windowed(one), windowed(other)
    squares, product = (means[0].square(), means[1].square()), means[0] * means[1]
    variances = [windowed(x.square()) - square for x, square in zip((one, other), squares, strict=True)]
    covariance = windowed(one * other) - product
    structure = (2 * covariance + STABLE[1]) / (sum(variances) + STABLE[1])
    return ((2 * product + STABLE[0]) / (sum(squares) + STABLE[0]) * structure).flatten(1).mean(1)


def _windows(n: int, like: Tensor) -> Tensor:
    """Returns (windows, n) the weights of each of n pixels in each window."""
    reach = (min(WINDOW, n) - 1) / 2
    pixels, starts = (torch.arange(m, device=like.device, dtype=like.dtype) for m in (n, n - 2 * reach))
    apart = pixels - starts[:, None] - reach
    weights = torch.exp(-apart.square() / (2 * DEVIATION**2)) * (apart.abs() <= reach)
    return weights / weights.sum(1, keepdim=True)


SIMILARITIES = {"cosine": cosine, "psnr": psnr, "ssim": ssim}
