"""Weights of files: torchvision's names and ours, other channels, faults of files, runs that need no file."""

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from conftest import TINY, training_session
from torch import Tensor

from saec.config import Config
from saec.faults import Fault
from saec.models import MODELS
from saec.session import SessionError, TrainingSession, load_session
from saec.training import go_on, train
from saec.training.build import build
from saec.training.job import plan_training
from saec.training.weights import fetched, fitted, published

ONE_EPOCH = {"epochs": 1, "batch_size": 6, "precision": "fp32"}
WIDER = TINY | {"widths": [6, 4, 4]}


def encoder(model: dict | str, channels: int = 1) -> dict[str, Tensor]:
    """The state of an encoder with running statistics of its own."""
    torch.manual_seed(1)
    built = MODELS.parse(model)((channels, 128, 32)).train()
    built(torch.rand(3, channels, 128, 32))
    return built.encoder.state_dict()


def session(file: Path | str, model: dict | str = TINY, **start: Any) -> dict[str, Any]:
    start = {"weights_from": str(file)} | start
    return training_session(model=model, start=start, training=ONE_EPOCH, objective={"name": "contrastive"})


def built(raw: dict[str, Any], config: Config) -> torch.nn.Module:
    return build(plan_training(load_session(raw, TrainingSession), config)).model


def faults(raw: dict[str, Any], config: Config) -> str:
    with pytest.raises(SessionError) as error:
        plan_training(load_session(raw, TrainingSession), config)
    return str(error.value)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}, "iter": 3},
        lambda state: {
            "model": {f"encoder.{key}": x for key, x in state.items()} | {"decoder.0": torch.ones(2)}
        },
    ],
)
def test_an_encoder_starts_from_tensors_whatever_they_are_wrapped_in(wrapped: Callable, config, pictures):
    state = encoder(TINY)
    torch.save(wrapped(state), config.data / "weights.pth")
    model = built(session("weights.pth"), config)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.encoder.state_dict().items())


@torch.no_grad()
def test_torchvisions_names_are_taken_and_its_first_layer_is_fitted_to_one_channel(config, pictures, log):
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    torch.save(theirs.state_dict(), config.data / "resnet18.pth")
    model = built(session("resnet18.pth", {"name": "resnet18", "standardise": "none"}), config).eval()
    seen = torch.rand(2, 1, 64, 64)
    theirs.fc = torch.nn.Identity()
    same = model(seen).mean(dim=(2, 3)), theirs(seen.expand(2, 3, 64, 64))
    assert "2 tensors of the file are none of an encoder and not used" in log.text  # of the classifier
    assert torch.allclose(*same, atol=1e-5)  # as of a grey picture in three channels


def test_a_first_layer_of_one_channel_is_shared_out_to_three():
    one, three = encoder(TINY), MODELS.parse(TINY)((3, 128, 32))
    weight = fitted(one, three)["0.0.weight"]
    assert weight.shape == (4, 3, 7, 7) and torch.allclose(weight.sum(dim=1), one["0.0.weight"][:, 0])


def test_a_run_keeps_what_it_began_with_and_needs_the_file_no_more(config, pictures):
    file = config.data / "weights.pth"
    torch.save(encoder(TINY), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    run = train(session("weights.pth", sha256=digest.upper(), freeze="all_but_head"), config)
    start = run.session.start
    assert (start.weights_from, start.sha256, start.freeze) == (str(file), digest, "all_but_head")
    state = torch.load(file, weights_only=True)
    frozen = run.model("last").encoder.state_dict()
    assert all(torch.equal(frozen[key], tensor) for key, tensor in state.items())
    file.unlink()
    longer = go_on(run, config, epochs=2)
    assert longer.progress.epoch == 2
    assert all(torch.equal(longer.model("last").encoder.state_dict()[key], state[key]) for key in state)


class Runs:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("it was run",))


def write_pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps(Runs()))


def write_script(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer torch would have another export
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), file)


def saved(content: Any) -> Callable[[Path], None]:
    return lambda file: torch.save(content, file)


def changed(change: Callable[[Tensor], Tensor]) -> Callable[[Path], None]:
    return saved({key: change(x) if x.ndim == 4 else x for key, x in encoder(TINY).items()})


def flipped(file: Path) -> None:
    torch.save(encoder(TINY), file)
    content = bytearray(file.read_bytes())
    content[content.find(encoder(TINY)["0.0.weight"].numpy().tobytes()[:64])] ^= 1
    file.write_bytes(content)


