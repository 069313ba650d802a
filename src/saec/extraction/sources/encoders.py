"""Reads encoders from elsewhere: ONNX, TFLite, `torch.export`, TorchScript, and those of torchvision."""

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saec.faults import Fault, did_you_mean, listing
from saec.files import DAMAGE, require_whole
from saec.training.weights import faults_of_numbers, fetched, read_tensors

Encode = Callable[[Tensor], Any]  # (batch, ...) float32 to a tensor, or to several by number or name
Constants = Mapping[str, float]
PROGRAMS = {".pt2": "torch.export", ".pt": "TorchScript", ".pth": "TorchScript", ".jit": "TorchScript"}
SUFFIXES = (".onnx", ".tflite", *PROGRAMS)
PACKAGES = {".onnx": "onnxruntime", ".tflite": "ai_edge_litert"}
FLOATS = ("float16", "float32", "float64")
BROKEN: tuple[type[Exception], ...] = (*DAMAGE, AssertionError)
TYPES = {"double": "float64", "float": "float32"}  # of ONNX, whose other types are called as numpy's


def require_readable(file: Path, trust: bool) -> None:
    """Raises a `Fault` where the format is none of ours, needs a missing package, or is not trusted."""
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise Fault(f"{file.name}: the format is told by the ending, one of {', '.join(SUFFIXES)}")
    module = PACKAGES.get(suffix)
    if module and not find_spec(module):
        package = module.replace("_", "-")
        raise Fault(f"{suffix} needs a package: pip install {package} (or saec's extra `pretrained`)")
    if suffix in PROGRAMS and not trust:
        raise Fault(
            f"{file.name} is a program ({PROGRAMS[suffix]}), which could do anything on this machine: say "
            "`trust: true` if it comes from people you trust, or take an ONNX or TFLite file"
        )


def read_encoder(
    file: Path, content: bytes, output: str | int | None, constants: Constants, device: torch.device
) -> Encode:
    """Returns the encoder that is in the content of a file.

    Raises:
        Fault: it is damaged, or has no such output or input.
    """
    suffix = file.suffix.lower()
    if suffix in PROGRAMS:
        return _program(file, content, output, constants, device)
    return {".onnx": _onnx, ".tflite": _tflite}[suffix](file, content, output, constants)


def chosen(names: Sequence[str], output: str | int | None, shapes: Sequence[Any] = ()) -> int:
    """Returns the number of an output; raises a `Fault` with all of them where it is not one."""
    if output is None and len(names) == 1:
        return 0
    if isinstance(output, int) and 0 <= output < len(names):
        return output
    if output in names:
        return names.index(output)
    rows = [f"{i}: {name} {shapes[i] if len(shapes) else ''}".rstrip() for i, name in enumerate(names)]
    given = "say which is the embedding" if output is None else f"{output!r} is none of them"
    raise Fault(
        f"the model has {len(names)} outputs, {given} (`output:` a number or a name):\n{listing(rows)}"
    )


def _onnx(file: Path, content: bytes, output: str | int | None, constants: Constants) -> Encode:
    from onnxruntime import InferenceSession, SessionOptions
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    own = [s for s in vars(states).values() if isinstance(s, type) and issubclass(s, Exception)]
    faults: tuple[type[Exception], ...] = (*DAMAGE, *own)
    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    beside = "session.model_external_initializers_file_folder_path"  # else the working directory
    options.add_session_config_entry(beside, str(file / "none"))  # which no folder can be
    try:
        on_cpu = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}  # which would print
        session = InferenceSession(content, options, **on_cpu)
        outputs, inputs = session.get_outputs(), session.get_inputs()
    except faults as error:
        raise Fault(f"{file} cannot be read as ONNX of one file: {_reason(error)}") from error
    name = outputs[chosen([o.name for o in outputs], output, [o.shape for o in outputs])].name
    first, *others = sorted(inputs, key=lambda one: one.name in constants)
    _require_floats(first.name, _type_of(first.type))
    _require_constants({one.name: one.shape for one in others}, constants)

    def encode(seen: Tensor) -> Tensor:
        try:
            given = {first.name: seen.cpu().numpy().astype(_type_of(first.type))}
            for one in others:
                shape = [size if isinstance(size, int) else len(seen) for size in one.shape]
                given[one.name] = np.full(shape, constants[one.name], _type_of(one.type))
            return torch.from_numpy(session.run([name], given)[0])
        except faults as error:
            raise _refused(seen, f"{first.name} {first.shape} {first.type}", error) from error

    return encode


