"""Reads weights that a training starts from: of a run, of a file, or those that torchvision publishes."""

import hashlib
import logging
import shutil
import warnings
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen
from zipfile import is_zipfile

import torch
import torchvision
from torch import Tensor

from saec.config import Config
from saec.faults import Fault, MissingFault, collect_faults, counted
from saec.files import DAMAGE, appearing, require_whole, sha256_of
from saec.models import MODELS, Model
from saec.registry import Component
from saec.runs import Run
from saec.runs.find import Seed, find_trained
from saec.session import TORCHVISION, Frozen, TrainingSession, WeightsFrom, WeightsOf

LOG = logging.getLogger(__name__)
TIMEOUT_S = 30
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SCALE, COUNT = "standardise.scale", "num_batches_tracked"  # no file's, and not every file's
DENSE = "bottleneck."  # after layers that torchvision has


def read_weights(start: WeightsFrom, of: Component, config: Config) -> tuple[WeightsFrom, dict[str, Tensor]]:
    """Returns the start with the file's absolute path and SHA-256, and what the file holds for a model.

    Raises:
        Fault: the file is missing, another than `sha256` says, or no state dict.
    """
    if start.weights_from == TORCHVISION:
        file, path = published(of, config), TORCHVISION
    else:
        file = config.data_path(start.weights_from)
        path = str(file)
    content, digest = read_whole(file, start.sha256)
    return start.model_copy(update={"weights_from": path, "sha256": digest}), read_tensors(content, file)


def read_whole(file: Path, sha256: str | None, hint: str = "") -> tuple[bytes, str]:
    """Returns the content of a file and its SHA-256; `hint` says where there would be one.

    Raises:
        Fault: the file is not there, or it is another one.
    """
    if not file.is_file():
        raise MissingFault(f"no such file: {file}{hint}")
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, digest):
        words = "so it is damaged or another file: fetch it again, or mend `sha256`"
        raise Fault(f"{file} has the SHA-256 {digest}, the session says {sha256}, {words}")
    return content, digest


def parent_of(start: WeightsOf, begun: Run | None, config: Config) -> Run | Seed:
    """Returns the model that a start names; of a run that is begun the one that it was begun with.

    Raises:
        Fault: there is none, or it has other weights by now.
    """
    if begun is None:
        return find_trained(start.weights_of, config)
    named, before = begun.record.get("parent") or start.weights_of, begun.record.get("parent_weights")
    parent = find_trained(named if Path(named).exists() else Path(named).name, config)
    now = parent.which(start.weights)
    if before not in (None, now):
        words = f"{begun.folder} was begun with {before}, and has learnt nothing yet: begin a new run"
        raise Fault(f"the weights of {parent.folder} are {now} now, {words}")
    return parent


def started(
    session: TrainingSession, config: Config, begun: Run | None, faults: list[str]
) -> tuple[TrainingSession, Run | Seed | None, dict[str, Tensor] | None]:
    """Returns the session with what its `start` settles, the parent, and the weights of a file."""
    start, key = session.start, "start.weights_from"
    if isinstance(start, str) or (begun and begun.progress.epoch):
        return session, None, None
    if isinstance(start, WeightsFrom):
        file = collect_faults(faults, key, read_weights, start, session.model, config)
        return (session.but(start=file[0]), None, file[1]) if file else (session, None, None)
    if parent := collect_faults(faults, "start.weights_of", parent_of, start, begun, config):
        session = as_parent(parent, session, faults)
        collect_faults(faults, "start.weights", parent.require, start.weights)
    return session, parent, None


def as_parent(parent: Run | Seed, session: TrainingSession, faults: list[str]) -> TrainingSession:
    """Returns the session with its parent's architecture, which a `model` section may not contradict, and
    with what the parent's training set has settled where these data leave it open.
    """
    theirs = collect_faults(faults, "start.weights_of", lambda: parent.architecture)
    if theirs is None:
        return session
    if session.model not in (None, theirs):
        faults.append(
            f"model: {parent.folder} has {theirs.model_dump()}, the session {session.model.model_dump()}: "
            "leave `model` out, or `start: scratch`"
        )
    session, data = session.but(model=theirs), session.data
    if parent.data.kind != data.kind:
        return session
    for key, words in data.target.from_training_set.items():
        value = getattr(parent.data, key)
        if value != "none" and getattr(data, key) in words:
            session = session.with_data({key: value})
            LOG.info("data.%s is that of %s: %s", key, parent.folder.name, value)
    for key in ("sample_rate", "spectrum", "standardise", "channels", "columns", "drop", "scale", "rate_hz"):
        here, there = getattr(session.data, key, None), getattr(parent.data, key, None)
        if here != there:
            LOG.warning("data.%s is %s, %s was trained with %s", key, here, parent.folder.name, there)
    return session


def published(model: Component, config: Config) -> Path:
    """Returns the file of the weights that torchvision publishes for a model, fetched into the cache."""
    name = f"{model.name}_bn" if getattr(model, "norm", "none") == "batch" else model.name
    try:
        weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    except (ValueError, AttributeError):
        there = ", ".join(sorted({*MODELS.names()} & {*torchvision.models.list_models()}))
        words = f"has no weights of that model: choose `model:` {there}, or name a file"
        raise Fault(f"{TORCHVISION} {words}, got {name}") from None
    if getattr(model, "kernel_size", 3) != 3:
        raise Fault(f"{TORCHVISION} has {name} with kernels of 3 x 3 alone: choose `model.kernel_size: 3`")
    return fetched(weights.url, config.cache / "weights")


