"""Low-pass filters, statistics of codes, shift sensitivity, and the section that evaluates codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import has_words, intensities, write_pictures
from PIL import Image
from small_runs import give_weights, untrained_run
from torch import nn
from traces import HZ, NAMES, curves, save, write_traces

from saec.data import Cache
from saec.data.kind import evenly
from saec.evaluation.codes import (
    CodeMeasures,
    density,
    kernels,
    kurtosis,
    lowpass_errors,
    middle,
    most_shifts,
    own_frames,
    shift_distances,
)
from saec.faults import Fault
from saec.lowpass import filtered, lowpass_kernel
from saec.models.base import Model, Ragged
from saec.models.conv1d import Movements
from saec.report import EvaluationSession, evaluate, plan_evaluation
from saec.runs import Run
from saec.sections.codes_work import by_history
from saec.session import SessionError, TrainingSession, load_session

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
    factor = np.array([1.0, 10.0, 0.5])
    of_batch = (own_frames(values, lengths) for values in (codes, target, rebuilt))
    for sample in zip(*of_batch, strict=True):
        together.add(*sample, factor)
    for row, n in enumerate(lengths.tolist()):
        alone.add(
            *(values[row, ..., :n].flatten(0, 1).numpy() for values in (codes, target, rebuilt)), factor
        )
    assert together.rows == alone.rows
    own = np.concatenate([target[row, 0, :, :n].numpy() for row, n in enumerate(lengths.tolist())], axis=1)
    assert np.allclose(together.by_column["mse"], np.square(0.5 * own).mean(1), rtol=1e-5)
    assert np.allclose(together.by_column["mse_in_units"], together.by_column["mse"] * factor**2)
    summary = together.summary()
    assert summary["files"] == 3 and summary["frames"] == 135
    assert summary["mse"] == pytest.approx(np.square(0.5 * own).mean(), rel=1e-5)
    assert summary["mse_by_file"] == pytest.approx(np.mean([row["mse"] for row in together.rows]))
    assert summary["zeros_by_file"] == np.mean([row["zeros"] for row in together.rows])
    assert summary["sparsity"] == pytest.approx((own <= 0).mean(), abs=1e-12)
    assert together.mse_of_mean == pytest.approx(own.var(axis=1).mean(), rel=1e-5)
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
    measures = CodeMeasures(RATE, 1, 1000)
    for n in (1000, 60, 3, 1):  # the last two are too short
        t = np.arange(n) / RATE
        wave = np.stack([np.sin(2 * np.pi * 12.5 * t), 5 + np.sin(2 * np.pi * 12.5 * t)])
        measures.add(wave, wave, None)
    frequencies, mean = measures.spectra["codes"]
    assert frequencies[mean.argmax()] == 12.5
    assert np.trapezoid(mean, frequencies) == pytest.approx(0.5, rel=0.05)
    one = density(wave[:, :1].repeat(9, 1), 9, RATE)
    assert np.allclose(one, 0)
    short = CodeMeasures(1.0, 1, 2)
    short.add(wave, wave, None)
    assert short.spectra == {}


def test_a_sweep_filters_codes_and_input_and_counts_own_frames_alone():
    model = Model(Ragged(Same()), Ragged(Same()), ragged=True)
    seen, lengths = waves(90, 40)
    cutoffs = [10.0, 30.0, 50.0]
    together = lowpass_errors(model, [(seen, lengths)], cutoffs, RATE)
    rows = enumerate(lengths.tolist())
    batches = [(seen[row : row + 1, ..., :n], torch.tensor([n])) for row, n in rows]
    alone = lowpass_errors(model, batches, cutoffs, RATE)
    for name, errors in together.items():
        assert np.allclose(errors, alone[name], rtol=1e-5, atol=1e-9)
        assert np.allclose(errors, together["codes"], atol=1e-9)  # a model that changes nothing
        assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-9
    assert together["codes"][0] == pytest.approx(0.045, rel=0.2)  # the power of the fast waves


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
    curve, n_samples = shift_distances(lambda x, own: 2 * x, [(seen, lengths if ragged else None)], 20, 1)
    assert curve == pytest.approx(np.zeros(20), abs=1e-12)
    assert n_samples == (2 if ragged else 3)  # a sample of 20 frames cannot be moved by 20


def test_a_stride_without_a_filter_before_it_is_more_sensitive_to_shifts_than_with_one():
    seen, lengths = waves(160, 96)
    kernel = torch.hann_window(9, periodic=False)[None, None, None] / 4
    alone = [(seen[row : row + 1, ..., :n], torch.tensor([n])) for row, n in enumerate(lengths.tolist())]

    def smooth(x):
        return nn.functional.conv2d(x, kernel, padding=(0, 4))

    measured = {}
    for name, before in (("aliased", lambda x: x), ("smoothed", smooth)):

        def encode(x, own, before=before):
            return before(x)[..., ::4]

        together, one_by_one = (shift_distances(encode, of, 20, 4)[0] for of in ([(seen, lengths)], alone))
        assert np.allclose(together, one_by_one)
        assert np.allclose(together[3::4], 0)  # whole steps
        measured[name] = together.mean()
    assert 0 < 10 * measured["smoothed"] < measured["aliased"] < 2


def test_unrelated_codes_have_a_shift_sensitivity_of_two_and_constant_ones_have_none():
    batches, draws = [(torch.zeros(4, 1, 8, 400), None)], torch.Generator().manual_seed(0)
    curve, _ = shift_distances(lambda x, own: torch.randn(x.shape, generator=draws), batches, 5, 1)
    assert curve == pytest.approx(np.full(5, 2.0), rel=0.05)
    assert np.isnan(shift_distances(lambda x, own: x, batches, 5, 1)[0]).all()


def test_most_shifts_leave_a_quarter_of_the_steps_to_compare():
    for n, pool in ((5, 8), (40, 1), (36, 32), (9, 4)):
        assert middle(n, most_shifts(n, pool), pool)[1] == max(2, n // 4)
    assert most_shifts(2, 8) == most_shifts(4, 8) == 0


def test_samples_that_differ_by_a_constant_are_as_sensitive():
    seen = torch.randn(3, 1, 2, 60)
    constants = torch.tensor([0.0, 50.0, -90.0])[:, None, None, None]

    def encode(x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return x.flatten(1, 2)[..., None, :] * torch.linspace(0, 1, x.shape[-1])  # depends on the position

    plain, _ = shift_distances(encode, [(seen, None)], 5, 1)
    offset, _ = shift_distances(lambda x, lengths: encode(x) + constants, [(seen, None)], 5, 1)
    np.testing.assert_allclose(offset, plain, rtol=1e-4)


@pytest.fixture
def evaluated(config):
    """A run of pictures, and a folder of others that it has not learnt from."""
    run = untrained_run(config, 64)
    write_pictures(config.data / "songs" / "images", intensities(4, width=64))
    write_new(config.data / "new" / "images", 5, 64)
    return config, run


def write_new(folder: Path, n: int, width: int) -> None:
    """Pictures that are called otherwise than those of the training."""
    write_pictures(folder, intensities(n, width=width, seed=3))
    for file in sorted(folder.iterdir()):
        file.rename(file.with_name(f"new_{file.name}"))


def codes_session(of: Run, folder: str = "new/images", **changes) -> dict:
    """An evaluation of codes alone, with few of everything that takes time."""
    codes = {"run": of.timestamp, "data": {"images": folder}, "cutoffs": 3, "shifts": 6}
    return {"codes": codes | changes, "inspect": False}


def test_an_evaluation_of_codes_writes_tables_figures_and_the_metrics_of_the_specification(evaluated):
    config, run = evaluated
    report = evaluate(codes_session(run, columns=["column 3", 100]), config)
    samples = pd.read_csv(report.folder / "codes.csv")
    folder = config.data / "new" / "images"
    assert samples["file"].tolist() == sorted(file.name for file in folder.iterdir())
    data = run.data(folder, Cache.of(config)).open()
    seen = data.front(data.gather(np.arange(5), torch.device("cpu")))
    with torch.no_grad():
        codes = run.model().encoder(seen)
        errors = (run.model().decoder(codes) - seen).square().numpy()
    assert np.allclose(samples["mse"], errors.mean((1, 2, 3)), rtol=1e-5)
    assert np.allclose(samples["kurtosis"], [kurtosis(one.numpy()) for one in codes], rtol=1e-4)
    columns = pd.read_csv(report.folder / "codes_columns.csv")
    assert np.allclose(columns["mse"], errors.mean((0, 1, 3)), rtol=1e-5)
    metrics = json.loads((report.folder / "metrics.json").read_text())
    assert metrics["mse"] == pytest.approx(samples["mse"].mean())
    assert metrics["sparsity"] == samples["zeros"].mean()
    norms = [kernel.norm() for _, kernel in kernels(run.model())]
    assert metrics["weight_norms"] == pytest.approx(np.array(norms))
    assert {"mse_by_frame", "sparsity_share", "shift_sensitivity"} <= metrics["ours"].keys()
    sweep = pd.read_csv(report.folder / "codes_lowpass.csv")
    assert sweep.iloc[-1, 1] == pytest.approx(samples["mse"].mean(), rel=1e-4)  # nothing is filtered
    shifts = pd.read_csv(report.folder / "codes_shifts.csv")
    assert shifts["distance"].mean() == pytest.approx(metrics["ours"]["shift_sensitivity"])
    assert {"weight_norms.csv", "codes_spectra.csv"} <= {file.name for file in report.folder.iterdir()}
    figures = ("encoding", "losses", "lowpass", "shifts", "spectra", "traces", "weights")
    assert {f"codes_{name}.png" for name in figures} == {file.name for file in report.folder.glob("*.png")}
    assert "shift sensitivity" in report.findings[0]


def test_a_limit_and_samples_that_are_too_short_to_be_moved_are_said(evaluated):
    config, run = evaluated
    write_new(config.data / "short" / "images", 3, 16)
    report = evaluate(codes_session(run, "short/images", limit=2, cutoffs=0), config)
    page = (report.folder / "report.html").read_text()
    assert "2 of 3 pictures" in page and "too short to be moved by 6 frames" in page
    assert not (report.folder / "codes_lowpass.csv").exists()


def test_samples_that_the_run_may_have_learnt_from_are_named(evaluated):
    config, run = evaluated
    own = config.data / "songs" / "images"
    report = evaluate(codes_session(run, "songs/images", cutoffs=0, shifts=0), config)
    assert "the run&#39;s own, of `data.train`" in (report.folder / "report.html").read_text()
    assert not (report.folder / "codes_shifts.csv").exists()
    shutil.copy(sorted(own.iterdir())[1], config.data / "new" / "images")
    job = plan_evaluation(load_session(codes_session(run), EvaluationSession), config)
    assert has_words(job.describe(), "1 of these samples is called like ... rec00_segm_0001")
    shutil.rmtree(own)
    job = plan_evaluation(load_session(codes_session(run), EvaluationSession), config)
    assert "`data.train` of the run cannot be read now" in job.describe()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run": "latest:nothing"}, "codes.run: no finished run of session 'nothing'"),
        ({"columns": ["TDX"]}, "codes.columns: no column 'TDX'"),
        ({"columns": [128]}, "codes.columns: no column 128: there are 128"),
        ({"data": {"sounds": "new"}}, "codes.data.sounds: .* takes images"),
        ({"data": {"images": "nowhere"}}, "codes.data.images: .*nowhere"),
        ({"shifts": -1}, "codes.shifts"),
        ({"weights": "latest"}, "codes.weights"),
    ],
)
def test_faults_of_an_evaluation_of_codes_come_before_any_work(evaluated, changes, words):
    config, run = evaluated
    with pytest.raises(SessionError, match=words):
        plan_evaluation(load_session(codes_session(run, **changes), EvaluationSession), config)


def test_errors_by_alpha_are_those_of_the_weights_that_were_kept_or_of_the_history(evaluated):
    config, run = evaluated
    for seed, alpha in ((1, 0.5), (2, 0.25), (3, 0.9)):
        other = untrained_run(config, 64)
        give_weights(other, seed, epoch=seed)
        shutil.copy(other.folder / "best.pt", run.folder / f"best_alpha_{alpha}.pt")
    shutil.copy(run.folder / "best.pt", run.folder / "best_alpha_0.1.pt")
    write_new(config.data / "many" / "images", 70, 64)  # of which 64 are evaluated for each alpha
    report = evaluate(codes_session(run, "many/images", cutoffs=0, shifts=0), config)
    table = pd.read_csv(report.folder / "codes_alpha.csv")
    assert table["alpha"].tolist() == [0.1, 0.25, 0.5, 0.9] and table["mse"].nunique() == 4
    errors = evenly(pd.read_csv(report.folder / "codes.csv")["mse"].tolist(), 64)
    assert table["mse"][0] == pytest.approx(np.mean(errors), rel=1e-5)
    assert "of each alpha, on 64 of 70 pictures" in (report.folder / "report.html").read_text()
    assert (report.folder / "codes_alpha.png").exists()
    epochs = zip([0.25, 0.25, 0.5], [0.4, 0.3, 0.6], strict=True)
    rows = [{"valid_alpha": a, "valid_mse": loss / 2, "valid_loss": loss} for a, loss in epochs]
    assert by_history(rows)[["alpha", "mse"]].to_numpy().tolist() == [[0.25, 0.15], [0.5, 0.3]]
    assert by_history([{"valid_loss": 0.1}]).empty


@pytest.fixture
def of_traces(config):
    """A run of traces in windows, a folder of others, and the arrays in it."""
    write_traces(config.data / "train", 3)
    arrays = write_traces(config.data / "new", 5, shortest=30, step=17)
    for file in (config.data / "new").iterdir():
        file.rename(file.with_stem(f"new_{file.stem}"))
    scale = [[2.0 * 10**k for k in range(len(NAMES))], [10.0**k for k in range(len(NAMES))]]
    data = {"kind": "arrays", "train": "train", "names": NAMES, "rate_hz": HZ, "scale": scale}
    session = {
        "data": data | {"window_frames": 16},
        "model": {"name": "conv1d_strided", "widths": [8, 8], "latent": 6, "strides": [2, 1]},
    }
    session = load_session(session, TrainingSession).named("untrained")
    run = Run.create(config.models, session, {"input_shape": [1, len(NAMES), 256]})
    give_weights(run, seed=0, epoch=1)
    return config, run, arrays


def test_traces_are_evaluated_whole_each_as_if_it_were_alone_and_in_units_of_their_files(of_traces):
    config, run, arrays = of_traces
    session = codes_session(run, data={"arrays": "new"}, columns=["TTX", 4])
    report = evaluate(session, config)
    table = pd.read_csv(report.folder / "codes.csv")
    assert table["file"].tolist() == [f"new_{number}" for number in range(5)]
    assert table["frames"].tolist() == [len(array) for array in arrays]
    model, squares = run.model(), []
    for row, array in zip(table.itertuples(), arrays, strict=True):
        x = torch.from_numpy((array / 10.0 ** np.arange(len(NAMES)) - 2).astype(np.float32)).T[None, None]
        x = nn.functional.pad(x, (0, len(array) % 2))
        lengths = torch.tensor([len(array)])
        with torch.no_grad():
            codes = model.encode(x, lengths)
            rebuilt = model.decode(codes, lengths)
        errors = (rebuilt - x)[0, 0, :, : len(array)].square().numpy()
        squares.append(errors * 100.0 ** np.arange(len(NAMES))[:, None])
        assert row.mse == pytest.approx(errors.mean(), rel=1e-5)
        assert row.mse_in_units == pytest.approx(squares[-1].mean(), rel=1e-5)
        assert row.zeros == int((codes == 0).sum()) and row.sparsity == row.zeros / codes.numel()
        assert row.l1 == pytest.approx(float(codes.abs().mean()), rel=1e-5)
    columns = pd.read_csv(report.folder / "codes_columns.csv")
    assert columns["column"].tolist() == list(NAMES)
    assert np.allclose(columns["mse_in_units"], np.concatenate(squares, axis=1).mean(1), rtol=1e-5)
    assert pd.read_csv(report.folder / "codes_spectra.csv").iloc[:, 1].max() == HZ / 2
    assert pd.read_csv(report.folder / "codes_lowpass.csv").iloc[-1, 0] == HZ / 4  # codes have half the rate


def test_figures_of_codes_name_columns_and_codes_and_show_no_sample_of_a_few_frames(of_traces, drawn):
    config, run, _ = of_traces
    save(config.data / "new" / "short.npy", curves(6))
    evaluate(codes_session(run, data={"arrays": "new"}), config)
    by_title = {figure.get_suptitle().split(" ")[0]: figure.axes for figure in drawn}

    def ticks(axes) -> list[str]:
        return [label.get_text() for label in axes.get_yticklabels()]

    codes, kernels, sweep, truth = (by_title[word] for word in ("Codes", "Kernels", "Mean", "Truth"))
    assert ticks(codes[0]) == ticks(kernels[0]) == list(NAMES)
    strengths = np.square(codes[1].images[0].get_array()).sum(1)
    assert sorted(map(int, ticks(codes[1]))) == list(range(6)) and (np.diff(strengths) <= 0).all()
    assert not [axes.get_title() for axes in truth if "short" in axes.get_title()]
    for axes, n in zip(sweep, (2, 1), strict=True):  # what a filter does alone goes to zero
        assert sum(np.isfinite(line.get_ydata()).all() for line in axes.lines) == n


def test_a_movement_is_what_a_code_of_one_adds_over_time():
    layer = Movements(3, 2, 5, 2)
    code = torch.zeros(1, 3, 1, 9)
    code[0, 1, 0, 4] = 1
    with torch.no_grad():
        layer.convolution.bias.zero_()
        added = layer(code)[0, 0, :, 2:7]
        assert torch.allclose(added, layer.kernel[:, 1, 0].flip(-1))
    assert float(added.square().sum()) == pytest.approx(1, rel=1e-5)


def test_traces_that_the_run_has_learnt_from_are_refused_by_their_ids(of_traces):
    config, run, arrays = of_traces
    np.savez(config.data / "new" / "0.npz", arrays[0])  # which was learnt from as 0.npy
    session = load_session(codes_session(run, data={"arrays": "new"}), EvaluationSession)
    with pytest.raises(SessionError, match="(?s)1 of these samples is called like some of .*train.*: leave"):
        plan_evaluation(session, config)
    write_traces(config.data / "train" / "s0", 2)
    for folder in ("train/s0", "."):  # a folder in the run's, and one above it
        session = load_session(codes_session(run, data={"arrays": folder}), EvaluationSession)
        with pytest.raises(SessionError, match="(?s)of these samples are files of .*train.*: leave them out"):
            plan_evaluation(session, config)
    own = load_session(codes_session(run, data={"arrays": "train"}), EvaluationSession)
    assert "the run's own" in plan_evaluation(own, config).describe()
    (last,) = evaluate(own, config).findings[1:]  # of an untrained model
    assert has_words(last, "Look at this first: the error of ... , that of the mean of ... the run's own")


def test_a_single_trace_is_counted_and_drawn_once(of_traces):
    config, run, _ = of_traces
    session = codes_session(run, data={"arrays": "new"}, cutoffs=0, shifts=0, limit=1)
    report = evaluate(session, config)
    assert ", on 1 trace." in report.findings[0]
    with Image.open(report.folder / "codes_traces.png") as figure:
        assert figure.width < 1000  # three would be beside each other


def test_a_split_of_a_table_is_evaluated_alone(of_traces):
    config, run, _ = of_traces
    rows = [
        "file,split",
        *(f"new_{n}.{'npz' if n % 2 else 'npy'},{'test' if n > 2 else ''}" for n in range(5)),
    ]
    (config.data / "new" / "table.csv").write_text("\n".join(rows))
    session = codes_session(run, data={"arrays": "new/table.csv"}, split="test", cutoffs=0, shifts=0)
    report = evaluate(session, config)
    assert pd.read_csv(report.folder / "codes.csv")["file"].tolist() == ["new_3", "new_4"]
    session["codes"]["split"] = "tset"
    with pytest.raises(SessionError, match="codes.split: no sample is of the split 'tset' .* there are test"):
        plan_evaluation(load_session(session, EvaluationSession), config)
