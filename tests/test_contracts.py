"""Every registered component keeps its promise; a new one is tested by being there."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, intensities, write_pictures
from PIL import Image
from sounds import LISTENING, MEL, RATE, record, tone
from torch import Tensor, nn
from traces import write_traces

from saec.data import DATA, VIEWS, Batch, Cache, Draws, Kind, Loader, Raw
from saec.data.batch import own_columns
from saec.data.fronts import PictureFront, SoundFront
from saec.data.stored import Streamed
from saec.data.views import marks_of
from saec.evaluation import EVALUATIONS
from saec.extraction.sources import SOURCES
from saec.faults import Fault
from saec.features import POOLINGS, n_trimmed, trimmed
from saec.models import MODELS, Model, feature_shape, model_table
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.registry import Registry, Strict
from saec.sound.spectra import SPECTRA

REGISTRIES = (DATA, VIEWS, MODELS, OBJECTIVES, OPTIMIZERS, POOLINGS, EVALUATIONS, SOURCES)
EVERY = [pytest.param(axis, name, id=f"{axis.axis}-{name}") for axis in REGISTRIES for name in axis.names()]
GIVEN = {"data kind": {"train": "songs"}}  # what has no default
CPU = torch.device("cpu")


def parsed(axis: Registry, name: str, **options):
    return axis.parse({axis.key: name} | GIVEN.get(axis.axis, {}) | options)


@pytest.mark.parametrize(("axis", "name"), EVERY)
def test_a_component_is_documented_and_has_immutable_options_that_can_be_written_down(axis, name):
    component = parsed(axis, name)
    assert axis.parse(component.model_dump(mode="json")) == component
    for option in component.options:
        value = getattr(component, option)
        hash(value)
        dumped = component.model_dump().get(option, type(component).model_fields[option].default)
        assert dumped == (value.model_dump() if isinstance(value, Strict) else value)
    first = (axis[name].__doc__ or "").partition("\n")[0]
    assert first.endswith(".") and len(first.split()) >= 4
    assert first != component.__class__.__base__.__doc__
    with pytest.raises(ValueError, match="unknown key"):
        parsed(axis, name, no_such_option=1)


# Models


def pictures(model: Model, channels: int = 1, n: int = 2, n_steps: int = 2) -> Tensor:
    return torch.rand(n, channels, model.height or 32, model.width or n_steps * model.time_pool)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_gives_pictures_of_the_shape_it_gets(name, channels):
    with torch.device("meta"):
        model = parsed(MODELS, name)((channels, 128, 256))
        for n_steps in (1, 2, 5):
            if model.width:  # it takes the width it is made for
                model = parsed(MODELS, name)((channels, 128, 16 * n_steps + 3))
            seen = pictures(model, channels, n_steps=n_steps)
            code = model(seen)
            assert code.ndim == 4 and code.shape[0] == 2 and code.shape[3] == seen.shape[3] // model.time_pool
            if model.decoder is not None:
                assert model.decoder(code).shape == seen.shape
            assert code.shape[1:] == feature_shape(model, tuple(seen.shape[1:]))


@pytest.mark.parametrize("name", MODELS.names())
@torch.no_grad()
def test_a_models_weights_go_through_a_file_into_another_of_its_kind(name):
    torch.manual_seed(0)
    model = parsed(MODELS, name)((1, 128, 256)).eval()
    seen = pictures(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    with torch.device("meta"):
        other = parsed(MODELS, name)((1, 128, 256)).eval()
    other.load_state_dict(torch.load(file, weights_only=True), assign=True)
    assert torch.equal(model(seen), other(seen))
    if model.decoder is not None:
        assert torch.equal(model.decoder(model(seen)), other.decoder(other(seen)))


@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_is_an_ordered_list_of_blocks_of_which_the_first_can_be_frozen(name):
    with torch.device("meta"):
        model = parsed(MODELS, name)((1, 128, 256))
    blocks = list(model.encoder.children())
    assert len(blocks) > 1
    model.freeze(1)
    model.train()
    assert not any(weight.requires_grad for weight in blocks[0].parameters())
    assert not any(module.training for module in blocks[0].modules())
    assert all(weight.requires_grad for block in blocks[1:] for weight in block.parameters())
    assert all(module.training for block in blocks[1:] for module in block.modules())


def test_the_shape_of_features_is_computed_without_touching_statistics_or_mode():
    model = parsed(MODELS, "compact")((1, 128, 64)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert feature_shape(model, (1, 128, 64)) == (128, 1, 8)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", MODELS.names())
def test_the_table_of_a_model_has_each_block_with_its_shape_and_all_weights(name):
    shape = (1, 128, 256)
    with torch.device("meta"):
        model = parsed(MODELS, name)(shape).train()
        table = model_table(model, shape)
        latents = feature_shape(model, shape)
    rows = {row.split()[0]: row.split()[1:] for row in table.splitlines()[1:]}
    n_weights = {key: int(words[-1].replace(",", "")) for key, words in rows.items() if key != "input"}
    assert [*rows][:2] == ["input", f"encoder.{next(iter(model.blocks))}"] and model.training
    assert " ".join(rows["encoder"][:-1]) == " x ".join(map(str, latents))
    assert n_weights["total"] == sum(weight.numel() for weight in model.parameters())
    assert n_weights["total"] == sum(n for key, n in n_weights.items() if "." in key)
    assert ("decoder" in rows) == (model.decoder is not None)
    if model.decoder is not None:
        assert rows["decoder"][:-1] == rows["input"]
    assert not any(module._forward_hooks for module in model.modules())


def test_compact_refuses_more_time_halvings_than_its_strides_can_do():
    with pytest.raises(ValueError, match="at most 3, one more than there are widths, got 4"):
        parsed(MODELS, "compact", widths=(4, 4), time_halvings=4)((1, 128, 64))


@pytest.mark.parametrize("widths", [(2, 2), (2,) * 6])
@pytest.mark.parametrize("time_halvings", [1, 2, 3])
def test_compact_has_the_time_pool_of_its_option(widths, time_halvings):
    model = parsed(MODELS, "compact", widths=widths, latent=5, time_halvings=time_halvings)((3, 128, 64))
    assert model.time_pool == 2**time_halvings
    assert feature_shape(model, (3, 128, 64)) == (5, 1, 64 // 2**time_halvings)
    assert model.decoder(model(torch.rand(2, 3, 128, 64))).shape == (2, 3, 128, 64)


@torch.no_grad()
def test_a_latent_of_compact_sees_as_far_as_its_context_lets_it():
    torch.manual_seed(0)
    reached = []
    for context in (0, 1, 2):
        model = parsed(MODELS, "compact", context=context)((1, 128, 512)).eval()
        pictures = torch.zeros(2, 1, 128, 512)
        pictures[1, ..., 256:264] = 1
        before, after = model(pictures)
        reached.append(int((before != after).any(dim=0).any(dim=0).sum()))
    assert reached[0] < reached[1] < reached[2] < 512 // 8


# Objectives


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_gives_finite_scalars_and_reaches_every_weight(name):
    torch.manual_seed(0)
    model = MODELS.parse(TINY)((1, 128, 32)).eval()  # in training, a bias before a norm has no effect
    objective = parsed(OBJECTIVES, name)(feature_shape(model, (1, 128, 32)), ("a", "b"))
    seen, target = torch.rand(2, 4, 1, 128, 32)
    scores = objective(model, Batch(seen, target, list("abcd"), torch.tensor([0, 1, 0, 1])))
    assert all(score.ndim == 0 and torch.isfinite(score) for score in scores.values())
    assert {"loss", objective.best_by} <= set(scores | objective.summary())
    scores["loss"].backward()
    weights = {**dict(model.encoder.named_parameters(prefix="encoder")), **dict(objective.named_parameters())}
    assert [key for key, weight in weights.items() if weight.grad is None or not weight.grad.any()] == []
    decoder = [weight.grad is not None and weight.grad.any() for weight in model.decoder.parameters()]
    assert all(decoder) or not any(decoder)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_goes_on_until_validation_stalls_and_its_state_can_be_saved(name):
    objective = parsed(OBJECTIVES, name)((8, 1, 8), ("a", "b"))
    assert objective.end_epoch(False) is True and objective.end_epoch(True) is False
    parsed(OBJECTIVES, name)((8, 1, 8), ("a", "b")).load_state_dict(objective.state_dict())


@pytest.mark.parametrize(("loss", "error"), [("mse", np.square), ("mae", np.abs)])
def test_reconstruction_is_the_mean_error_over_all_pixels(loss, error):
    model = MODELS.parse(TINY)((1, 128, 32)).eval()
    seen, target = torch.rand(2, 3, 1, 128, 32)
    objective = parsed(OBJECTIVES, "reconstruction", loss=loss)((8, 1, 8), ())
    with torch.no_grad():
        result = objective(model, Batch(seen, target, list("abc")))["loss"]
        rebuilt = model.decoder(model.encoder(seen)).numpy()
    assert np.isclose(float(result), np.mean(error(rebuilt - target.numpy())), rtol=1e-5)


@pytest.mark.parametrize(("loss", "error"), [("mse", np.square), ("mae", np.abs)])
def test_the_trivial_error_is_that_of_the_mean_target_over_batches_of_any_size(loss, error):
    objective = parsed(OBJECTIVES, "reconstruction", loss=loss)((8, 1, 8), ())
    targets = torch.rand(7, 1, 6, 5)
    batches = [Batch(part, part, ["x"] * len(part)) for part in targets.split(3)]
    expected = np.mean(error(targets.numpy() - targets.numpy().mean(axis=0)))
    assert np.isclose(objective.trivial(lambda: iter(batches)), expected, rtol=1e-5)


# Views


@pytest.mark.parametrize("channels", ["intensity", "rgb"])
@pytest.mark.parametrize("name", VIEWS.names())
def test_a_view_gives_pairs_of_the_shape_that_comes_in(name, channels):
    front = PictureFront((8, 12), channels, colours=np.zeros((256, 3), np.uint8))
    raw = Raw(torch.randint(0, 256, (5, 8, 12), dtype=torch.uint8))
    if "sound" in marks_of(VIEWS[name]):
        front = SoundFront(SPECTRA.parse(MEL)(RATE), 12)
        raw = Raw(torch.randn(5, 900), torch.tensor([900, 256, 1, 700, 900]))
        raw.values[~own_columns(raw.lengths, 900)] = 0
    for draws in (Draws.training(5, CPU, (0, 0, 0, 0)), Draws.validation(np.arange(5), CPU, 0)):
        before = raw.values.clone()
        for pictures in parsed(VIEWS, name)(raw, front, draws):
            assert pictures.shape == (5, *front.shape) and torch.isfinite(pictures).all()
        assert torch.equal(raw.values, before)


# Data kinds


def write_images(folder: Path) -> None:
    write_pictures(folder, intensities(9, 8, 12))


def write_sounds(folder: Path) -> None:
    for number in range(9):
        record(folder / f"{number}.wav", tone(300 + 100 * number, 0.1 + number / 50, number))


def write_photos(folder: Path) -> None:
    """Pictures of several sizes and formats, all of which have two sides that a size of 8 x 12 fits to."""
    for number, name in enumerate("a.jpg b.JPEG c.png d.webp e.tif f.tiff g.bmp h.gif i.jpg".split()):
        pixels = np.random.default_rng(number).integers(0, 256, (6 + number, 9, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


WRITERS = {"photos": write_photos, "images": write_images, "audio": write_sounds, "arrays": write_traces}
OPTIONS = {"photos": {"size": (8, 12)}, "images": {}, "audio": LISTENING, "arrays": {"scale": "file"}}


@pytest.fixture(params=DATA.names())
def kind_of(request, tmp_path) -> Callable[..., Kind]:
    """Makes the kind anew, on a folder with files of its own, one label and a cache of that size."""
    folder = tmp_path / "data"
    folder.mkdir()
    WRITERS[request.param](folder)
    (folder / "labels.csv").write_text(f"file,label\n{sorted(data_files(folder))[2].name},wren\n")

    def make(gigabytes: float = 1, **options: Any) -> Kind:
        options = {"kind": request.param, "train": ""} | OPTIONS[request.param] | options
        return DATA.parse(options)(folder, Cache(tmp_path / f"cache{gigabytes}", gigabytes, n_workers=2))

    return make


def data_files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix != ".csv"]


def test_a_kind_lists_reads_and_stores_its_samples(kind_of):
    kind = kind_of()
    data, sizes = kind.open(), kind.sizes()
    files = sorted(file.name for file in data_files(kind.folder))
    assert data.samples.files.tolist() == files
    names = [Path(file).stem for file in files] if hasattr(kind, "ids") else files
    assert data.samples.names.tolist() == kind.samples.names.tolist() == names
    assert data.samples.labels.tolist() == kind.samples.labels.tolist() == ["", "", "wren", *[""] * 6]
    assert len(data) == sizes.n_samples == len(kind.state) == 9 and sizes.no_room == ""
    assert data.shape == sizes.front.shape and data.samples_are == sizes.samples_are == type(kind).samples_are
    raw = data.gather(np.array([4]), CPU)
    read = np.concatenate(list(kind.read(4)))
    assert np.array_equal(raw.values[0].numpy(), read if raw.lengths is not None else read[0])
    seen = data.front(raw)
    shown = data.front.show(seen)
    assert seen.shape[:-1] == (1, *data.shape[:-1]) and 0 <= shown.min() <= shown.max() <= 1
    if data.is_ragged:  # a sample has a length of its own, and is shown in a size that suits a figure
        assert seen.shape[-1] == data.n_frames[4] and shown.ndim == 4 and max(shown.shape) < 1000
    else:
        assert seen.shape == (1, *data.shape) and shown.shape == seen.shape


@pytest.mark.parametrize("gigabytes", [1, 1e-7])
def test_a_kind_gives_its_samples_in_any_order_whether_there_is_room_for_them_or_not(kind_of, gigabytes):
    one, other = kind_of().open(), kind_of(gigabytes).open()
    assert (gigabytes == 1) != isinstance(other.stored, Streamed)
    assert (one.fingerprint, one.about) == (other.fingerprint, other.about)
    on_device = replace(one, stored=one.stored.on(CPU))  # as in the memory of a GPU
    for rows in ([8, 0, 3], [5, 5], list(range(9))):
        raw = one.gather(np.array(rows), CPU)
        for same in (other, on_device):
            assert torch.equal(raw.values, same.gather(np.array(rows), CPU).values)
        each = [one.gather(np.array([row]), CPU) for row in rows]
        for values, alone in zip(raw.values, each, strict=True):
            own = values[: alone.values.shape[1]] if raw.lengths is not None else values
            assert torch.equal(own, alone.values[0]) and not values[len(own) :].any()
    batch = next(Loader(other, VIEWS.parse("plain"), 4, CPU, 0).validation())
    assert batch.mask is None or batch.mask.sum(dim=1).tolist() == raw.lengths[:4].tolist()


def test_a_kind_notices_files_that_are_bad_or_have_changed(kind_of):
    kind, stored = kind_of(1e-7), kind_of().open()
    data = kind.open()
    good = np.delete(np.arange(9), 3)
    expected = stored.gather(good, CPU).values
    files = sorted(data_files(kind.folder))
    os.utime(files[6], ns=(1, 1))
    with pytest.raises(Fault, match=f"{files[6].name} is no longer as it was when it was checked"):
        data.gather(np.arange(9), CPU)
    assert kind_of().open().fingerprint != data.fingerprint
    files[3].write_bytes(b"nothing")
    for gigabytes in (1, 1e-7):
        with pytest.raises(Fault, match=f"1 of 9 {kind.items_are} in .*\n.*{files[3].name}"):
            kind_of(gigabytes).open()
        left = kind_of(gigabytes, skip_bad=True).open()
        assert left.about["left_out"] == [files[3].name]
        assert left.samples.names.tolist() == data.samples.names[good].tolist()
        assert torch.equal(left.gather(np.arange(8), CPU).values, expected)


# Optimizers


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_an_optimizer_lowers_a_quadratic(name):
    weight = nn.Parameter(torch.tensor([[1.0, -2.0, 3.0]]))
    learner = parsed(OPTIMIZERS, name)([weight], 100)
    losses = []
    for _ in range(100):
        loss = (weight**2).sum()
        learner.step(loss)
        losses.append(loss.item())
    assert losses[-1] < losses[0] and np.all(np.diff(losses) < 0)


# Poolings


@pytest.mark.parametrize("n_steps", [1, 8])
@pytest.mark.parametrize("name", POOLINGS.names())
def test_a_pooling_gives_one_row_of_finite_features_a_sample(name, n_steps):
    rows = parsed(POOLINGS, name)(torch.rand(3, 5, n_steps))
    assert rows.ndim == 2 and len(rows) == 3 and rows.shape[1] >= 5
    assert torch.isfinite(rows).all()


@pytest.mark.parametrize("name", POOLINGS.names())
def test_a_row_does_not_depend_on_the_others(name):
    latents = torch.rand(4, 5, 12)
    pooling = parsed(POOLINGS, name)
    assert torch.equal(pooling(latents)[2:3], pooling(latents[2:3]))


def slow_weighted_stats(latent: np.ndarray, window: float = 0) -> np.ndarray:
    """Of one (channels, time), step by step; the median of an even number of steps is the lower one."""
    latent = latent.astype(np.float64)
    n_steps = latent.shape[1]
    median = np.sort(latent, axis=1)[:, (n_steps - 1) // 2]
    distances = [np.sum((latent[:, step] - median) ** 2) for step in range(n_steps)]
    sine = np.sin(np.pi * (np.arange(n_steps) + 0.5) / n_steps) ** window
    distances *= sine
    weights = np.full(n_steps, 1 / n_steps) if not any(distances) else distances / np.sum(distances)
    means = np.average(latent, axis=1, weights=weights)
    deviation = np.sqrt(np.average((latent - means[:, None]) ** 2, axis=1, weights=weights))
    ends = median[:, None] + (latent - median[:, None]) * sine
    return np.concatenate([means, deviation, ends.min(axis=1), ends.max(axis=1)])


@pytest.mark.parametrize("n_steps", [1, 2, 7, 36])
@pytest.mark.parametrize("trim", [0.0, 0.1, 0.3, 2])
@pytest.mark.parametrize(
    ("name", "options", "slow"),
    [
        ("mean_std", {}, lambda x: np.concatenate([x.mean(axis=2), x.std(axis=2)], axis=1)),
        ("mean", {}, lambda x: x.mean(axis=2)),
        ("max", {}, lambda x: x.max(axis=2)),
        ("flatten", {}, lambda x: x.reshape(len(x), -1)),
        ("weighted_stats", {}, lambda x: np.stack([slow_weighted_stats(picture) for picture in x])),
        (
            "weighted_stats",
            {"window": 2.0},
            lambda x: np.stack([slow_weighted_stats(picture, window=2) for picture in x]),
        ),
    ],
)
def test_poolings_equal_numpy_on_the_steps_that_are_kept(name, options, slow, trim, n_steps):
    latents = np.random.default_rng(0).normal(size=(3, 5, n_steps)).astype(np.float32)
    cut = trim if trim == 2 else int(np.ceil(np.float32(trim * n_steps)))
    kept = latents[:, :, cut : n_steps - cut] if n_steps > 2 * cut else latents
    result = parsed(POOLINGS, name, trim=trim, **options)(torch.from_numpy(latents))
    assert np.allclose(result, slow(kept), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in POOLINGS.names() if name != "flatten"])
def test_rows_of_a_channel_are_pooled_each_alone_or_as_one_with_its_columns(name):
    latents = torch.randn(2, 3, 4, 5)  # (batch, channels, rows, columns)
    assert torch.equal(parsed(POOLINGS, name)(latents), parsed(POOLINGS, name)(latents.flatten(1, 2)))
    both = parsed(POOLINGS, name, trim=1, axes="both")(latents)
    assert torch.equal(both, parsed(POOLINGS, name, trim=0)(latents[..., 1:-1].flatten(2)))
    assert len(both[0]) in (3, 6, 12)


def test_a_window_is_over_time_alone_where_rows_are_steps_too():
    latents = torch.randn(1, 3, 4, 6)
    options = {"window": 2.0, "axes": "both"}
    result = parsed(POOLINGS, "weighted_stats", trim=0, **options)(latents)
    shifted = parsed(POOLINGS, "weighted_stats", trim=0, **options)(latents[:, :, [2, 0, 3, 1]])
    assert torch.allclose(result, shifted, atol=1e-6)  # whichever row a step is of


@pytest.mark.parametrize(
    ("n_steps", "kept"), [(1, 1), (2, 2), (7, 5), (8, 6), (16, 12), (32, 24), (36, 28), (72, 56), (144, 114)]
)
def test_a_tenth_is_trimmed_on_each_side_where_that_leaves_a_step(n_steps, kept):
    steps = trimmed(torch.arange(n_steps)[None, None], 0.1)[0, 0].tolist()
    cut = (n_steps - kept) // 2
    assert steps == list(range(n_steps))[cut : n_steps - cut]
    assert n_trimmed(n_steps, 0.1) == cut


def test_a_share_that_is_no_exact_number_trims_no_step_too_many():
    assert [n_trimmed(n, 0.1) for n in (10, 30, 70, 1000)] == [1, 3, 7, 100]


# Evaluations


@pytest.mark.parametrize("name", EVALUATIONS.names())
def test_an_evaluation_gives_finite_named_scores_and_the_same_again(name):
    rng = np.random.default_rng(0)
    labels = np.array(["finch", "wren", "crow"])[np.arange(60) % 3]
    rows = (rng.normal(size=(60, 4)) + 8 * (np.arange(60) % 3)[:, None]).astype(np.float32)
    groups = np.arange(60) // 6
    wanted = {"n_repeats": 1, "curve": [], "umap": None}
    options = {key: value for key, value in wanted.items() if key in EVALUATIONS[name].options}
    evaluation = EVALUATIONS.parse({"name": name} | options)
    result = evaluation(rows, labels, groups)
    assert result.scores and all(type(s) is float and np.isfinite(s) for s in result.scores.values())
    assert result.predicted.shape == labels.shape and result.predicted.dtype.kind == "U"
    again = evaluation(rows, labels, groups)
    assert again.scores == result.scores and (again.predicted == result.predicted).all()
