"""Filters values along time with a windowed sinc that keeps frequencies below a cutoff."""

import torch
from torch import Tensor

from saec.faults import Fault

N_TAPS = 51


def lowpass_kernel(cutoff_hz: float, rate_hz: float, n_taps: int = N_TAPS) -> Tensor:
    """Returns a sinc in a Hamming window (n_taps,) whose sum is 1, for `rate_hz` frames a second.

    A cutoff of half the rate leaves everything as it is.

    Raises:
        Fault: the cutoff is not above 0 and at most half the rate, or the number of taps is even.
    """
    if not 0 < cutoff_hz <= rate_hz / 2:
        raise Fault(
            f"a low-pass cutoff must be above 0 and at most {rate_hz / 2:g} Hz, half of the {rate_hz:g} "
            f"frames a second, got {cutoff_hz:g}"
        )
    if n_taps % 2 == 0:
        raise Fault(f"a low-pass filter needs an odd number of taps, got {n_taps}")
    steps = torch.arange(n_taps, dtype=torch.float64) - n_taps // 2
    window = torch.hamming_window(n_taps, periodic=False, dtype=torch.float64)
    taps = torch.sinc(2 * cutoff_hz / rate_hz * steps) * window
    return (taps / taps.sum()).float()


def filtered(x: Tensor, kernel: Tensor, mask: Tensor | None = None) -> Tensor:
    """Filters (batch, ..., time) along time; gradients flow through it.

    `mask` (batch, time) says which frames are a sample's own: others count for nothing and come out as 0.
    At the edges the taps that are left sum to 1 again, so that constants stay constants.
    """
    own = x.new_ones(1, x.shape[-1]) if mask is None else mask.to(x.dtype)
    weights = _convolved(own, kernel)
    over_all = (len(own), *(1,) * (x.ndim - 2), -1)  # (batch, 1 ..., time)
    own, weights = own.reshape(over_all), weights.reshape(over_all)
    return torch.where(own > 0, _convolved(torch.where(own > 0, x, 0), kernel) / weights, 0)


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolves the last axis with the kernel, by Fourier transforms; zeros lie beyond its ends."""
    n, half = x.shape[-1], len(kernel) // 2
    size = -(-(n + half) // 32) * 32  # at least n + half, so that nothing comes around; fast to transform
    spectrum = torch.fft.rfft(x.float(), size) * torch.fft.rfft(kernel.to(x.device), size)
    return torch.fft.irfft(spectrum, size)[..., half : half + n].to(x.dtype)