def _type_of(words: str) -> str:
    """Returns numpy's name of a type such as `tensor(float)`."""
    inner = words.removeprefix("tensor(").removesuffix(")")
    return TYPES.get(inner, inner)


def _tflite(file: Path, content: bytes, output: str | int | None, constants: Constants) -> Encode:
    from ai_edge_litert.interpreter import Interpreter

    try:
        plain = Interpreter(model_content=content, num_threads=torch.get_num_threads())
    except (ValueError, RuntimeError) as error:
        raise Fault(f"{file} cannot be read as TFLite: {_reason(error)}") from error
    outputs = plain.get_output_details()
    tensors = {tensor["name"]: tensor["index"] for tensor in plain.get_tensor_details()}
    if isinstance(output, str) and output in tensors:
        content = _cut_at(content, tensors[output])  # the delegates show no tensor but the outputs
        plain, output = Interpreter(model_content=content, num_threads=torch.get_num_threads()), 0
        outputs = plain.get_output_details()
    number = chosen([o["name"] for o in outputs], output, [o["shape_signature"].tolist() for o in outputs])
    first, *others = sorted(plain.get_input_details(), key=lambda one: one["name"] in constants)
    _require_floats(first["name"], np.dtype(first["dtype"]).name)
    _require_constants({one["name"]: one["shape_signature"].tolist() for one in others}, constants)
    state: dict[str, torch.Size | None] = {"shape": None}

    def encode(seen: Tensor) -> Tensor:
        try:
            if state["shape"] != seen.shape:
                plain.resize_tensor_input(first["index"], list(seen.shape), strict=True)
                plain.allocate_tensors()
                state["shape"] = seen.shape
            plain.set_tensor(first["index"], seen.cpu().numpy().astype(first["dtype"]))
            for one in others:
                plain.set_tensor(one["index"], np.full(one["shape"], constants[one["name"]], one["dtype"]))
            plain.invoke()
        except (ValueError, RuntimeError) as error:
            state["shape"] = None
            declared = f"{first['name']} {first['shape_signature'].tolist()}"
            raise _refused(seen, declared, error) from error
        return torch.from_numpy(plain.get_tensor(outputs[number]["index"]))

    return encode


def _cut_at(content: bytes, tensor: int) -> bytes:
    """Returns a TFLite model of which the first output is this tensor."""
    from ai_edge_litert.schema_py_generated import Model

    changed = bytearray(content)
    Model.GetRootAs(changed, 0).Subgraphs(0).OutputsAsNumpy()[0] = tensor
    return bytes(changed)


def _program(
    file: Path, content: bytes, output: str | int | None, constants: Constants, device: torch.device
) -> Encode:
    """Returns a TorchScript, or what `torch.export` has written."""
    log = logging.getLogger("torch.export")  # which writes a traceback of what is raised, too
    log.disabled = True
    try:
        require_whole(file)  # a program with other bytes could end this one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates TorchScript
            if PROGRAMS[file.suffix.lower()] == "TorchScript":
                module = torch.jit.load(io.BytesIO(content), map_location=device).eval()
            else:
                module = torch.export.load(io.BytesIO(content)).module().to(device)
    except BROKEN as error:
        kind = PROGRAMS[file.suffix.lower()]
        raise Fault(f"{file} cannot be read as {kind}: {_reason(error)}") from error
    finally:
        log.disabled = False
    return of_module(module, output, constants)