def fetched(url: str, folder: Path, key: str = "start.weights_from") -> Path:
    """Returns the file of an address, whose name ends in the first digits of its SHA-256; fetched only once.

    `key` is that of a session that may name a file instead.

    Raises:
        Fault: it cannot be fetched, or what came is something else.
    """
    file = folder / url.rpartition("/")[2]
    begins = file.stem.rpartition("-")[2]
    if file.exists() and sha256_of(file).startswith(begins):
        return file  # else it was damaged since
    LOG.info("fetching %s", url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with appearing(file) as temporary:
            with urlopen(url, timeout=TIMEOUT_S) as answer, temporary.open("wb") as stream:
                shutil.copyfileobj(answer, stream)
            digest = sha256_of(temporary)
            if not digest.startswith(begins):
                raise Fault(f"what came from {url} has the SHA-256 {digest}: it is damaged, try again")
    except (OSError, HTTPException) as error:
        words = f"fetch it where there is a network and name the file in `{key}`"
        raise Fault(f"{url} cannot be fetched into {folder} ({error}): {words}") from error
    return file


def read_tensors(content: bytes, file: Path) -> dict[str, Tensor]:
    """Returns the named tensors in a file's content, of a checkpoint those of its model; runs no code in it.

    Raises:
        Fault: it is damaged, or no state dict.
    """
    try:
        if is_zipfile(BytesIO(content)):  # else of an older torch, without checksums
            require_whole(BytesIO(content), stored=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of archives that are no state dicts
            state = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        words = (
            "no state dict that can be read without running code: write torch.save(model.state_dict(), file)"
        )
        raise Fault(f"{file} is damaged, or {words} ({reason})") from error
    if isinstance(state, dict):
        state = next(
            (state[key] for key in ("model", "state_dict") if isinstance(state.get(key), dict)), state
        )
    names = state if isinstance(state, dict) else ()
    if not names or not all(isinstance(name, str) and isinstance(state[name], Tensor) for name in names):
        raise Fault(f"{file} is no state dict: named tensors are expected, got {type(state).__name__}")
    return {key.removeprefix("module."): tensor for key, tensor in state.items()}


def fitted(state: dict[str, Tensor], model: Model, freeze: Frozen = 0) -> dict[str, Tensor]:
    """Returns the weights of a state as the model's encoder takes them, the first layer for its channels.

    Raises:
        Fault: layers are missing, of other shapes, or none of the model's, or a new one would be frozen.
    """
    own = model.encoder.state_dict()
    ours = {key.removeprefix("encoder."): x for key, x in state.items() if key.startswith("encoder.")}
    named = model.from_torchvision(state) if model.from_torchvision else {}
    weights = named if named.keys() & own.keys() else ours or state
    if len(weights) < len(state):
        LOG.info("%d tensors of the file are none of an encoder and not used", len(state) - len(weights))
    if weights is named and any(key.startswith(DENSE) for key in own):
        if freeze in ("all_but_head", len(model.blocks)):
            words = "torchvision's layers have no bottleneck, and a new one that is frozen learns nothing"
            raise Fault(f"{words}: choose `start.freeze: {len(model.blocks) - 1}` at most")
        LOG.warning("torchvision's layers have no bottleneck: it starts from scratch")
        own = {key: tensor for key, tensor in own.items() if not key.startswith(DENSE)}
    weights = {key: tensor for key, tensor in weights.items() if not key.endswith(SCALE)}
    first = next((key for key, tensor in own.items() if key.endswith("weight") and tensor.ndim == 4), None)
    if first in weights and weights[first].ndim == 4:
        weights[first] = _for_channels(weights[first], own[first].shape[1])
    others = [
        f"{key}: {tuple(tensor.shape)}, the model has {tuple(own[key].shape)}"
        for key, tensor in weights.items()
        if key in own and tensor.shape != own[key].shape
    ]
    missing = [key for key in own if key not in weights and not key.endswith((SCALE, COUNT))]
    faults = counted(others, "tensors have other shapes", 3)
    faults += faults_of_numbers(weights, own)
    faults += counted(missing, "tensors of the model are missing", 3)
    faults += counted([key for key in weights if key not in own], "tensors are none of the model's", 3)
    if faults:
        raise Fault("\n".join(["these are weights of another model than `model` says:", *faults]))
    return own | weights


def faults_of_numbers(state: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """Returns which tensors cannot take the place of a model's own of the same shape, and what they hold."""
    others = []
    for key, tensor in state.items():
        if key not in own or tensor.shape != own[key].shape:
            continue
        if tensor.layout != torch.strided or tensor.is_meta:
            others.append(f"{key}: {tensor.layout}, {tensor.dtype}, on {tensor.device}")
        elif own[key].is_floating_point() and tensor.dtype not in FLOATS:
            others.append(f"{key}: {tensor.dtype}, the model has {own[key].dtype}")
        elif not tensor.float().isfinite().all():
            others.append(f"{key}: not finite")
    return counted(others, "tensors have no numbers that are weights", 3)


def _for_channels(weight: Tensor, n: int) -> Tensor:
    """Returns a first layer for n channels that gives for equal channels what it gave for its own."""
    if weight.shape[1] == n or not weight.is_floating_point() or weight.layout != torch.strided:
        return weight
    return (weight.sum(dim=1, keepdim=True) / n).repeat(1, n, 1, 1)
