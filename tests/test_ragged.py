"""Samples with lengths of their own: batches of similar length, masked means, codes that are extracted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import answer, refused
from small_runs import give_weights
from traces import NAMES, curves, kind, save, write_traces

import main_02_extract
from saec import extract
from saec.config import Config
from saec.data import VIEWS, Dataset, Loader
from saec.faults import Fault
from saec.features import POOLINGS, Codes, Features, pool
from saec.objectives.base import mean_error, mean_over
from saec.runs import Run
from saec.session import TrainingSession, load_session

CPU = torch.device("cpu")
SMALL = {"name": "conv1d", "encoder_blocks": 2, "decoder_blocks": 2, "inner": 768}
STRIDED = {"name": "conv1d_strided", "widths": [8, 8], "latent": 6}


@pytest.fixture
def data(config: Config) -> Dataset:
    rng = np.random.default_rng(0)
    for number, n in enumerate(rng.integers(10, 300, 60)):
        save(config.data / "traces" / f"{number:02d}.npy", curves(int(n), number))
    return kind(config.data / "traces", config).open()


def loader(data: Dataset, **options: int) -> Loader:
    return Loader(data, VIEWS.parse("plain"), **({"batch_size": 4, "device": CPU, "seed": 0} | options))


# Batches


def test_batches_are_of_similar_length_and_other_ones_in_each_epoch(data):
    epochs = [list(loader(data).training(epoch)) for epoch in (0, 1, 0)]
    names = [[batch.names for batch in epoch] for epoch in epochs]
    assert names[0] == names[2] and len({*map(tuple, names[0])} & {*map(tuple, names[1])}) < 3
    for epoch in epochs:
        assert sorted(name for batch in epoch for name in batch.names) == data.samples.names.tolist()
        n_own = sum(int(batch.lengths.sum()) for batch in epoch)
        assert n_own == data.n_frames.sum()
        assert sum(batch.seen.shape[0] * batch.seen.shape[3] for batch in epoch) < 1.1 * n_own
    batch = epochs[0][0]
    assert batch.mask.sum() == batch.weight and not batch.seen[:, 0, 0][~batch.mask].any()


def test_processes_share_the_batches_of_one(data):
    alone = [batch.names for batch in loader(data, batch_size=8).training(3)]
    both = [list(loader(data, rank=rank, world_size=2).training(3)) for rank in (0, 1)]
    shared = [{*first.names, *second.names} for first, second in zip(*both, strict=True)]
    assert shared == list(map(set, alone))


def test_validation_comes_in_order_of_length(data):
    lengths = torch.cat([batch.lengths for batch in loader(data).validation()])
    assert lengths.tolist() == sorted(data.n_frames.tolist())


def test_validation_of_few_samples_is_hardly_filled_up(data):
    few = data.subset(np.arange(12))
    whole, smaller = (loader(few, batch_size=12, smaller=smaller) for smaller in (False, True))
    n_own = few.n_frames.sum()
    filled = [sum(batch.seen[:, 0, 0].numel() for batch in one.validation()) for one in (whole, smaller)]
    assert filled[0] > 1.5 * n_own and filled[1] < 1.25 * n_own
    assert len(list(smaller.validation())) == smaller.n_batches < 8
    names = [name for batch in smaller.validation() for name in batch.names]
    assert sorted(names) == few.samples.names.tolist()


# Means


def test_means_count_the_numbers_of_the_mask_alone():
    numbers = torch.arange(12.0).reshape(2, 1, 2, 3)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert mean_over(numbers, mask) == np.mean([0, 1, 3, 4, 6, 9]) and mean_over(numbers) == numbers.mean()
    target = torch.where(mask[:, None, None], numbers, 1e6)
    assert mean_error(torch.nn.functional.mse_loss, numbers, target, mask) == 0


@pytest.mark.parametrize("name", [name for name in POOLINGS.names() if name != "flatten"])
def test_rows_are_pooled_as_each_alone(name):
    latents, n_steps = torch.randn(3, 4, 20), torch.tensor([20, 1, 11])
    pooling = POOLINGS.parse(name)
    alone = torch.cat([pooling(row[None, :, :n]) for row, n in zip(latents, n_steps, strict=True)])
    latents[1, :, 1:] = 1e9
    torch.testing.assert_close(pool(pooling, latents, n_steps), alone, rtol=0, atol=0)


# Codes


def run_of(config: Config, model: dict, **data: object) -> Run:
    session = {"data": {"kind": "arrays", "train": "", "scale": "file"} | data, "model": model}
    session = load_session(session, TrainingSession).named("traces")
    run = Run.create(config.models, session, {"input_shape": [1, len(NAMES), 64]})
    give_weights(run, seed=0, epoch=1)
    return run


def session_of(run: Run, out: str, **changes: object) -> dict:
    data = {"arrays": "traces"}
    return {"run": run.timestamp, "data": data, "reduction": None, "precision": "fp32", "out": out} | changes


def codes_of(features: Features) -> Codes:
    return Codes.load(features.roles["codes"])


@pytest.mark.parametrize("model", [SMALL, STRIDED], ids=lambda model: model["name"])
def test_codes_and_features_of_a_file_are_what_it_alone_gives(model, config):
    arrays = write_traces(config.data / "traces", 6)
    run = run_of(config, model)
    features = extract(session_of(run, "codes"), config)
    codes, encoder = codes_of(features), run.model("best")
    stride, pooling = encoder.time_pool, POOLINGS.parse("mean_std")
    assert codes.N.tolist() == features.N.tolist() == [str(number) for number in range(6)]
    assert codes.n_steps.tolist() == [-(-len(array) // stride) for array in arrays]
    data = kind(config.data / "traces", config, scale="file").open().sized_for(*encoder.takes)
    for row in range(6):
        stored = data.gather(np.array([row]), CPU)
        with torch.no_grad():
            alone = encoder.encode(data.front(stored), data.lengths(stored))[0, :, 0]
        alone = alone[:, : len(codes[row])]
        near = {"rtol": 1e-6, "atol": 1e-6 * max(1.0, float(alone.abs().max()))}
        np.testing.assert_allclose(codes[row].T, alone, **near)
        np.testing.assert_allclose(features.X[row], pooling(alone[None])[0], **near)


def test_codes_of_unchanged_files_are_taken_over_and_pooled_anew_for_a_variant(config, log):
    write_traces(config.data / "traces", 6)
    run = run_of(config, SMALL)
    codes = codes_of(extract(session_of(run, "codes"), config))
    before = {name: np.array(codes[row]) for row, name in enumerate(codes.N.tolist())}
    del codes  # Windows replaces no file that is mapped
    save(config.data / "traces" / "15.npy", curves(77, 15))
    log.clear()
    after = codes_of(extract(session_of(run, "codes"), config))
    assert any("6 of 7 traces are as they were" in record.getMessage() for record in log.records)
    assert after.N.tolist() == ["0", "1", "15", "2", "3", "4", "5"]
    for name, own in before.items():
        np.testing.assert_array_equal(own, after[after.N.tolist().index(name)])
    log.clear()
    maxima = extract(session_of(run, "codes", variant="most", pooling={"name": "max", "trim": 0}), config)
    assert any("7 of 7 traces are as they were" in record.getMessage() for record in log.records)
    expected = np.stack([after[row].max(axis=0) for row in range(7)])
    np.testing.assert_array_equal(maxima.X, expected)
    assert maxima.roles["codes"].samefile(config.data / "codes" / f"codes_saec_{run.timestamp}.npz")


def test_codes_may_take_half_the_room(config):
    write_traces(config.data / "traces", 3)
    run = run_of(config, SMALL)
    whole = codes_of(extract(session_of(run, "whole"), config))
    half = codes_of(extract(session_of(run, "half", latents="float16"), config))
    assert half.values.dtype == np.float16
    np.testing.assert_array_equal(half.values, whole.values.astype(np.float16))


def test_reductions_and_a_figure_are_made_of_traces_as_of_pictures(config):
    write_traces(config.data / "traces", 12)
    reduction = {"dims": [2], "n_neighbors": 4}
    features = extract(session_of(run_of(config, STRIDED), "codes", reduction=reduction), config)
    assert features.X_red.shape == (12, 2) and features.roles["reconstructions"].is_file()


def test_options_that_need_one_shape_are_refused(config):
    write_traces(config.data / "traces", 3)
    run = run_of(config, SMALL)
    words = refused(main_02_extract, session_of(run, "codes", pooling="flatten", backend="onnx"), config)
    assert "pooling: takes samples of one shape" in words and "backend: takes samples of one shape" in words


def test_a_damaged_file_of_codes_is_one_fault(config):
    write_traces(config.data / "traces", 3)
    file = extract(session_of(run_of(config, SMALL), "codes"), config).roles["codes"]
    good = dict(np.load(file))
    for change, words in (
        ({"offsets": good["offsets"] + 1}, "offsets do not fit"),
        ({"offsets": good["offsets"][:-1]}, "offsets do not fit"),
        ({"N": good["N"][:-1]}, "offsets do not fit"),
    ):
        other = Path(config.data / "other.npz")
        np.savez(other, **(good | change))
        with pytest.raises(Fault, match=words):
            Codes.load(other)
    with pytest.raises(Fault, match="cannot be read as codes"):
        Codes.load(config.data / "traces" / "0.npy")


def test_the_script_extracts_traces(config):
    write_traces(config.data / "traces", 4)
    code, out, _ = answer(main_02_extract, session_of(run_of(config, SMALL), "codes"), config)
    names = [Path(line).name.split("_saec_")[0] for line in out.splitlines()[:-1]]
    assert code == 0 and names[:2] == ["pooled_mean_std", "codes"]
