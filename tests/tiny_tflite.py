"""Writes a tiny TFLite model, without a converter: two linear layers, the first of them rectified."""

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from torch import nn

FLOAT = schema.TensorType.FLOAT32


def tensor(
    name: str, shape: tuple[int, ...], buffer: int = 0, signature: tuple[int, ...] | None = None, type=FLOAT
):
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name, list(shape), buffer, type
    made.shapeSignature = list(signature or shape)
    return made


def linear(inputs: list[int], output: int, rectified: bool):
    made = schema.OperatorT()
    made.inputs, made.outputs = inputs, [output]
    made.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    made.builtinOptions = schema.FullyConnectedOptionsT()
    kinds = schema.ActivationFunctionType
    made.builtinOptions.fusedActivationFunction = kinds.RELU if rectified else kinds.NONE
    return made


def write_tflite(file: Path, first: nn.Linear, second: nn.Linear, batch: int = -1, type=FLOAT) -> Path:
    """`batch` -1: it takes batches. Its tensors are `sound`, of that type, `hidden` and `out`."""
    weights = [first.weight, first.bias, second.weight, second.bias]
    arrays = [one.detach().numpy() for one in weights]
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [
        tensor("sound", (1, first.in_features), signature=(batch, first.in_features), type=type),
        *(tensor(f"weight{i}", array.shape, i + 1) for i, array in enumerate(arrays)),
        tensor("hidden", (1, first.out_features), signature=(batch, first.out_features)),
        tensor("out", (1, second.out_features), signature=(batch, second.out_features)),
    ]
    graph.inputs, graph.outputs = [0], [6]
    graph.operators = [linear([0, 1, 2], 5, True), linear([5, 3, 4], 6, False)]
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [schema.OperatorCodeT()]
    code = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = code
    model.buffers = [schema.BufferT() for _ in range(1 + len(arrays))]
    for buffer, array in zip(model.buffers[1:], arrays, strict=True):
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    file.write_bytes(bytes(builder.Output()))
    return file
