"""The exported encoder needs none of our code and gives the same latents at another batch and width."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime
import pytest
import torch
from conftest import TINY, extraction_session, intensities, training_session, write_pictures

from saec import extract
from saec.export import TOLERANCE, export_encoder
from saec.faults import Fault
from saec.models import MODELS, Model
from saec.runs import Run
from saec.session import SessionError, TrainingSession, load_session
from saec.training import go_on, plan_training, train

SIZES = [(1, 2), (3, 7), (8, 4)]  # pictures and time steps
FILES = ["encoder.pt2", "encoder.onnx"]


def built(name: str | dict, channels: int = 1) -> Model:
    """With statistics that are not those of a fresh model."""
    torch.manual_seed(0)
    model = MODELS.parse(name)((channels, 128, 64)).train()
    with torch.no_grad():
        model.encoder(torch.rand(4, channels, 128, model.width or 2 * model.time_pool))
    return model.eval()


def loaded(file: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """As somebody would who has none of our code."""
    if file.suffix == ".pt2":
        return torch.export.load(file).module()
    session = onnxruntime.InferenceSession(file)
    return lambda seen: torch.from_numpy(session.run(["latents"], {"pictures": seen.numpy()})[0])


@torch.no_grad()
def assert_same_latents(
    files: list[Path], model: Model, channels: int = 1, sizes: Sequence[tuple[int, int]] = SIZES
) -> None:
    encoders = [loaded(file) for file in files]
    for n, n_steps in sizes:
        seen = torch.rand(n, channels, 128, model.width or n_steps * model.time_pool)
        expected = model.encoder(seen)
        for got in (encode(seen) for encode in encoders):
            assert got.shape == expected.shape and got.dtype == torch.float32
            assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("name", FILES)
def test_an_exported_encoder_gives_the_same_latents_at_other_batches_and_widths(tmp_path, name):
    model = built(TINY)
    export_encoder(model, (1, 128, 64), tmp_path / name)
    assert_same_latents([tmp_path / name], model)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS.names())
def test_every_architecture_can_be_exported(tmp_path, name):
    model = built(name, channels=3)
    files = [tmp_path / file for file in FILES]
    for file in files:
        export_encoder(model, (3, 128, 256), file)
    assert_same_latents(files, model, channels=3, sizes=[(1, 3)])


@pytest.mark.parametrize("name", FILES)
def test_an_encoder_that_gives_other_numbers_when_exported_is_not_kept(tmp_path, name):
    class Moody(torch.nn.Module):
        """Gives other numbers at each call."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=2, keepdim=True) * torch.rand(1)

    with pytest.raises(Fault, match="the exported encoder differs by .* not kept"):
        export_encoder(Model(Moody(), None, 128, 4), (1, 128, 64), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("export", "name", "precision"),
    [(True, FILES[0], "fp32"), ("pt2", FILES[0], "bf16"), ("onnx", FILES[1], "bf16")],
)
def test_a_run_exports_its_best_weights_when_the_session_says_so(config, precision, export, name):
    write_pictures(config.data / "songs" / "images", intensities(6), per_recording=2)
    options = {"epochs": 1, "batch_size": 2, "precision": precision, "export": export}
    run = train(training_session(training=options), config)
    assert_same_latents([run.folder / name], run.model("best"))
    (run.folder / name).unlink()
    go_on(run, config)
    assert_same_latents([run.folder / name], run.model("best"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of TorchScript
def test_torchscript_has_the_references_names_and_gives_latents_and_pictures(config, pictures):
    options = {"epochs": 1, "batch_size": 4, "precision": "fp32", "export": "torchscript"}
    data = {"kind": "images", "train": "songs/images", "valid": 0.3, "channels": "rgb"}
    run = train(training_session(training=options, data=data, model="conv_tran_textr_resh"), config)
    names = [
        f"{run.timestamp}_{part}_script_conv_tran_textr_resh_epo001.pth" for part in ("encoder", "decoder")
    ]
    assert (
        [file.name for file in run.exported]
        == names
        == [f.name for f in sorted(run.folder.glob("*.pth"))][::-1]
    )
    model, seen = run.model(), torch.rand(3, 3, 128, 48)
    with torch.no_grad():
        latents = model.encoder(seen)
        for file, given, expected in zip(
            run.exported, (seen, latents), (latents, model.decoder(latents)), strict=True
        ):
            torch.testing.assert_close(torch.jit.load(file)(given), expected, rtol=0, atol=1e-5)
    shutil.copy(run.exported[0], config.models)
    assert extract(extraction_session(str(config.models / names[0])), config).X.shape == (12, 512, 4)
    go_on(run, config, epochs=2)  # the files of the shorter run go
    assert [file.exists() for file in run.exported] == [True, True]
    assert len(list(run.folder.glob("*.pth"))) == 2


def test_a_run_without_an_epoch_is_lengthened_whatever_it_exports(config, pictures):
    options = {"epochs": 1, "batch_size": 4, "precision": "fp32", "export": "torchscript"}
    run = train(training_session(training=options, name="short"), config)
    for name in ("best.pt", "last.pt", *(file.name for file in run.exported)):
        (run.folder / name).unlink()
    assert [file.exists() for file in go_on(Run(run.folder), config, epochs=2).exported] == [True, True]


def test_torchscript_is_refused_where_a_model_cannot_be_written_so(config, pictures, log):
    options = {"epochs": 1, "batch_size": 4, "export": "torchscript"}
    session = training_session(training=options, model="convae")
    with pytest.raises(SessionError, match="training.export: this model cannot .* choose `pt2` or `onnx`"):
        plan_training(load_session(session, TrainingSession), config)
    plan_training(load_session(training_session(training=options), TrainingSession), config)
    assert "gives models 3 channels, this one takes 1: with `data.channels: rgb`" in log.text


def test_an_export_that_lacks_packages_is_a_fault_that_says_what_to_install(config, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as where it is not installed
    options = {"epochs": 1, "batch_size": 2, "export": "onnx"}
    with pytest.raises(SessionError, match="training.export: .* pip install onnxruntime"):
        plan_training(load_session(training_session(training=options), TrainingSession), config)


def test_another_export_is_refused_and_those_that_there_are_are_named():
    with pytest.raises(SessionError, match="training.export: .*'pt2', 'onnx' or 'torchscript'"):
        load_session(training_session(training={"export": "tflite"}), TrainingSession)
