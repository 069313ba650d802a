"""Models of the reference as it leaves them: TorchScript files of flat modules, written here by the spec."""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import extraction_session, n_weights, training_session, write_pictures
from PIL import Image
from small_runs import untrained_run
from torch import nn

from saec import extract, train
from saec.config import Config
from saec.faults import Fault
from saec.runs.find import find_trained
from saec.session import SessionError

TS = "20250617_131810"
WIDTH, N, BATCH = 64, 3, 2


def double(n_in: int, n_out: int, pool: tuple[int, int]) -> list[nn.Module]:
    """An encoder's block: two convolutions, a norm, and pooling."""
    convolutions = [nn.Conv2d(n, n_out, (3, 3), padding="same") for n in (n_in, n_out)]
    return [*convolutions, nn.BatchNorm2d(n_out), nn.ReLU(), nn.AvgPool2d(pool)]


def widened(n_in: int, n_out: int, stride: int = 2, end: nn.Module | None = None) -> list[nn.Module]:
    """A decoder's block: a transposed convolution that doubles time, a norm, and what ends it."""
    padding = (1, 2) if stride == 4 else (2, 2)
    up = nn.ConvTranspose2d(n_in, n_out, (5, 5), stride=(stride, 2), padding=padding, output_padding=(1, 1))
    return [up, nn.BatchNorm2d(n_out), end or nn.ReLU()]


def encoder3() -> list[nn.Module]:
    """GenB3blocks: three blocks, then a valid convolution over the 16 rows that are left."""
    blocks = [double(3, 64, (2, 2)), double(64, 128, (2, 2)), double(128, 128, (2, 2))]
    return [*sum(blocks, []), nn.Conv2d(128, 256, (16, 1), padding="valid")]


def decoder3() -> list[nn.Module]:
    first = [nn.ConvTranspose2d(256, 128, (16, 1)), nn.BatchNorm2d(128), nn.ReLU()]
    return [*first, *widened(128, 128), *widened(128, 64), *widened(64, 3, end=nn.Sigmoid())]


def encoder32() -> list[nn.Module]:
    """GenBTP32_CH0256: five blocks, the last neither normed nor cut."""
    pools = [(2, 2), (4, 2), (4, 2), (2, 2)]
    blocks = [
        double(n, m, pool) for n, m, pool in zip((3, 64, 128, 128), (64, 128, 128, 128), pools, strict=True)
    ]
    last = double(128, 256, (2, 2))
    return [*sum(blocks, []), *last[:2], last[4]]


def decoder32() -> list[nn.Module]:
    blocks = [
        widened(256, 256),
        widened(256, 128),
        widened(128, 128, 4),
        widened(128, 128, 4),
        widened(128, 64),
    ]
    return [*sum(blocks, []), nn.Conv2d(64, 3, (1, 1)), nn.Sigmoid()]


def single(n_in: int, n_out: int, *end: nn.Module) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), *end]


def narrow(n_in: int, n_out: int, stride: int, *end: nn.Module) -> list[nn.Module]:
    """A decoder's block with a kernel of 3, padded by one at every stride, 4 included."""
    up = nn.ConvTranspose2d(n_in, n_out, (3, 3), stride=stride, padding=(1, 1), output_padding=stride - 1)
    return [up, *(end or [nn.BatchNorm2d(n_out), nn.ReLU()])]


class Reshape(nn.Module):
    """Moves channels and rows into one axis, or back; time stays."""

    def __init__(self, channels: int, rows: int):
        super().__init__()
        self.channels, self.rows = channels, rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.size(0), self.channels, self.rows, x.size(3))


def encoder_texture() -> list[nn.Module]:
    """conv_tran_texture_01: pools of 2 after the second and 4 after the third convolution, then (16, 1)."""
    first = [*single(3, 32, nn.ReLU()), *single(32, 64, nn.ReLU(), nn.MaxPool2d(2))]
    return [
        *first,
        *single(64, 128, nn.ReLU(), nn.MaxPool2d(4)),
        *single(128, 128),
        nn.Conv2d(128, 256, (16, 1)),
    ]


