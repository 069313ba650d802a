"""What a training session comes to on this machine: all that can be known before a sample is decoded."""

import logging
import time
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from saec.config import Config
from saec.data import Batch, Cache, Dataset, Survey, split, warn_of_shared
from saec.data.kinds import Kind, Place, Places, absolute, paths_of
from saec.data.split import split_by_table, split_evenly
from saec.devices import computing, describe, resolve_device, resolve_precision, to_device
from saec.export import require_packages
from saec.faults import Fault, collect_faults, listing
from saec.files import require_writable
from saec.models import Model, feature_shape
from saec.progress import duration
from saec.registry import Component
from saec.runs import Run
from saec.runs.find import find_trained
from saec.runs.seeds import Seed
from saec.session import SessionError, TrainingSession


def absolute_places(session: TrainingSession, config: Config, faults: list[str]) -> TrainingSession:
    places = {"train": session.data.train, "valid": session.data.valid}
    paths = {
        part: collect_faults(faults, f"data.{part}", absolute, place, config) or place
        for part, place in places.items()
        if not isinstance(place, float)
    }
    return session.but(data=session.data.model_copy(update=paths))


def kind_at(place: Place, data: Places, config: Config) -> Kind:
    return data(paths_of(place), Cache.of(config))


def opened(session: TrainingSession, kinds: dict[str, Kind]) -> tuple[Dataset, Dataset]:
    """For training and validation: places of their own, or set aside by a table or by the seed.

    Raises:
        Fault: samples cannot be read, or cannot be parted.
    """
    data, labelled = session.data, session.objective.target.needs_labels
    train = kinds["train"].open()
    train = train.subset(np.flatnonzero(train.labels != "")) if labelled else train
    if not len(train):
        raise Fault("data.train: none of the labelled samples can be used")
    aside = ()
    if train.splits is not None and (train.splits != "").any():
        train, aside = split_by_table(train)
    if not isinstance(data.valid, float):
        valid = kinds["valid"].open()
        warn_of_shared(train, valid)
    elif len(aside):
        valid = aside
    else:
        part = split_evenly if labelled else split
        train, valid = part(train, data.valid, session.training.seed)
        LOG.info(
            "set aside for validation: %d %s of %d, recordings:\n%s",
            len(valid),
            train.what,
            len(train) + len(valid),
            listing(np.unique(valid.groups).tolist(), 5),
        )
    return train, _known_to(train, valid) if labelled else valid


def _known_to(train: Dataset, valid: Dataset) -> Dataset:
    """The validation samples whose class is learnt.

    Raises:
        Fault: there are none, or one class alone is learnt.
    """
    classes = np.unique(train.labels)
    if len(classes) < 2:
        left = str(classes[0])
        raise Fault(f"data.train: one class is left to train on, {left!r}: two are needed at least")
    known = np.isin(valid.labels, classes)
    if not known.any():
        raise Fault("data.valid: none of its samples is of a class that training has")
    if not known.all():
        odd = np.unique(valid.labels[~known]).tolist()
        LOG.warning(
            "%d validation samples are of no class that training has and are left out:\n%s",
            int((~known).sum()),
            listing([name or "without a label" for name in odd]),
        )
    return valid.subset(np.flatnonzero(known))


VALIDATION_COST = 0.4  # of a training step, for a batch: no backward pass


@dataclass(frozen=True)
class TrainingPlan:
    """A checked session with absolute paths, its model's name and its precision resolved."""

    session: TrainingSession
    config: Config
    device: torch.device
    kinds: dict[str, Kind]  # train, and valid where it has a folder of its own
    surveys: dict[str, Survey]  # the same keys
    input_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    n_weights: int
    parent: Run | Seed | None
    classes: tuple[str, ...] = ()  # where the objective needs labels

    @property
    def precision(self) -> str:
        return self.session.training.precision

    def describe(self) -> str:
        """Counts and sizes."""
        n_train, n_valid = self.n_samples
        what = self.surveys["train"].what
        if "valid" in self.surveys:
            sizes = f"train {n_train:,} {what}, valid {n_valid:,} {what}"
        else:
            sizes = f"{n_train + n_valid:,} {what}, about {n_valid:,} of them for validation"
        return "\n".join(
            [
                f"data: {sizes}, {'x'.join(map(str, self.input_shape))} (channels x height x width), "
                f"{' + '.join(survey.room for survey in self.surveys.values())}",
                *([f"classes: {', '.join(self.classes)}"] if self.classes else []),
                f"model: {self.session.model.name}, {self.n_weights:,} weights, "
                f"latent {' x '.join(map(str, self.latent_shape))}",
                f"device: {describe(self.device)} ({self.device}), {self.precision}",
            ]
        )

    def estimate(self) -> str:
        """The time to expect, from a few training steps."""
        options = self.session.training
        n_train, n_valid = self.n_samples
        seconds = step_seconds(self) * (n_train + VALIDATION_COST * n_valid) / options.batch_size
        total = duration(seconds * options.epochs)
        return f"time: about {duration(seconds)} an epoch, {total} for {options.epochs}"

    @property
    def n_samples(self) -> tuple[int, int]:
        """For training and validation; estimated where validation is a share."""
        n_train = self.surveys["train"].n_samples
        if "valid" in self.surveys:
            return n_train, self.surveys["valid"].n_samples
        n_valid = round(n_train * self.session.data.valid)
        return n_train - n_valid, n_valid


