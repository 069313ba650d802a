"""The exported encoder needs none of our code and gives the same latents at another batch and width."""

from pathlib import Path

import pytest
import torch
from conftest import TINY, intensities, training_session, write_pictures

from saec.export import TOLERANCE, export_encoder
from saec.faults import Fault
from saec.models import MODELS, Model
from saec.training import go_on, train

SIZES = [(1, 2), (3, 7), (8, 4)]  # pictures and time steps


def built(name: str | dict, channels: int = 1) -> Model:
    """With statistics that are not those of a fresh model."""
    torch.manual_seed(0)
    model = MODELS.parse(name)((channels, 128, 64)).train()
    with torch.no_grad():
        model.encoder(torch.rand(4, channels, 128, 2 * model.time_pool))
    return model.eval()


@torch.no_grad()
def assert_same_latents(file: Path, model: Model, channels: int = 1) -> None:
    exported = torch.export.load(file).module()
    for n, n_steps in SIZES:
        seen = torch.rand(n, channels, 128, n_steps * model.time_pool)
        expected, got = model.encoder(seen), exported(seen)
        assert got.shape == expected.shape and got.dtype == torch.float32
        assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()


def test_an_exported_encoder_gives_the_same_latents_at_other_batches_and_widths(tmp_path):
    model = built(TINY)
    export_encoder(model, (1, 128, 64), tmp_path / "encoder.pt2")
    assert_same_latents(tmp_path / "encoder.pt2", model)
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.pt2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS.names())
def test_every_architecture_can_be_exported(tmp_path, name):
    model = built(name, channels=3)
    export_encoder(model, (3, 128, 256), tmp_path / "encoder.pt2")
    assert_same_latents(tmp_path / "encoder.pt2", model, channels=3)


def test_an_encoder_that_gives_other_numbers_when_exported_is_not_kept(tmp_path):
    class Moody(torch.nn.Module):
        """Gives other numbers each time it is asked."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=2, keepdim=True) * torch.rand(1)

    with pytest.raises(Fault, match="the exported encoder differs by .* not kept"):
        export_encoder(Model(Moody(), None, 128, 4), (1, 128, 64), tmp_path / "encoder.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_exports_its_best_weights_when_asked(config, precision):
    write_pictures(config.data / "songs" / "images", intensities(6), per_recording=2)
    options = {"epochs": 1, "batch_size": 2, "precision": precision, "export": True}
    run = train(training_session(training=options), config)
    assert_same_latents(run.folder / "encoder.pt2", run.model("best"))
    (run.folder / "encoder.pt2").unlink()
    go_on(run, config)
    assert_same_latents(run.folder / "encoder.pt2", run.model("best"))
