"""Low-pass filters, statistics of codes, shift sensitivity, and the section that evaluates codes."""

import numpy as np
import pytest
import torch

from saec.faults import Fault
from saec.lowpass import filtered, lowpass_kernel

RATE = 100.0


def test_the_lowpass_is_that_of_scipy_and_half_the_rate_leaves_everything():
    from scipy.signal import firwin

    expected = firwin(51, 12.0, fs=RATE)
    assert np.allclose(lowpass_kernel(12.0, RATE), expected, atol=1e-7)
    whole = torch.randn(2, 3, 70, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(filtered(whole, lowpass_kernel(RATE / 2, RATE)), whole, atol=1e-5)
    t = torch.arange(400) / RATE
    slow, fast = torch.sin(2 * torch.pi * 2 * t), torch.sin(2 * torch.pi * 30 * t)
    kept = filtered((slow + fast)[None], lowpass_kernel(10.0, RATE))[0]
    assert (kept - slow)[30:-30].abs().max() < 0.01


@pytest.mark.parametrize("cutoff", [2.0, 12.0, 45.0])
def test_padding_never_leaks_into_what_is_filtered_and_constants_stay(cutoff):
    kernel, rng = lowpass_kernel(cutoff, RATE), torch.Generator().manual_seed(1)
    lengths = [80, 7, 33]
    alone = [torch.randn(4, 2, n, generator=rng) for n in lengths]
    batch = torch.full((3, 4, 2, 80), torch.nan)  # whatever stands behind a sample's own frames
    for row, one in zip(batch, alone, strict=True):
        row[..., : one.shape[-1]] = one
    mask = torch.arange(80) < torch.tensor(lengths)[:, None]
    got = filtered(batch, kernel, mask)
    for row, one, n in zip(got, alone, lengths, strict=True):
        assert torch.allclose(row[..., :n], filtered(one, kernel), atol=1e-6)
        assert not row[..., n:].any()
    assert torch.allclose(filtered(torch.ones(1, 2, 9), kernel), torch.ones(1, 2, 9))


def test_gradients_flow_through_a_filter_but_not_from_padding():
    x = torch.randn(2, 3, 20, requires_grad=True)
    filtered(x, lowpass_kernel(10.0, RATE), torch.arange(20) < torch.tensor([[20], [8]])).sum().backward()
    assert x.grad[0].abs().min() > 0
    assert not x.grad[1, :, 8:].any()


@pytest.mark.parametrize(
    ("cutoff", "taps", "words"), [(0, 51, "above 0"), (51, 51, "at most 50 Hz"), (9, 50, "odd")]
)
def test_a_filter_that_cannot_be_is_refused(cutoff, taps, words):
    with pytest.raises(Fault, match=words):
        lowpass_kernel(cutoff, RATE, taps)
