"""Two views of a picture: distortions within their limits, NT-Xent by its formula, a training."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, answer, training_session
from sounds import record, tone
from torch import Tensor

import main_01_train
from saec.config import ROOT
from saec.data import VIEWS, Batch, Draws
from saec.data.views import floored, warped, without_bands
from saec.features import POOLINGS
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.objectives.contrastive import barlow, nt_xent, vicreg
from saec.runs import Run
from saec.session import SessionError, TrainingSession, load_session
from saec.training import go_on, plan_training, train
from saec.training.build import build

CPU = torch.device("cpu")
STILL = dict.fromkeys(
    ("shift", "frequency_shift", "stretch", "frequency_stretch", "gain", "floor", "noise", "mask"), 0
)


def slow_nt_xent(rows: np.ndarray, temperature: float) -> float:
    """Equation 1 of the paper, row by row: -log of the other view's share among all others."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n, losses = len(rows) // 2, []
    for i in range(2 * n):
        others = [k for k in range(2 * n) if k != i]
        likeness = {k: np.exp(unit[i] @ unit[k] / temperature) for k in others}
        losses.append(-np.log(likeness[(i + n) % (2 * n)] / sum(likeness.values())))
    return float(np.mean(losses))


def test_nt_xent_is_the_papers_formula():
    rows = np.random.default_rng(0).normal(size=(10, 6))
    for temperature in (0.1, 0.2, 1.0):
        loss = nt_xent(torch.from_numpy(rows), temperature)["nt_xent"]
        assert float(loss) == pytest.approx(slow_nt_xent(rows, temperature))


def test_nt_xent_knows_views_of_one_picture_whichever_comes_first():
    rows = torch.randn(8, 5, dtype=torch.float64)
    one, other = rows[:4], rows[:4] + 0.01 * rows[4:]
    scores = nt_xent(torch.cat([one, other]), 0.1)
    swapped = nt_xent(torch.cat([other, one]), 0.1)
    assert float(scores["accuracy"]) == 1
    assert torch.allclose(scores["nt_xent"], swapped["nt_xent"])
    shuffled = nt_xent(torch.cat([one, other.roll(1, 0)]), 0.1)
    assert float(shuffled["accuracy"]) == 0 and shuffled["nt_xent"] > 5 * scores["nt_xent"]


def slow_vicreg(one: np.ndarray, other: np.ndarray, weights: tuple[float, float, float]) -> float:
    """The paper's three terms, number by number, with the means that its authors' program takes."""
    n, width = one.shape
    distance = sum((one[i, j] - other[i, j]) ** 2 for i in range(n) for j in range(width)) / (n * width)
    lack = shared = 0.0
    for view in (one, other):
        means = [sum(view[:, j]) / n for j in range(width)]
        for j in range(width):
            for k in range(width):
                product = sum((view[i, j] - means[j]) * (view[i, k] - means[k]) for i in range(n)) / (n - 1)
                if j == k:
                    lack += max(0.0, 1 - np.sqrt(product + 1e-4)) / width / 2
                else:
                    shared += product**2 / width
    return weights[0] * distance + weights[1] * lack + weights[2] * shared


def slow_barlow(one: np.ndarray, other: np.ndarray, redundancy: float) -> float:
    """Equations 1 and 2 of the paper: correlations over the batch, number by number."""
    n, width = one.shape
    loss = 0.0
    for j in range(width):
        for k in range(width):
            a, b = one[:, j] - one[:, j].mean(), other[:, k] - other[:, k].mean()
            correlation = sum(a * b) / n / np.sqrt((sum(a * a) / n + 1e-5) * (sum(b * b) / n + 1e-5))
            loss += (1 - correlation) ** 2 if j == k else redundancy * correlation**2
    return float(loss)


