"""Exports to files that need none of our code: `torch.export`, ONNX or TorchScript, any batch and width."""

import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from saec.faults import Fault, collect_faults
from saec.files import appearing
from saec.models import Model

LOG = logging.getLogger(__name__)
TOLERANCE = 1e-4  # relative to the largest latent
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_packages(kind: str | bool) -> None:
    """Raises a `Fault` where packages are missing that an export of that kind needs."""
    missing = [name for name in PACKAGES if kind == "onnx" and not find_spec(name)]
    if missing:
        raise Fault(f"{kind} needs packages that are not installed: pip install {' '.join(missing)}")


def require_script(model: Model) -> None:
    """Raises a `Fault` where the model cannot be written as TorchScript."""
    try:
        for part in filter(None, (model.encoder, model.decoder)):
            _script(part)
    except RuntimeError as error:
        raise Fault("this model cannot be written as TorchScript: choose `pt2` or `onnx`") from error


def check_export(
    kind: str | bool, model: Model | None, shape: tuple[int, ...] | None, faults: list[str]
) -> None:
    """Adds a fault where packages are missing, or where the model cannot be exported so."""
    collect_faults(faults, "training.export", require_packages, kind)
    if model is None or kind != "torchscript":
        return
    collect_faults(faults, "training.export", require_script, model)
    if shape and shape[0] != 3:
        words = "training.export: the reference's extractor gives models 3 channels, this one takes %d: %s"
        LOG.warning(words, shape[0], "with `data.channels: rgb` it can use them")


@torch.no_grad()
def export_encoder(model: Model, input_shape: tuple[int, ...], *files: Path) -> None:
    """Writes the encoder, and as a second file the decoder, in fp32; kept only if they give the same numbers.

    Suffixes are `.pt2`, `.onnx`, and `.pth` for TorchScript, which alone has a second file. All is tried at
    another batch and width than it was exported at. The width may be any multiple of the model's time pool
    whose latent is at least two steps long; a model that takes one alone keeps it.

    Raises:
        Fault: what was exported gives other numbers.
    """
    channels, height, _ = input_shape
    seen = [torch.rand(n, channels, height, model.width or k * model.time_pool) for n, k in ((2, 4), (5, 7))]
    sizes = {0: Dim("batch", min=1)}
    sizes |= {} if model.width else {3: model.time_pool * Dim("steps", min=2)}
    for name, file in zip(("encoder", "decoder"), files, strict=False):
        module = getattr(model, name).float().cpu().eval()
        expected = [module(pictures) for pictures in seen]
        with warnings.catch_warnings(), appearing(file) as temporary:
            warnings.simplefilter("ignore")  # torch warns of its own internals here
            got = _written(module, seen[0], sizes, temporary)(seen[1])
            error = float((got - expected[1]).abs().max() / expected[1].abs().max().clamp(min=1e-12))
            if not error <= TOLERANCE:
                raise Fault(f"the exported {name} differs by {error:.1e} of its largest value: not kept")
        LOG.info("exported the %s to %s", name, file)
        seen = expected


def _written(module: nn.Module, example: Tensor, sizes: dict, file: Path) -> Callable[[Tensor], Tensor]:
    """Writes the module and returns what is in the file."""
    if file.suffix == ".pth":
        torch.jit.save(_script(module), file)
        return torch.jit.load(file)
    program = torch.export.export(module, (example,), dynamic_shapes=(sizes,))
    if file.suffix == ".onnx":
        written = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=["pictures"], output_names=["latents"]
        )
        assert written is not None  # as `dynamo` makes one
        written.save(file)
        return _load_onnx(file)
    with file.open("wb") as handle:
        torch.export.save(program, handle)
    with file.open("rb") as handle:
        return torch.export.load(handle).module()


def _script(module: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        return torch.jit.script(module)


class OnnxEncoder(nn.Module):
    """Runs an encoder with ONNX Runtime on the CPU, with as many threads as torch uses."""

    def __init__(self, model: Model, input_shape: tuple[int, ...]):
        super().__init__()
        self.source = model.encoder  # its weights are still the model's
        with tempfile.TemporaryDirectory(prefix="saec_onnx_", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "encoder.onnx"
            export_encoder(model, input_shape, file)
            self.run = _load_onnx(file, torch.get_num_threads())

    def forward(self, pictures: Tensor) -> Tensor:
        return self.run(pictures)


def _load_onnx(file: Path, n_threads: int = 1) -> Callable[[Tensor], Tensor]:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = n_threads
    session = InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda pictures: torch.from_numpy(session.run(None, {"pictures": pictures.numpy()})[0])
