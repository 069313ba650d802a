"""Plans a training session on this machine: all that can be checked before a sample is decoded."""

import logging
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from saec.config import Config
from saec.data import Kind, Sizes
from saec.data.kind import absolute, faults_of_shared
from saec.devices import describe, resolve_device, resolve_precision
from saec.disk import require_room
from saec.export import check_export
from saec.faults import collect_faults, number_of
from saec.files import require_writable
from saec.models import Model, feature_shape
from saec.objectives import Learning
from saec.processes import world_size
from saec.progress import duration
from saec.runs import Run
from saec.runs.find import Seed
from saec.samples import Samples, split_by_table, warn_of_classes
from saec.session import AUTO, SessionError, TrainingSession, WeightsFrom
from saec.training.checks import check_options, check_parts, require_classes, without_decoder
from saec.training.weights import fitted, started
from saec.training.work import epoch_seconds, least_batch, step_seconds, warn_of_heavy, with_epochs

LOG = logging.getLogger(__name__)
CHECKPOINT_BYTES = 36  # of a weight and two numbers of the optimizer's, in best.pt, last.pt, the next one
PHASE_BYTES = 4  # of a weight in a checkpoint of the best of a phase


@dataclass(frozen=True)
class TrainingPlan:
    """Holds a checked session with absolute paths, its model and its precision resolved."""

    session: TrainingSession
    config: Config
    device: torch.device
    kinds: dict[str, Kind]  # train, and valid where it has a folder of its own
    sizes: dict[str, Sizes]  # the same keys
    input_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    n_weights: int
    classes: tuple[str, ...]  # of the training set, where the objective needs labels
    parent: Run | Seed | None
    begun: Run | None  # the run that is gone on with
    least_batch: int = 1  # samples that a training step takes at least
    weights: dict[str, torch.Tensor] | None = field(default=None, compare=False, repr=False)  # of a file
    counts: tuple[int, int] | None = None  # of training and validation samples, once they have been read

    @property
    def precision(self) -> str:
        return self.session.training.precision

    @property
    def n_samples(self) -> tuple[int, int]:
        """Returns the numbers of training and validation samples, as headers and labels promise until they
        have been read; estimated if validation is a share.
        """
        if self.counts:
            return self.counts
        train, valid = self._promised
        if valid:
            return train, valid
        part = self.session.data.valid
        n_valid = part if isinstance(part, int) else max(1, round(train * part))
        return train - n_valid, n_valid

    @property
    def _promised(self) -> tuple[int, int]:
        """Returns how many samples are for training and, by a table or a folder, for validation."""
        samples, needs_labels = self.kinds["train"].samples, self.session.objective.target.needs_labels
        samples = samples.subset(samples.labels != "") if needs_labels else samples
        train, valid = map(len, split_by_table(samples))
        return train, self.sizes["valid"].n_samples if "valid" in self.sizes else valid

    def describe(self) -> str:
        (n_train, n_valid), what = self.n_samples, self.sizes["train"].samples_are
        counts = f"{number_of(n_train + n_valid, what)}, about {n_valid:,} of them for validation"
        if self.counts or self._promised[1]:
            counts = f"train {number_of(n_train, what)}, valid {number_of(n_valid, what)}"
        latent = " x ".join(map(str, self.latent_shape))
        if self.sizes["train"].is_ragged:
            n_frames = self.input_shape[2] // self.latent_shape[2]
            latent = (
                f"{self.latent_shape[0]} for {f'every {n_frames} frames' if n_frames > 1 else 'each frame'}"
            )
        room = " + ".join(sizes.room for sizes in self.sizes.values())
        classes = [f"classes: {', '.join(self.classes)}"] if self.classes else []
        start = self.session.start
        weights = []
        if isinstance(start, WeightsFrom):
            weights = [f"weights: from {start.weights_from}, SHA-256 {start.sha256}"]
        lines = [
            f"data: {counts}, {self.sizes['train'].words(self.input_shape)}, {room}",
            *classes,
            f"model: {self.session.architecture.name}, {self.n_weights:,} weights, latent {latent}",
            *weights,
            f"device: {describe(self.device)} ({self.device}), {self.precision}",
        ]
        if world_size() > 1:
            n = self.session.training.batch_size
            lines += [f"processes: {world_size()} with batches of {n} each, {n * world_size()} in a step"]
        return "\n".join(lines)

    def estimate(self) -> str:
        """Returns the time to expect, by the time that a few training steps take here."""
        session, options, size = self.session, self.session.training, self.sizes["train"]
        model = session.architecture(self.input_shape)
        objective = session.objective(self.latent_shape, self.classes)
        step_s = step_seconds(Learning(model, objective), size, self.input_shape, options, self.device)
        seconds = epoch_seconds(step_s, options, *self.n_samples) / world_size()
        n_steps = -(-self.n_samples[0] // (options.batch_size * options.accumulate * world_size()))
        epochs = with_epochs(session, n_steps).training.epochs
        about = "about " if options.epochs == AUTO else ""
        return (
            f"time: about {duration(seconds)} an epoch, {duration(seconds * epochs)} for {about}{epochs}\n"
            "views: in Python, saec.draw_views(session, file) draws what the model would see"
        )


def _labels(samples: Samples, labelled: bool) -> np.ndarray:
    """Returns the labels of samples that no table keeps for others; raises a `Fault` if there are none."""
    samples = samples.subset(samples.labels != "") if labelled else samples
    is_parted = (samples.splits != "").any()
    return samples.labels[split_by_table(samples)[0]] if is_parted else samples.labels


def check_training(session: TrainingSession, config: Config, begun: Run | None = None) -> TrainingPlan:
    """Checks all that can be checked before data are read; a run that has learnt needs no parent any more.

    Raises:
        SessionError: with every fault, each with its key.
    """
    faults: list[str] = []
    check = partial(collect_faults, faults)
    device = check("config.device", resolve_device, config.device)
    for key in ("models", "cache"):
        check(f"config.{key}", require_writable, getattr(config, key))
    session, parent, weights = started(session, config, begun, faults)
    session, kinds, sizes = _sized(session, config, faults)
    faults += faults_of_shared(*kinds.values()) if len(kinds) == 2 else []
    model, shape, labels = None, None, None
    classes: tuple[str, ...] = ()
    if "train" in sizes:
        labels = check("data.train", _labels, kinds["train"].samples, session.objective.target.needs_labels)
        model, shape = _fitted(session, sizes, begun, parent, faults)
        if weights and model and isinstance(session.start, WeightsFrom):
            weights = check("start.weights_from", fitted, weights, model, session.start.freeze)
        session = without_decoder(session, model)
        check_parts(session, sizes["train"], model, faults)
        warn_of_heavy(model, sizes["train"].n_samples)
        classes = () if labels is None else _learnt(session, kinds, labels, begun, faults)
    options, n_phases = session.training, session.objective.target.n_phases(session.objective)
    check_options(session, kinds, labels, n_phases, faults)
    check_export(options.export, model, shape, faults)
    latent_shape, least = tuple[int, ...](), 1
    if model and shape and not faults:
        latent_shape = feature_shape(model, shape)
        learning = Learning(model, session.objective(latent_shape, classes))
        least = least_batch(session, learning, sizes["train"], shape)
        if least > options.batch_size:
            words = f"batch norms of {session.architecture.name} compare samples, {least} are needed at least"
            faults.append(f"training.batch_size: {words}")
    n_weights = sum(weight.numel() for weight in model.parameters()) if model else 0
    n_bytes = CHECKPOINT_BYTES + PHASE_BYTES * (n_phases - 1)
    check("config.models", require_room, config.models, n_bytes * n_weights, "the checkpoints")
    if faults or device is None or shape is None:
        raise SessionError(f"session {session.name}", faults)
    precision = resolve_precision(options.precision, device)
    session = session.but(training=options.model_copy(update={"precision": precision}))
    built = (shape, latent_shape, n_weights, classes, parent, begun, least, weights)
    return TrainingPlan(session, config, device, kinds, sizes, *built)


def _learnt(
    session: TrainingSession, kinds: dict[str, Kind], labels: np.ndarray, begun: Run | None, faults: list[str]
) -> tuple[str, ...]:
    """Returns the classes that are learnt, if any; adds a fault where there are too few, or where validation
    has none of them, leaves no sample to train on, or draws no part by `split_seed`.
    """
    data, train, needs_labels = session.data, kinds["train"], session.objective.target.needs_labels
    splits = train.samples.splits[train.samples.labels != ""] if needs_labels else train.samples.splits
    draws = data.has_part and "valid" not in splits
    if not draws and not begun and data.split_seed is not None:
        words = "draws a part of data.train, and a folder or a table's rows are for validation"
        faults.append(f"data.split_seed: {words}: leave it out")
    if draws and isinstance(data.valid, int) and data.valid >= len(labels):
        words = f"{data.valid} of {number_of(len(labels), train.samples_are)} leave none to train on"
        faults.append(f"data.valid: {words}: choose fewer")
    if not needs_labels:
        return ()
    classes = collect_faults(faults, "data.train", require_classes, labels, session.objective.name) or ()
    if classes and "valid" in kinds and not np.isin(kinds["valid"].samples.labels, classes).any():
        faults.append("data.valid: none of its samples is of a class that training has")
    if classes and not begun:
        warn_of_classes(train.samples, data.has_part)
    return classes


def _sized(
    session: TrainingSession, config: Config, faults: list[str]
) -> tuple[TrainingSession, dict[str, Kind], dict[str, Sizes]]:
    """Lists the samples. Options that headers of the training set settle hold for validation, too."""
    kinds: dict[str, Kind] = {}
    sizes: dict[str, Sizes] = {}
    for part in ("train", "valid"):
        if part == "valid" and session.data.has_part:
            continue
        check = partial(collect_faults, faults, f"data.{part}")
        location = check(absolute, getattr(session.data, part), config)
        kind = check(session.data.at, location, config) if location else None
        size = check(kind.sizes) if kind else None
        if kind and size:
            kinds[part], sizes[part] = kind, size
            settled = size.from_training_set if part == "train" else {}
            session = session.with_data({part: location} | settled)
    faults[:] = [
        one for one in faults if one.replace("data.valid: ", "data.train: ", 1) not in {*faults} - {one}
    ]
    return session, kinds, sizes


def _fitted(
    session: TrainingSession,
    sizes: dict[str, Sizes],
    begun: Run | None,
    parent: Run | Seed | None,
    faults: list[str],
) -> tuple[Model | None, tuple[int, ...] | None]:
    """Returns the model, and the shape (channels, height, width) it will take, the same in both parts and as
    in a run that is gone on with.
    """
    if session.model is None:
        return None, None
    trained = begun or parent  # a seed has no shape
    try:
        model = session.model((trained and trained.input_shape) or sizes["train"].front.shape)
    except ValueError as error:
        faults.append(f"model: {error}")
        return None, None
    shapes: dict[str, tuple[int, ...]] = {}
    for part, size in sizes.items():
        front = collect_faults(faults, f"data.{part}", size.front.sized_for, *model.takes)
        shapes |= {part: front.shape} if front else {}
    sized = [shape[:-1] if sizes["train"].is_ragged else shape for shape in shapes.values()]
    if len(set(sized)) > 1:
        what, (train, valid) = sizes["valid"].samples_are, shapes.values()
        remedy = "take both of one size, or a share of data.train, such as `valid: 0.1`"
        faults.append(f"data.valid: {what} are {valid}, those of data.train are {train}: {remedy}")
    shape = shapes.get("train")
    if shape and begun and shape != begun.input_shape:
        faults.append(f"data: {begun.folder} was begun with samples of {begun.input_shape}, not {shape}")
    if shape and parent and shape[0] != parent.channels:
        remedy = "these data have no other, so begin with a run that was trained on as many"
        if hasattr(session.data, "channels"):
            remedy = f"choose `{'rgb' if parent.channels == 3 else 'intensity'}`"
        trained_on = f"{parent.folder} was trained on {parent.channels} channels, these data have {shape[0]}"
        faults.append(f"data.channels: {trained_on}: {remedy}")
    return model, shape
