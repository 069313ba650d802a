"""Two views of a picture: distortions within their limits, NT-Xent by its formula, a training."""

import numpy as np
import pytest
import torch
from conftest import TINY, training_session
from torch import Tensor

from saec.data import VIEWS, Batch, Draws
from saec.data.views import floored, warped, without_bands
from saec.features import POOLINGS
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.objectives.contrastive import nt_xent
from saec.training import train

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