def decoder_texture() -> list[nn.Module]:
    first = [nn.ConvTranspose2d(256, 128, (16, 1)), nn.BatchNorm2d(128), nn.ReLU()]
    blocks = [*narrow(128, 128, 1), *narrow(128, 64, 4), *narrow(64, 32, 2)]
    return [*first, *blocks, *narrow(32, 3, 1, nn.Sigmoid())]


def encoder_reshape() -> list[nn.Module]:
    """conv_tran_textr_resh: pools after the third and the fourth, 32 channels of 16 rows are 512 of one."""
    first = [*single(3, 32, nn.ReLU()), *single(32, 64, nn.ReLU())]
    pooled = [*single(64, 128, nn.ReLU(), nn.MaxPool2d(2)), *single(128, 128, nn.ReLU(), nn.MaxPool2d(4))]
    return [*first, *pooled, *single(128, 32), Reshape(512, 1)]


def decoder_reshape() -> list[nn.Module]:
    blocks = [*narrow(32, 128, 1), *narrow(128, 128, 4), *narrow(128, 64, 2), *narrow(64, 32, 1)]
    return [Reshape(32, 16), *blocks, *narrow(32, 3, 1, nn.Sigmoid())]


def unheard() -> list[nn.Module]:
    """An encoder that is no architecture of ours: ten channels, a step every sixteen columns."""
    return [nn.Conv2d(3, 10, (128, 16), stride=(128, 16))]


def uncut() -> list[nn.Module]:
    """The tensors of GenB3blocks, but another answer: a ReLU is missing."""
    layers = encoder3()
    return layers[:3] + layers[4:]


def tall() -> list[nn.Module]:
    """An encoder for pictures that are higher than 128."""
    return [nn.Conv2d(3, 4, (200, 1))]


def flat() -> list[nn.Module]:
    """Gives one vector a picture, without axes of frequency and time."""
    return [nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten()]