@torch.enable_grad()
def step_seconds(plan: TrainingPlan) -> float:
    """Returns the seconds of a training step here: the last of three on random pictures."""
    model = plan.session.model(plan.input_shape)
    objective = plan.session.objective(plan.latent_shape, plan.classes)
    model, objective = (
        to_device(part, plan.device, plan.precision, learning=True) for part in (model, objective)
    )
    pictures = torch.rand(plan.session.training.batch_size, *plan.input_shape, device=plan.device)
    label = torch.zeros(len(pictures), dtype=torch.long, device=plan.device)
    batch = Batch(pictures, pictures, [""] * len(pictures), label)
    seconds = 0.0
    with torch.random.fork_rng():
        for _ in range(3):
            started = time.perf_counter()
            with computing(plan.device, plan.precision):
                loss = objective(model, batch)["loss"]
            loss.backward()
            loss.item()  # waits for the device
            seconds = time.perf_counter() - started
    return seconds


LOG = logging.getLogger(__name__)


def check_training(session: TrainingSession, config: Config, going_on: Run | None = None) -> TrainingPlan:
    """Checks all that can be checked before data are read; a run that goes on needs no parent any more.

    Raises:
        SessionError: with every fault found, each with its key.
    """
    faults: list[str] = []
    session = absolute_places(session, config, faults)
    device = collect_faults(faults, "config.device", resolve_device, config.device)
    for key in ("models", "cache"):
        collect_faults(faults, f"config.{key}", require_writable, getattr(config, key))
    source = None
    if session.start != "scratch" and not going_on:
        source = collect_faults(faults, "start.weights_of", find_trained, session.start.weights_of, config)
        session = _taking_after(source, session, faults) if source else session
    session, kinds, surveys = _surveyed(session, config, faults)
    shaped_by = going_on or (source if isinstance(source, Run) else None)
    known = tuple(shaped_by.record["input_shape"]) if shaped_by else None
    model = _model(session, surveys, known, faults)
    shape = _input_shape(session, surveys, model, faults) if model else None
    if going_on and shape and shape != known:
        faults.append(f"data: {going_on.folder} was begun with samples of {known}, these are {shape}")
    if source and shape and shape[0] != source.channels:
        faults.append(
            f"data.channels: {source.folder} was trained on {source.channels} channels, these data have "
            f"{shape[0]}: {_channel_remedy(session, source)}"
        )
    classes = ()
    if "train" in surveys and session.objective.target.needs_labels:
        classes = collect_faults(faults, "data.train", _classes, session, kinds["train"]) or ()
    if session.training.tensorboard and not find_spec("tensorboard"):
        faults.append("training.tensorboard: is not installed: pip install tensorboard")
    collect_faults(faults, "training.export", require_packages, session.training.export)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    precision = resolve_precision(session.training.precision, device)
    session = session.but(training=session.training.model_copy(update={"precision": precision}))
    n_weights = sum(weight.numel() for weight in model.parameters())
    latent_shape = feature_shape(model, shape)
    return TrainingPlan(
        session, config, device, kinds, surveys, shape, latent_shape, n_weights, source, classes
    )


def _surveyed(
    session: TrainingSession, config: Config, faults: list[str]
) -> tuple[TrainingSession, dict[str, Kind], dict[str, Survey]]:
    """What the training set decides is decided, so that validation is read the same way."""
    kinds, surveys = {}, {}
    for part, place in (("train", session.data.train), ("valid", session.data.valid)):
        if isinstance(place, float):
            continue
        kinds[part] = collect_faults(faults, f"data.{part}", kind_at, place, session.data, config)
        survey = kinds[part] and collect_faults(faults, f"data.{part}", kinds[part].survey)
        surveys |= {part: survey} if survey else {}
        if part == "train" and survey and survey.decided:
            session = session.but(data=session.data.model_copy(update=survey.decided))
    return session, kinds, surveys


