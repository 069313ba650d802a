"""Low-pass filters, statistics of codes, shift sensitivity, and the section that evaluates codes."""

import numpy as np
import pytest
import torch
from torch import nn

from saec.evaluation.codes import CodeMeasures, LowpassSweep, Spectrum, kernels, kurtosis, own_frames
from saec.evaluation.shifts import ShiftSensitivity, most_shifts
from saec.faults import Fault
from saec.lowpass import filtered, lowpass_kernel
from saec.models.base import Model, Ragged

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


class Same(nn.Module):
    """A block that changes nothing."""

    def forward(self, x, lengths=None):
        return x


def waves(*lengths: int, columns: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (batch, 1, columns, longest) of slow and fast waves, zeros behind shorter ones; and lengths."""
    rng, of_batch = np.random.default_rng(0), torch.tensor(lengths)
    x = torch.zeros(len(lengths), 1, columns, max(lengths))
    for row, n in zip(x, lengths, strict=True):
        t = torch.arange(n) / RATE
        for column in row[0]:
            hz, fast = rng.uniform(1, 4), rng.uniform(20, 40)
            column[:n] = torch.sin(2 * torch.pi * hz * t + hz) + 0.3 * torch.sin(2 * torch.pi * fast * t)
    return x, of_batch


def test_measures_of_codes_are_those_of_each_sample_alone_whatever_is_behind_it():
    target, lengths = waves(90, 40, 5)
    codes = torch.relu(target.squeeze(1)[:, :, None].repeat(1, 4, 1, 1).flatten(1, 2)[:, :, None])
    rebuilt = target * 0.5
    together, alone = (CodeMeasures(RATE, 1, 90) for _ in range(2))
    of_batch = (own_frames(values, lengths.tolist()) for values in (codes, target, rebuilt))
    for sample in zip(*of_batch, strict=True):
        together.add(*sample)
    for row, n in enumerate(lengths.tolist()):
        alone.add(*(values[row, ..., :n].flatten(0, 1).numpy() for values in (codes, target, rebuilt)))
    assert together.rows == alone.rows
    own = np.concatenate([target[row, 0, :, :n].numpy() for row, n in enumerate(lengths.tolist())], axis=1)
    assert np.allclose(together.column_mse, np.square(0.5 * own).mean(1), rtol=1e-5)
    summary = together.summary()
    assert summary["files"] == 3 and summary["frames"] == 135
    assert summary["mse"] == pytest.approx(np.square(0.5 * own).mean(), rel=1e-5)
    assert summary["mse_by_file"] == pytest.approx(np.mean([row["mse"] for row in together.rows]))
    assert summary["zeros_by_file"] == np.mean([row["zeros"] for row in together.rows])
    assert summary["sparsity"] == pytest.approx((own <= 0).mean(), abs=1e-12)
    assert "mse" not in CodeMeasuresWithoutDecoder().summary()


def CodeMeasuresWithoutDecoder() -> CodeMeasures:
    measures = CodeMeasures(RATE, 1, 40)
    measures.add(np.ones((2, 40)), np.ones((2, 40)), None)
    return measures


def test_kurtosis_is_that_of_scipy_and_no_number_where_all_is_the_same():
    from scipy.stats import kurtosis as expected

    values = np.random.default_rng(0).laplace(size=(3, 500)).astype(np.float32)
    assert kurtosis(values) == pytest.approx(expected(values, axis=None), rel=1e-4)
    assert np.isnan(kurtosis(np.ones((2, 5))))


def test_a_spectrum_has_its_peak_where_the_wave_is_and_takes_samples_of_any_length():
    spectrum = Spectrum(RATE, 1000)
    for n in (1000, 60, 3, 1):  # the last two are too short
        t = np.arange(n) / RATE
        spectrum.add(np.stack([np.sin(2 * np.pi * 12.5 * t), 5 + np.sin(2 * np.pi * 12.5 * t)]))
    assert spectrum.frequencies[spectrum.density.argmax()] == 12.5
    assert spectrum.n_frames == 1060
    assert np.trapezoid(spectrum.density, spectrum.frequencies) == pytest.approx(0.5, rel=0.05)
    assert np.isnan(Spectrum(1.0, 2).density).all()


def test_a_sweep_filters_codes_and_input_and_counts_own_frames_alone():
    model = Model(Ragged(Same()), Ragged(Same()), ragged=True)
    seen, lengths = waves(90, 40)
    cutoffs = [10.0, 30.0, 50.0]
    together, alone = (LowpassSweep(cutoffs, RATE, 1) for _ in range(2))
    together.add(model, seen, lengths)
    for row, n in enumerate(lengths.tolist()):
        alone.add(model, seen[row : row + 1, ..., :n], torch.tensor([n]))
    for name, errors in together.mse.items():
        assert np.allclose(errors, alone.mse[name], rtol=1e-5, atol=1e-9)
        assert np.allclose(errors, together.mse["codes"], atol=1e-9)  # a model that changes nothing
        assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-9
    assert together.mse["codes"][0] == pytest.approx(0.045, rel=0.2)  # the power of the fast waves


def test_kernels_are_those_of_the_encoder_then_of_the_decoder():
    model = Model(
        nn.Sequential(nn.Conv1d(3, 5, 3), nn.ReLU()), nn.Sequential(nn.ConvTranspose2d(5, 3, (1, 3)))
    )
    assert [(name, tuple(kernel.shape)) for name, kernel in kernels(model)] == [
        ("encoder.0", (5, 3, 3)),
        ("decoder.0", (5, 3, 1, 3)),
    ]


@pytest.mark.parametrize("ragged", [True, False])
def test_codes_that_move_along_have_no_shift_sensitivity(ragged):
    seen, lengths = waves(90, 70, 20)
    measure = ShiftSensitivity(20, 1)
    measure.add(lambda x, own: 2 * x, seen, lengths if ragged else None)
    assert measure.curve == pytest.approx(np.zeros(20), abs=1e-12) and measure.mean == 0
    assert measure.n_samples == (2 if ragged else 3)  # a sample of 20 frames cannot be moved by 20


def test_a_stride_without_a_filter_before_it_is_more_sensitive_to_shifts_than_with_one():
    seen, lengths = waves(160, 96)
    kernel = torch.hann_window(9, periodic=False)[None, None, None] / 4

    def smooth(x):
        return nn.functional.conv2d(x, kernel, padding=(0, 4))

    measured = {}
    for name, before in (("aliased", lambda x: x), ("smoothed", smooth)):
        measures = ShiftSensitivity(20, 4), ShiftSensitivity(20, 4)
        measures[0].add(lambda x, own, before=before: before(x)[..., ::4], seen, lengths)
        for row in (0, 1):  # alone
            n = int(lengths[row])
            measures[1].add(
                lambda x, own, before=before: before(x)[..., ::4],
                seen[row : row + 1, ..., :n],
                lengths[row : row + 1],
            )
        assert np.allclose(measures[0].curve, measures[1].curve)
        assert np.allclose(measures[0].curve[3::4], 0)  # whole steps
        measured[name] = measures[0].mean
    assert 0 < 10 * measured["smoothed"] < measured["aliased"] < 2


def test_unrelated_codes_have_a_shift_sensitivity_of_two_and_constant_ones_have_none():
    seen, draws = torch.zeros(4, 1, 8, 400), torch.Generator().manual_seed(0)
    measure, constant = ShiftSensitivity(5, 1), ShiftSensitivity(5, 1)
    measure.add(lambda x, own: torch.randn(x.shape, generator=draws), seen)
    constant.add(lambda x, own: x, seen)
    assert measure.curve == pytest.approx(np.full(5, 2.0), rel=0.05)
    assert np.isnan(constant.mean)


def test_most_shifts_leave_a_step_to_compare():
    for n, pool in ((4, 8), (40, 1), (36, 32), (9, 4)):
        n_shifts = most_shifts(n, pool)
        assert (
            ShiftSensitivity(n_shifts, pool).middle(n)[1]
            >= 1
            > ShiftSensitivity(n_shifts + 1, pool).middle(n)[1]
        )
    assert most_shifts(2, 8) == 0