def compressed(file: Path) -> None:
    torch.save(encoder(TINY), file)
    with zipfile.ZipFile(file) as there:
        parts = {name: there.read(name) for name in there.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, part in parts.items():
            made.writestr(name, part)


NO_STATE = "no state dict that can be read without running code: write torch.save"
BAD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda file: None, "no such file: "),
    "empty": (lambda file: file.write_bytes(b""), NO_STATE),
    "text": (lambda file: file.write_text("weights"), NO_STATE),
    "pickle": (write_pickle, NO_STATE),
    "pickled module": (saved(torch.nn.Linear(2, 2)), NO_STATE),
    "list": (saved([torch.ones(2)]), "is no state dict: named tensors are expected, got list"),
    "numbers": (saved({"a": 1.0}), "is no state dict: named tensors are expected, got dict"),
    "nothing": (saved({}), "is no state dict"),
    "shape": (
        saved(encoder(WIDER)),
        "tensors have other shapes:\n  0.0.weight: (6, 1, 7, 7), the model has (4, 1, 7, 7)",
    ),
    "missing layer": (
        saved({key: x for key, x in encoder(TINY).items() if not key.startswith("1.0.")}),
        "weights of another model than `model` says:\n1 tensor of the model is missing:\n  1.0.weight",
    ),
    "names": (saved({0: torch.ones(2)}), "is no state dict: named tensors are expected, got dict"),
    "sparse": (changed(Tensor.to_sparse), "0.0.weight: torch.sparse_coo, torch.float32, on cpu"),
    "without numbers": (changed(lambda x: x.to("meta")), ": torch.strided, torch.float32, on meta"),
    "complex": (
        changed(lambda x: x + 0j),
        "have no numbers that are weights:\n  0.0.weight: torch.complex64",
    ),
    "whole numbers": (changed(Tensor.char), "torch.int8, the model has torch.float32"),
    "not finite": (changed(lambda x: x / 0), "0.0.weight: not finite"),
    "too large": (changed(lambda x: x.double() * 1e300), "0.0.weight: not finite"),
    "another byte": (flipped, "is damaged, or no state dict"),
    "compressed": (compressed, "is compressed, which torch does not do"),
    "other": (saved({"lin.weight": torch.ones(2, 2)}), "1 tensor is none of the model's:\n  lin.weight"),
}


@pytest.mark.parametrize("name", [*BAD_FILES, "script"])
def test_a_file_that_holds_no_weights_of_the_model_is_a_fault_of_the_plan(name, config, pictures, capsys):
    write, words = BAD_FILES.get(name, (write_script, NO_STATE))
    write(config.data / "weights.pth")
    text = faults(session("weights.pth"), config)
    assert "start.weights_from: " in text and words in text
    assert "it was run" not in capsys.readouterr().out


def test_another_sha256_is_a_fault_that_says_both_and_all_faults_come_at_once(config, pictures):
    file = config.data / "weights.pth"
    torch.save(encoder(TINY), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    raw = session("weights.pth", sha256=64 * "0", freeze=9)
    text = faults(raw, config)
    assert f"has the SHA-256 {digest}, the session says {64 * '0'}" in text
    assert "start.freeze: compact has" in text


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"weights_from": ""}, "start.weights_from: "),
        ({"weights_from": "a", "sha256": "abc"}, "start.sha256: must be 64 hexadecimal digits, got 'abc'"),
        ({"weights_from": "a", "weights_of": "b"}, "start.weights_of: unknown key"),
        ({"weights_from": "a", "weights": "last"}, "start.weights: unknown key"),
    ],
)
def test_a_start_from_a_file_has_keys_of_its_own(start, words):
    with pytest.raises(SessionError, match=words):
        load_session(training_session(start=start), TrainingSession)


def test_a_start_from_a_file_needs_a_model():
    raw = training_session(start={"weights_from": "a"}) | {"model": None}
    with pytest.raises(SessionError, match="start: weights_from needs a `model`, choose from"):
        load_session(raw, TrainingSession)


def test_torchvision_has_weights_of_its_own_models_alone(config):
    for model, words in (
        ("compact", "no weights of that model.*got compact"),
        ({"name": "vgg16", "norm": "batch", "kernel_size": 5}, "vgg16_bn with kernels of 3 x 3 alone"),
    ):
        with pytest.raises(Fault, match=f"torchvision has {words}"):
            published(MODELS.parse(model), config)


def test_published_weights_are_fetched_once_and_what_came_damaged_is_not_kept(tmp_path):
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    there, cache = tmp_path / "there", tmp_path / "cache"
    there.mkdir()
    good, bad = there / f"net-{digest[:8]}.pth", there / "net-00000000.pth"
    good.write_bytes(content)
    bad.write_bytes(content)
    file = fetched(good.as_uri(), cache)
    file.write_bytes(b"damaged")
    assert fetched(good.as_uri(), cache) == file and file.read_bytes() == content
    good.unlink()
    assert fetched(good.as_uri(), cache) == file and file.read_bytes() == content
    with pytest.raises(Fault, match=f"has the SHA-256 {digest}: it is damaged, try again"):
        fetched(bad.as_uri(), cache)
    for url in ((there / "net-11111111.pth").as_uri(), "http://127.0.0.1:9/net-11111111.pth"):
        with pytest.raises(Fault, match="cannot be fetched .*: fetch it where there is a network and name"):
            fetched(url, cache)
    assert list(cache.iterdir()) == [file]