def _taking_after(source: Run | Seed, session: TrainingSession, faults: list[str]) -> TrainingSession:
    """With the parent's architecture, which a model section may repeat but not contradict, and with what
    the parent's training set has decided of the same kind of data.
    """
    theirs = collect_faults(faults, "start.weights_of", lambda: source.architecture)
    if theirs is None:
        return session
    if session.model is not None and session.model != theirs:
        faults.append(
            f"model: {source.folder} has {theirs.model_dump()}, the session {session.model.model_dump()}: "
            "leave `model` out, or `start: scratch`"
        )
    return session.but(model=theirs, data=_heard_alike(source, session.data))


def _heard_alike(source: Run | Seed, data: Component) -> Component:
    theirs = source.data
    if theirs.kind != data.kind:
        return data
    open_to_all = data.target.undecided
    decided = {
        key: getattr(theirs, key)
        for key, words in open_to_all.items()
        if getattr(data, key) in words and getattr(theirs, key) != "none"
    }
    for key, value in decided.items():
        LOG.info("data.%s is that of %s: %s", key, source.folder.name, value)
    data = data.model_copy(update=decided)
    for key in ("sample_rate", "spectrum", "standardise", "channels"):
        here, there = getattr(data, key, None), getattr(theirs, key, None)
        if here != there:
            LOG.warning("data.%s is %s, %s was trained with %s", key, here, source.folder.name, there)
    return data


def _model(
    session: TrainingSession,
    surveys: dict[str, Survey],
    known: tuple[int, ...] | None,
    faults: list[str],
) -> Model | None:
    """The model for samples of the shape that its parent or the run itself has taken (`known`)."""
    if "train" not in surveys or session.model is None:
        return None
    front = surveys["train"].front
    if not front.in_units and getattr(session.views.target, "of_units", False):
        faults.append(
            f"views: {session.views.name} takes values in [0, 1]: choose `data.standardise: none` and a mel "
            "or linear spectrum, or `views: plain`"
        )
    try:
        model = session.model(known or front.shape)
    except ValueError as error:
        faults.append(f"model: {error}")
        return None
    if model.whole_batches and getattr(session.objective, "reconstruction", 0):
        faults.append(
            f"objective: {session.objective.name} decodes a part of a batch, {session.model.name} whole ones "
            "alone: choose `model.unpooling: nearest`, or `objective.reconstruction: 0`"
        )
    if session.objective.target.needs_decoder and model.decoder is None:
        what = f"{session.objective.name} needs a model with a decoder, {session.model.name} has none"
        faults.append(f"objective: {what}: choose another of the two")
    return model


def _input_shape(
    session: TrainingSession, surveys: dict[str, Survey], model: Model, faults: list[str]
) -> tuple[int, ...] | None:
    """What the model will take; training and validation must come out alike."""
    shapes = {}
    for part, survey in surveys.items():
        front = collect_faults(faults, f"data.{part}", survey.front.sized_for, *model.takes)
        shapes |= {part: front.shape} if front else {}
    n_blocks = len(model.blocks)
    freeze = 0 if session.start == "scratch" else session.start.freeze
    if freeze != "all_but_head" and freeze > n_blocks:
        faults.append(f"start.freeze: {session.model.name} has {n_blocks} blocks, got {session.start.freeze}")
    if len(set(shapes.values())) > 1:
        faults.append(
            f"data.valid: pictures are {shapes['valid']}, those of data.train are {shapes['train']}"
        )
    return shapes.get("train")


def _channel_remedy(session: TrainingSession, source: Run | Seed) -> str:
    if session.data.kind == "audio":
        return "sound has one, so begin with a run that has learnt from one"
    return f"choose `{'rgb' if source.channels == 3 else 'intensity'}`"


def _classes(session: TrainingSession, kind: Kind) -> tuple[str, ...]:
    """Of the training set.

    Raises:
        Fault: there are none, or one class alone.
    """
    labels = kind.labels
    classes = np.unique(labels[labels != ""]).tolist()
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no labels"
        raise Fault(
            f"{session.objective.name} needs samples of two classes at least, got {found}: sort files into "
            "folders by class, or name classes in a table (file, label)"
        )
    return tuple(classes)