def test_vicreg_and_barlow_are_their_papers_formulas():
    one, other = np.random.default_rng(0).normal(size=(2, 7, 5)) * [0.3, 0.6, 1, 2, 0.9]
    rows = torch.from_numpy(np.concatenate([one, other]))
    for weights in ((25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        assert float(vicreg(rows, weights)["vicreg"]) == pytest.approx(slow_vicreg(one, other, weights))
    for redundancy in (0.005, 1.0):
        assert float(barlow(rows, redundancy)["barlow"]) == pytest.approx(slow_barlow(one, other, redundancy))


VARIANTS = {
    "nt_xent": lambda rows: nt_xent(rows, 0.1),
    "vicreg": lambda rows: vicreg(rows, (25.0, 25.0, 1.0)),
    "barlow": lambda rows: barlow(rows, 0.005),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_neither_the_order_of_views_nor_that_of_pictures_matters(name):
    one, other = torch.randn(2, 9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(9)
    loss = VARIANTS[name](torch.cat([one, other]))[name]
    for rows in (torch.cat([other, one]), torch.cat([one[order], other[order]])):
        assert torch.allclose(VARIANTS[name](rows)[name], loss, rtol=1e-12)
    assert not torch.allclose(VARIANTS[name](torch.cat([one, other[order]]))[name], loss)


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("nt_xent", torch.ones(12, 4), np.log(11)),  # all alike: one in 2 n - 1
        ("nt_xent", torch.eye(6).repeat(2, 1), np.log(1 + 10 * np.exp(-10))),  # alike, and like no other
        ("vicreg", torch.ones(12, 4), 25 * (1 - 0.01)),  # no variance
        ("barlow", torch.ones(12, 4), 4),  # no correlation
        ("vicreg", 9 * torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).repeat(2, 1), 0),
        ("barlow", 9 * torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).repeat(2, 1), 0),
    ],
)
def test_values_that_are_known_by_hand(name, rows, expected):
    assert float(VARIANTS[name](rows)[name]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("reconstruction", [0, 10])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_last_batch_of_one_sample_has_finite_scores_and_gradients(name, reconstruction):
    options = {"variant": name, "reconstruction": reconstruction, "last_norm": True}
    objective = OBJECTIVES.parse({"name": "contrastive", **options})((8, 1, 8), ())
    model = MODELS.parse(TINY)((1, 128, 32))
    scores = objective(model, Batch(*torch.rand(2, 1, 1, 128, 32), ["a"]))
    scores["loss"].backward()
    assert all(torch.isfinite(score) for score in scores.values())
    weights = [*model.encoder.parameters(), *objective.parameters()]
    assert all(weight.grad is None or torch.isfinite(weight.grad).all() for weight in weights)


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_learnt_scores_as_all_projections_alike_in_each_variant(name):
    batches = [Batch(part, part, ["x"] * len(part)) for part in torch.rand(7, 1, 6, 5).split(3)]
    options = {"variant": name, "reconstruction": 0, "projection": 5, "temperature": 0.1}
    objective = OBJECTIVES.parse({"name": "contrastive", **options})((8, 1, 8), ())
    alike = [(n, float(VARIANTS[name](torch.ones(2 * n, 5))[name])) for n in (3, 3, 1)]
    expected = sum(n * loss for n, loss in alike) / 7
    assert objective.trivial(lambda: iter(batches)) == pytest.approx(expected, rel=1e-5)


def test_the_last_norm_has_a_scale_and_no_bias_that_are_learnt():
    objective = OBJECTIVES.parse({"name": "contrastive", "hidden": 7, "last_norm": True})((8, 1, 8), ())
    shapes = {key: tuple(w.shape) for key, w in objective.named_parameters() if w.requires_grad}
    assert shapes["head.4.weight"] == (128,) and "head.4.bias" not in shapes
    assert not any(key in shapes for key in ("head.0.bias", "head.3.bias")) and shapes["head.1.bias"] == (7,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": "plain"}, "views: plain gives one view twice, contrastive compares two: choose `pair`"),
        ({"views": "pair", "training": {"batch_size": 1}}, "training.batch_size: contrastive compares"),
    ],
)
def test_one_view_and_one_sample_have_nothing_to_be_compared_with(changes, words, config, pictures):
    with pytest.raises(SessionError, match=words):
        train(training_session(objective="contrastive") | changes, config)