def of_module(module: nn.Module, output: str | int | None, constants: Constants) -> Encode:
    """Returns what a module makes of a batch, of several results the one that is the embedding."""

    def encode(seen: Tensor) -> Tensor:
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = module(seen, **constants)
        except BROKEN as error:
            raise _refused(seen, "", error) from error
        if isinstance(made, list | tuple):
            made = dict(enumerate(made))
        several = made if isinstance(made, dict) else {0: made}
        names, values = list(map(str, several)), list(several.values())
        if not all(isinstance(value, Tensor) for value in values):
            raise Fault("the model gives something else than tensors")
        return values[chosen(names, output, [list(value.shape) for value in values])]

    return encode


def published(name: str, cache: Path) -> Path:
    """Returns the file of torchvision's weights of a model, fetched into the cache unless it is there.

    Raises:
        Fault: there is no such model, or the weights cannot be fetched.
    """
    from torchvision import models

    there = models.get_model_weights(_model_name(name))
    return fetched(getattr(there, "IMAGENET1K_V1", there.DEFAULT).url, cache / "weights", "pretrained.file")


def of_torchvision(name: str, content: bytes, output: str | int | None, device: torch.device) -> Encode:
    """Returns a model of torchvision without its last linear layer, with weights of a file.

    `output` names a node of its graph, such as `layer3`, that is taken in place of that.

    Raises:
        Fault: there is no such model or node, or the weights are damaged or of another model.
    """
    from torchvision import models
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = models.get_model(_model_name(name), weights=None)
    if hasattr(model, "transform_input"):
        model.transform_input = True  # as torchvision sets it beside weights of its own
    state = read_tensors(content, Path(name))
    faults = faults_of_numbers(state, model.state_dict())
    try:
        model.load_state_dict(state)
    except DAMAGE as error:
        faults = faults or str(error).splitlines()[:6]
    if faults:
        raise Fault(f"the weights are damaged, or not those of {name}: {listing(faults)}")
    if output is None:
        last = [where for where, one in model.named_modules() if isinstance(one, nn.Linear)][-1:]
        if not last:
            nodes = get_graph_node_names(model)[1]
            words = f"{name} has no linear layer to leave out: say a node of its graph that is the embedding"
            raise Fault(f"output: {words}, the last are\n{listing(nodes[-10:])}")
        parent, _, child = last[0].rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
    else:
        try:
            model = create_feature_extractor(model, {str(output): str(output)})
        except ValueError as error:
            raise Fault(f"output: {_reason(error)}") from error
    return of_module(model.eval().to(device), None, {})


def _model_name(name: str) -> str:
    """Returns the name of a model of torchvision; raises a `Fault` where there is none."""
    from torchvision import models

    if name not in (there := models.list_models(module=models)):  # of pictures to classes
        raise Fault(f"torchvision has no model {name!r}, {did_you_mean(name, there)}")
    return name


def _require_floats(name: str, kind: str) -> None:
    """Raises a `Fault` where samples would be cut to whole numbers, of a scale that is the model's."""
    if kind not in FLOATS:
        words = f"the model takes {kind} as {name}, samples are numbers with fractions"
        raise Fault(f"{words}: take its version with an input of {', '.join(FLOATS)}")


def _require_constants(there: dict[str, Any], given: Constants) -> None:
    """Raises a `Fault` unless each input but the one for samples has its constant."""
    if there.keys() != given.keys():
        rows = [f"{name} {shape}" for name, shape in there.items()]
        words = f"the model has {len(rows)} inputs beside the one for samples"
        raise Fault(f"constants: {words}, got {', '.join(given) or 'none'}:\n{listing(rows)}")


def _refused(seen: Tensor, declared: str, error: Exception) -> Fault:
    takes = f"the model takes {declared}" if declared else "the model does not take it"
    return Fault(
        f"a batch of the shape {list(seen.shape)} is given, {takes}: take `sample_rate` and `window_s` of "
        f"its training, and see `input`, `size`, `channels` and `layout` ({_reason(error)})"
    )


def _reason(error: Exception) -> str:
    """Returns the last line that says something, the reason of torch's, and of ONNX's nodes in nodes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].rpartition("Status Message: ")[2][:300]
