"""Ways to run an encoder on the CPU: each takes a model and a batch, and gives a function of batches."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from saec.devices import computing
from saec.export import export_encoder
from saec.models import Model
from saec.models.base import fold_batch_norms

CPU = torch.device("cpu")
Encode = Callable[[Tensor], Tensor]


def eager(model: Model, example: Tensor) -> Encode:
    return model.encoder


def eager_channels_last(model: Model, example: Tensor) -> Encode:
    return _last(model.encoder)


def folded(model: Model, example: Tensor) -> Encode:
    return fold(model.encoder)


def folded_channels_last(model: Model, example: Tensor) -> Encode:
    """As extraction does it in fp32."""
    return _last(fold(model.encoder))


def eager_bf16(model: Model, example: Tensor) -> Encode:
    return _autocast(_last(model.encoder))


def folded_bf16(model: Model, example: Tensor) -> Encode:
    """As extraction does it in bf16."""
    return _autocast(_last(fold(model.encoder)))


def compiled(model: Model, example: Tensor) -> Encode:
    return torch.compile(_last(fold(model.encoder)))


def compiled_bf16(model: Model, example: Tensor) -> Encode:
    return _autocast(torch.compile(_last(fold(model.encoder))))


def onnx_runtime(model: Model, example: Tensor) -> Encode:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(_onnx(model, example), options)
    return lambda pictures: torch.from_numpy(session.run(None, {"pictures": pictures.numpy()})[0])


def openvino_fp32(model: Model, example: Tensor) -> Encode:
    return _openvino(model, example, "f32")


def openvino_bf16(model: Model, example: Tensor) -> Encode:
    return _openvino(model, example, "bf16")


BACKENDS = (
    eager,
    eager_channels_last,
    folded,
    folded_channels_last,
    compiled,
    onnx_runtime,
    openvino_fp32,
    eager_bf16,
    folded_bf16,
    compiled_bf16,
    openvino_bf16,
)


def fold(encoder: nn.Module) -> nn.Module:
    return fold_batch_norms(copy.deepcopy(encoder))


def _last(encoder: nn.Module) -> nn.Module:
    return copy.deepcopy(encoder).to(memory_format=torch.channels_last)


def _autocast(encoder: Encode) -> Encode:
    def encode(pictures: Tensor) -> Tensor:
        with computing(CPU, "bf16"):
            return encoder(pictures)

    return encode


def _onnx(model: Model, example: Tensor) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "encoder.onnx"
        export_encoder(copy.deepcopy(model), tuple(example.shape[1:]), file)
        return file.read_bytes()


def _openvino(model: Model, example: Tensor, precision: str) -> Encode:
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    network = openvino.convert_model(model.encoder, example_input=example[:2])
    network.reshape([-1, *example.shape[1:]])
    program = core.compile_model(network, "CPU", hints)
    return lambda pictures: torch.from_numpy(program(pictures.numpy())[0])
