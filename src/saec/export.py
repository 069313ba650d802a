"""Exports the encoder to a file that needs none of our code: `torch.export` or ONNX, any batch and width."""

import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from saec.faults import Fault
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


@torch.no_grad()
def export_encoder(model: Model, input_shape: tuple[int, ...], file: Path) -> None:
    """Writes `encoder.pt2` or `encoder.onnx` in fp32; kept only if it gives the encoder's latents.

    That is tried at another batch and width than it was exported at. The width may be any multiple of the
    model's time pool whose latent is at least two steps long; a model that takes one alone keeps it.

    Raises:
        Fault: the exported encoder gives other latents.
    """
    channels, height, _ = input_shape
    encoder = model.encoder.float().cpu().eval()
    example = torch.rand(2, channels, height, model.width or 4 * model.time_pool)
    other = torch.rand(5, channels, height, model.width or 7 * model.time_pool)
    sizes = {0: Dim("batch", min=1)}
    sizes |= {} if model.width else {3: model.time_pool * Dim("steps", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own internals here
        program = torch.export.export(encoder, (example,), dynamic_shapes=(sizes,))
        with appearing(file) as temporary:
            if file.suffix == ".onnx":
                names = {"input_names": ["pictures"], "output_names": ["latents"]}
                torch.onnx.export(program, dynamo=True, verbose=False, **names).save(temporary)
                exported = _load_onnx(temporary)
            else:
                with temporary.open("wb") as handle:
                    torch.export.save(program, handle)
                with temporary.open("rb") as handle:
                    exported = torch.export.load(handle).module()
            expected = encoder(other)
            error = float((exported(other) - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
            if not error <= TOLERANCE:
                raise Fault(f"the exported encoder differs by {error:.1e} of its largest latent: not kept")
    LOG.info("exported the encoder to %s", file)


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