PAIRS = {
    "GenB3blocks": (encoder3, decoder3),
    "GenBTP32_CH0256": (encoder32, decoder32),
    "conv_tran_texture_01": (encoder_texture, decoder_texture),
    "conv_tran_textr_resh": (encoder_reshape, decoder_reshape),
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", BATCH * 128 * WIDTH)


@pytest.fixture
def images(config) -> Path:
    """Three noisy viridis pictures, 64 wide, of as many recordings."""
    levels = np.random.default_rng(0).integers(0, 256, (N, 128, WIDTH)).astype(np.uint8)
    write_pictures(config.data / "songs" / "images", levels, per_recording=1)
    return config.data / "songs" / "images"


@contextmanager
def old_torch() -> Iterator[None]:
    """Lets torch deprecate TorchScript without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def script_of(module: nn.Module, example: torch.Tensor) -> tuple[torch.jit.ScriptModule, torch.Tensor]:
    """As after a little training: statistics of the example in its norms; and its answer to the example."""
    with torch.no_grad(), old_torch():
        for _ in range(3):
            module.train()(example)
        return torch.jit.script(module.eval()), module(example)


def save(script: torch.jit.ScriptModule, config: Config, part: str, name: str, epoch: int = 3) -> Path:
    config.models.mkdir(exist_ok=True)
    file = config.models / f"{TS}_{part}_script_{name}_epo{epoch:03d}.pth"
    with old_torch():
        torch.jit.save(script, file)
    return file


@cache
def scripts_of(*parts: Callable[[], list[nn.Module]]) -> list[torch.jit.ScriptModule]:
    """An encoder, and a decoder of its codes."""
    torch.manual_seed(0)
    example, scripts = torch.rand(2, 3, 128, WIDTH), []
    for build in parts:
        script, example = script_of(nn.Sequential(*build()), example)
        scripts.append(script)
    return scripts


def seed_of(config: Config, name: str, parts: tuple = (), decoder: bool = True) -> list[nn.Module]:
    """Writes a trained pair as the reference does and returns its scripts."""
    scripts = scripts_of(*(parts or PAIRS[name]))
    for part, script in zip(("encoder", "decoder")[: 1 + decoder], scripts, strict=False):
        save(script, config, part, name)
    return scripts


def pixels(images: Path) -> torch.Tensor:
    """(n, 3, 128, width), as the reference reads them."""
    files = sorted(images.iterdir())
    return torch.stack([torch.from_numpy(np.array(Image.open(f))).permute(2, 0, 1) for f in files]) / 255


def answer(script: nn.Module, pictures: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return script(pictures).squeeze(2).numpy()


def test_the_modules_written_here_have_the_weights_that_the_spec_counts():
    counts = {name: tuple(n_weights(nn.Sequential(*part())) for part in pair) for name, pair in PAIRS.items()}
    assert counts == {
        "GenB3blocks": (1_080_512, 1_144_457),
        "GenBTP32_CH0256": (1_736_640, 3_483_907),
        "conv_tran_texture_01": (766_080, 765_827),
        "conv_tran_textr_resh": (278_496, 278_403),
    }


@pytest.mark.parametrize("name", PAIRS)
def test_features_by_a_timestamp_are_those_of_the_script(config, images, name):
    encoder, _ = seed_of(config, name)
    features = extract(extraction_session(TS), config)
    expected = answer(encoder, pixels(images))
    assert features.X.shape == expected.shape
    np.testing.assert_allclose(features.X, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    folder = images.parent
    assert [file.name for file in features.paths] == [
        f"full_features_saec_{TS}.npz",
        f"pooled_mean_std_saec_{TS}.npz",
        f"reconstructions_saec_{TS}.png",
        f"saec_{TS}.json",
    ]
    assert (folder / f"reconstructions_saec_{TS}.png").is_file()
    about = json.loads((folder / f"saec_{TS}.json").read_text())
    assert about["settings"]["precision"] == "fp32"  # whatever the machine is able to
    assert about["settings"]["weights"] == "epoch 3"


@pytest.mark.parametrize("name", PAIRS)
def test_the_decoder_gives_the_pictures_of_the_script(config, images, name):
    encoder, decoder = seed_of(config, name)
    model = find_trained(TS, config).model()
    pictures = pixels(images)[:1]
    with torch.no_grad():
        expected, got = decoder(encoder(pictures)), model.decoder(model.encoder(pictures))
    assert got.shape == pictures.shape
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_a_shorter_name_and_another_width_of_the_latent_are_those_of_our_architecture(config, images):
    encoder, decoder = seed_of(config, "GenBTP32", (encoder32, decoder32))  # as it was called at first
    model = find_trained(TS, config).model()
    pictures = pixels(images)[:1]
    with torch.no_grad():
        torch.testing.assert_close(model.decoder(model.encoder(pictures)), decoder(encoder(pictures)))
    narrow = (
        [*encoder3()[:-1], nn.Conv2d(128, 24, (16, 1))],
        [nn.ConvTranspose2d(24, 128, (16, 1)), *decoder3()[1:]],
    )
    example = torch.rand(2, 3, 128, WIDTH)
    for part, layers in zip(("encoder", "decoder"), narrow, strict=True):
        script, example = script_of(nn.Sequential(*layers), example)
        file = save(script, config, part, "GenB3blocks", epoch=5)
    seed = find_trained(file.name.replace("decoder", "encoder"), config)
    assert seed.architecture.model_dump() == {"name": "GenB3blocks", "latent": 24}
    assert seed.model().decoder is not None


def test_an_unknown_architecture_is_run_as_a_script_without_reconstructions(config, images, log):
    (encoder,) = seed_of(config, "UnheardOf_v2", (unheard,))
    features = extract(extraction_session(TS), config)
    np.testing.assert_allclose(features.X, answer(encoder, pixels(images)), rtol=0, atol=1e-5)
    assert features.X.shape == (N, 10, WIDTH // 16)
    assert "UnheardOf_v2 is no architecture of ours: the script is run, without a decoder" in log.text
    assert not list(images.parent.glob("reconstructions_*"))
    write_pictures(config.data / "narrow", np.zeros((2, 128, 40), np.uint8))
    with pytest.raises(SessionError, match="pictures are 40 wide .* multiple of 16"):
        extract(extraction_session(TS, data={"images": "narrow"}), config)


def test_without_a_decoder_of_the_same_epoch_there_are_features_but_no_reconstructions(config, images, log):
    encoder, decoder = seed_of(config, "GenB3blocks", decoder=False)
    save(decoder, config, "decoder", "GenB3blocks", epoch=4)
    features = extract(extraction_session(TS), config)
    expected = answer(encoder, pixels(images))
    np.testing.assert_allclose(features.X, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert f"{TS}_encoder_script_GenB3blocks_epo003.pth has no decoder beside it" in log.text
    assert not list(images.parent.glob("reconstructions_*"))


def training(channels: str, valid: float = 0.4, **start) -> dict:
    session = training_session(start={"weights_of": TS, **start}, views="plain")
    del session["model"]
    session["data"] |= {"channels": channels, "valid": valid}
    session["training"] |= {"epochs": 1, "batch_size": 2}
    session["optimizer"] = {"name": "adam", "learning_rate": 1e-6}
    return session


def test_training_goes_out_from_its_weights(config):
    levels = np.random.default_rng(0).integers(0, 256, (3, 128, 16)).astype(np.uint8)
    write_pictures(config.data / "songs" / "images", levels, per_recording=1)
    encoder, _ = seed_of(config, "GenB3blocks")
    run = train(training("rgb"), config)
    assert run.session.model.name == "GenB3blocks"
    assert run.record["parent"] == str(config.models / f"{TS}_encoder_script_GenB3blocks_epo003.pth")
    assert run.progress.finished and run.progress.epoch == 1
    before, after = encoder.state_dict()["15.weight"], run.model().encoder.block4.weight
    assert 0 < (after - before).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (
            "GenB3blocks",
            training("intensity"),
            "data.channels: .* trained on 3 channels, .* have 1: choose `rgb`",
        ),
        ("UnheardOf_v2", {}, "start.weights_of: .*'UnheardOf_v2' .*nothing can be trained from"),
        ("GenB3blocks", {"model": "GenBTP32_CH0256"}, "model: .*leave `model` out, or `start: scratch`"),
        (
            "GenB3blocks",
            training("rgb", weights="best_alpha_0.5"),
            "start.weights: .*no weights 'best_alpha_0.5', it is of one epoch: choose best",
        ),
    ],
)
def test_a_training_that_does_not_fit_its_weights_is_refused(config, images, name, changes, words):
    seed_of(config, name, PAIRS.get(name, (unheard,)))
    with pytest.raises(SessionError, match=words):
        train(training("rgb") | changes, config)
    assert not [folder for folder in config.models.iterdir() if folder.is_dir()]


def refused(config: Config, *words: str) -> None:
    with pytest.raises(Fault) as caught:
        extract(extraction_session(TS), config)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_several_models_under_one_timestamp_are_listed(config, images):
    encoder, _ = seed_of(config, "GenB3blocks")
    names = [f"{TS}_encoder_script_GenB3blocks_epo003.pth"]
    for name, epoch in (("GenB3blocks", 4), ("UnheardOf_v2", 3)):
        names.append(save(encoder, config, "encoder", name, epoch).name)
        refused(config, f"{len(names)} models answer to", "keep one of them", *names)
    untrained_run(config).folder.rename(config.models / f"{TS}_mine")
    refused(config, "4 models answer to", *names, f"{TS}_mine")


def test_a_script_that_answers_otherwise_is_run_itself_and_no_start_of_a_training(config, images, log):
    encoder, _ = seed_of(config, "GenB3blocks", (uncut, decoder3))
    features = extract(extraction_session(TS), config)
    np.testing.assert_allclose(features.X, answer(encoder, pixels(images)), rtol=0, atol=1e-6)
    assert "is not our GenB3blocks, it differs by" in log.text and "the script itself is run" in log.text
    assert (images.parent / f"reconstructions_saec_{TS}.png").is_file()
    with pytest.raises(Fault, match="is not our GenB3blocks: nothing can be trained from it"):
        train(training("rgb"), config)


def test_other_tensors_under_a_registered_name_are_a_fault(config, images):
    encoder, _ = seed_of(config, "GenB3blocks")
    decoder = save(encoder, config, "decoder", "GenB3blocks")
    refused(config, "does not hold the tensors of GenB3blocks", decoder.name)
    seed_of(config, "GenB3blocks", (unheard,))
    refused(config, "run: ", "does not hold the tensors of GenB3blocks", "give it another name")


def test_a_damaged_file_is_a_fault_that_names_it(config, images):
    seed_of(config, "GenB3blocks")
    words = ("is damaged or no TorchScript file", "restore it from a copy")
    for part in ("encoder", "decoder"):
        file = config.models / f"{TS}_{part}_script_GenB3blocks_epo003.pth"
        content = file.read_bytes()
        middle = len(content) // 2  # in a tensor
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        for bad in (*(content[: int(share * len(content))] for share in (0, 0.01, 0.5, 0.999)), flipped):
            file.write_bytes(bad)
            refused(config, str(file), *words)
        file.write_bytes(content)
    torch.save({"a": torch.zeros(3)}, file)
    refused(config, str(file), *words)


@pytest.mark.parametrize("build", [tall, flat])
def test_a_script_that_does_not_encode_pictures_is_a_fault(config, images, build):
    script = script_of(nn.Sequential(*build()), torch.rand(2, 3, 300, 300))[0]
    save(script, config, "encoder", "UnheardOf_v2")
    refused(config, "run: ", "UnheardOf_v2_epo003.pth", "does not encode RGB pictures 128 high")


def test_a_timestamp_of_nothing_says_what_runs_and_models_of_the_reference_there_are(config, images):
    (config.models).mkdir()
    names = [f"20250101_000000_encoder_script_{name}_epo003.pth" for name in ("GenB3blocks", "UnheardOf_v2")]
    for name in names:
        (config.models / name).touch()
    refused(config, f"no run '{TS}' in", *names)
    untrained_run(config)
    refused(config, f"no run '{TS}' in", "_untrained", *names)


def test_a_model_of_the_reference_is_taken_by_its_file_wherever_it_lies(config, images, tmp_path):
    encoder, _ = seed_of(config, "GenB3blocks")
    names = [f"{TS}_{part}_script_GenB3blocks_epo003.pth" for part in ("encoder", "decoder")]
    save(encoder, config, "encoder", "GenB3blocks", epoch=4)  # answers to the timestamp, too
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(config.models, elsewhere)
    for run in (names[0], str(config.models / names[0]), str(elsewhere / names[0])):
        seed = find_trained(run, config)
        assert (seed.epoch, seed.timestamp) == (3, TS)
        assert seed.decoder == seed.encoder.with_name(names[1])
    assert extract(extraction_session(str(elsewhere / names[0])), config).X.shape == (N, 256, WIDTH // 8)
    wrong = [names[1], f"{TS}_encoder_model_GenB3blocks_epo003.pth"]
    (elsewhere / wrong[1]).touch()
    for name in wrong:
        words = rf"{name} is no encoder of the reference: <timestamp>_encoder_script_<name>_epo<NNN>\.pth is"
        with pytest.raises(SessionError, match=words):
            extract(extraction_session(str(elsewhere / name)), config)