PROCESS = """
import sys, torch
from torch import distributed
from saec.objectives import OBJECTIVES
from saec.objectives.contrastive import gathered
rank, file, variants = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
given, results = torch.load(file + ".given", weights_only=True), {}
own = given["views"][:, :5] if rank == 0 else given["views"][:, 5:]
for variant in variants:
    objective = OBJECTIVES.parse({"name": "contrastive", "variant": variant})((8, 1, 8), ())
    weights = given["weights"].clone().requires_grad_()
    loss = objective.compare(gathered(own.flatten(0, 1) @ weights))[variant]
    loss.backward()
    distributed.all_reduce(weights.grad)  # as data parallel training does
    results[variant] = {"loss": loss.detach(), "gradient": weights.grad / 2}
torch.save(results, f"{file}.result{rank}")
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_both_of_their_batches(tmp_path):
    torch.manual_seed(0)
    weights, views = torch.randn(9, 6).double(), torch.randn(2, 8, 9).double()
    file = tmp_path / "together"
    torch.save({"weights": weights, "views": views}, f"{file}.given")
    words = [(sys.executable, "-c", PROCESS, str(rank), str(file), *VARIANTS) for rank in (0, 1)]
    processes = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for line in words]
    faults = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], faults
    results = [torch.load(f"{file}.result{rank}", weights_only=True) for rank in (0, 1)]
    for variant in VARIANTS:
        objective = OBJECTIVES.parse({"name": "contrastive", "variant": variant})((8, 1, 8), ())
        leaf = weights.clone().requires_grad_()
        loss = objective.compare(views.flatten(0, 1) @ leaf)[variant]
        loss.backward()
        for result in results:  # of five and of three samples
            assert torch.allclose(result[variant]["loss"], loss, rtol=1e-9), variant
            assert torch.allclose(result[variant]["gradient"], leaf.grad, rtol=1e-9), variant


def test_contrastive_adds_the_weighted_error_of_rebuilding_one_view_where_there_is_a_decoder_and_a_weight():
    torch.manual_seed(0)
    model = MODELS.parse(TINY)((1, 128, 32)).eval()
    seen, target = torch.rand(2, 4, 1, 128, 32)
    batch = Batch(seen, target, list("abcd"))
    rebuilding, blind = (
        OBJECTIVES.parse({"name": "contrastive", "reconstruction": weight})((8, 1, 8), ()).eval()
        for weight in (7, 0)
    )
    with torch.no_grad():
        scores = rebuilding(model, batch)
        error = (model.decoder(model.encoder(target)) - target).square().mean()
    assert torch.allclose(scores["mse"], error)
    assert torch.allclose(scores["loss"], scores["nt_xent"] + 7 * error)
    assert set(blind(model, batch)) == {"loss", "nt_xent", "accuracy"}
    model.decoder = None
    assert "mse" not in rebuilding(model, batch)


def test_nothing_learnt_scores_as_all_projections_alike_and_the_mean_target():
    targets = torch.rand(7, 1, 6, 5)
    batches = [Batch(part, part, ["x"] * len(part)) for part in targets.split(4)]
    objective = OBJECTIVES.parse({"name": "contrastive", "reconstruction": 3})((8, 1, 8), ())
    alike = [float(nt_xent(torch.ones(2 * n, 5), 0.2)["nt_xent"]) for n in (4, 3)]
    rebuilt = (targets - targets.mean(dim=0)).square().mean()
    expected = (4 * alike[0] + 3 * alike[1]) / 7 + 3 * float(rebuilt)
    assert objective.trivial(lambda: iter(batches)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS.names())
def test_constant_latents_have_finite_gradients_through_every_pooling(pooling):
    model = MODELS.parse(TINY)((1, 128, 4)).eval()  # one time step
    batch = Batch(*torch.rand(2, 4, 1, 128, 4), list("abcd"))
    objective = OBJECTIVES.parse({"name": "contrastive", "pooling": pooling})((8, 1, 1), ())
    objective(model, batch)["loss"].backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.encoder.parameters())


def pair(pictures: Tensor, seed: int = 0, **options: float) -> tuple[Tensor, Tensor]:
    draws = Draws.training(len(pictures), CPU, (seed, 0, 0, 0))
    return VIEWS.parse({"name": "pair", **options})(pictures, lambda raw: raw, draws)


def test_each_distortion_alone_changes_both_views_and_differently_and_without_any_both_are_the_picture():
    pictures = torch.rand(6, 1, 32, 48) * 0.8
    for view in pair(pictures, **STILL):
        assert torch.allclose(view, pictures, atol=1e-5)
    for option in STILL:
        one, other = pair(pictures, **STILL | {option: 0.3})
        compared = ((one, pictures), (other, pictures), (one, other))
        assert not any(torch.allclose(a, b, atol=0.02) for a, b in compared), option
        assert 0 <= float(torch.stack([one, other]).min()) and float(torch.stack([one, other]).max()) <= 1


def test_a_picture_moves_by_the_given_share():
    picture = torch.zeros(1, 1, 20, 40)
    picture[..., 10, 20] = 1
    still = torch.zeros(1)
    moved = warped(picture, torch.tensor([0.25]), torch.tensor([0.1]), still, still)
    assert moved[0, 0, 8, 10] == pytest.approx(1, abs=1e-4)  # a quarter of 40 columns, a tenth of 20 rows


def test_frequencies_are_stretched_about_0_hz_and_time_about_the_middle():
    picture = torch.zeros(1, 1, 40, 41)
    picture[..., 19, :] = 1  # at half of the highest frequency
    picture[..., :, 20] = 1
    still = torch.zeros(1)
    warped_up = warped(picture, still, still, torch.tensor([0.5]), torch.tensor([-0.5]))[0, 0]
    assert float(warped_up[:, 20].min()) > 0.6  # the middle column has stayed where it was
    assert int(warped_up[:20, 5].argmax()) <= 1  # half of the highest frequency is now the highest
    assert float(warped_up[-1, 20]) > 0.6


def test_a_floor_is_taken_away_or_put_underneath():
    x = torch.tensor([0.0, 0.2, 0.6, 1.0])[None, None, None]
    away = floored(x, torch.full((1, 1, 1, 1), 0.2)).flatten().tolist()
    under = floored(x, torch.full((1, 1, 1, 1), -0.2)).flatten().tolist()
    assert away == pytest.approx([0, 0, 0.5, 1]) and under == pytest.approx([0.2, 0.36, 0.68, 1])


def test_bands_have_the_given_extents_wherever_they_lie():
    for start in (0.0, 0.5, 1.0):
        share = [torch.full((1, 1, 1, 1), value) for value in (0.25, 0.5, start, start)]
        kept = without_bands(torch.ones(1, 1, 20, 40), *share)[0, 0]
        assert int((kept.sum(dim=1) == 0).sum()) == 5 and int((kept.sum(dim=0) == 0).sum()) == 20


def test_a_training_on_pairs_learns_to_tell_pictures_apart(config, pictures):
    training = {"epochs": 12, "batch_size": 9, "precision": "fp32"}
    session = training_session(views="pair", objective="contrastive", training=training)
    session["optimizer"] = {"name": "adam", "learning_rate": 0.01}
    history = train(session, config).load("last")["history"]
    assert {"train_nt_xent", "train_accuracy", "train_mse", "valid_loss"} <= set(history[0])
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]


def test_what_a_model_or_variant_does_not_use_is_said_and_not_scored(config, pictures, log):
    objective = {"name": "contrastive", "variant": "vicreg", "temperature": 0.1, "variance": 0.5}
    session = training_session(model="resnet18", views="pair", objective=objective)
    session["optimizer"] = {"name": "adam", "schedule": "constant", "warmup": 0.3, "factor": 0.1}
    training = build(plan_training(load_session(session, TrainingSession), config))
    assert training.session.objective.reconstruction == 0
    assert "objective.reconstruction is 0: resnet18 has no decoder" in log.text
    assert "objective.temperature is of `variant: nt_xent`, and not used by `vicreg`" in log.text
    assert "objective.variance" not in log.text and "objective.redundancy" not in log.text
    words = "optimizer.warmup is of `schedule: warmup_cosine or linear`, and not used by `constant`"
    assert words in log.text and "optimizer.factor" not in log.text  # which is as it is without
    assert training.objective.trivial(training.valid.validation) == pytest.approx(0.5 * (1 - 0.01))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("reef", {"training.batch_size": 4, "training.accumulate": 2}),
        ("reef", {"model": "compact", "objective.variant": "vicreg"}),
        ("reef", {"model": "compact", "objective.variant": "barlow"}),
        ("supervised", {}),
    ],
)
def test_the_sessions_of_residual_networks_train_on_sound(name, changes, config):
    for label, hertz in {"low": 300, "high": 1500}.items():
        for number in range(5):
            sound = tone(hertz * (1 + number / 50), 1.92, seed=number, rate=8_000)
            record(config.data / "sounds" / "train" / label / f"{number}.wav", sound, 8_000)
    words = [f"{key}={value}" for key, value in ({"training.epochs": 1} | changes).items()]
    sets = [word for change in words for word in ("--set", change)]
    code, out, text = answer(
        main_01_train, ROOT / "session_params" / "training" / f"{name}.yaml", config, *sets
    )
    assert code == 0, text
    scores = Run.at(Path(out.strip())).load("last")["history"][0]
    assert np.isfinite(list(scores.values())).all()
    assert ("accumulate" in text) == ("training.accumulate" in changes)


def test_accumulated_batches_add_no_negatives_and_going_on_is_as_if_unbroken(config, pictures, log):
    session = training_session(views="pair", objective="contrastive", optimizer={"name": "lars"})
    session["training"] |= {"batch_size": 3, "accumulate": 2, "epochs": 3}
    part = session | {"training": session["training"] | {"epochs": 1}}
    unbroken = train(session, config).load("last")
    assert "training.accumulate: 2 batches make a step" in log.text and "adds no negatives" in log.text
    assert unbroken["learner"]["n_steps"] == 3 * 2  # 8 pictures, 3 batches, the last one alone
    state = go_on(train(part, config), config, epochs=3).load("last")
    assert state["history"] == unbroken["history"]
    assert all(torch.equal(state["model"][key], tensor) for key, tensor in unbroken["model"].items())
