"""What a training session comes to on this machine: all that can be known before a sample is decoded."""

import logging
from importlib.util import find_spec

import numpy as np

from saec.config import Config
from saec.data import Survey
from saec.data.kinds import Kind
from saec.devices import resolve_device, resolve_precision
from saec.export import require_packages
from saec.faults import Fault, noting
from saec.files import require_writable
from saec.registry import Component
from saec.runs import Run
from saec.seeds import Seed
from saec.session import SessionError, TrainingSession
from saec.sources import find_source
from saec.training.places import absolute_places, kind_at
from saec.training.planned import TrainingPlan

LOG = logging.getLogger(__name__)


def plan_training(session: TrainingSession, config: Config, going_on: Run | None = None) -> TrainingPlan:
    """Checks all that can be checked before data are read; a run that goes on needs no parent any more.

    Raises:
        SessionError: with every fault found, each with its key.
    """
    faults: list[str] = []
    session = absolute_places(session, config, faults)
    device = noting(faults, "config.device", resolve_device, config.device)
    for key in ("models", "cache"):
        noting(faults, f"config.{key}", require_writable, getattr(config, key))
    source = None
    if session.start != "scratch" and not going_on:
        source = noting(faults, "start.weights_of", find_source, session.start.weights_of, config)
        session = _taking_after(source, session, faults) if source else session
    session, kinds, surveys = _surveyed(session, config, faults)
    shaped_by = going_on or (source if isinstance(source, Run) else None)
    known = tuple(shaped_by.record["input_shape"]) if shaped_by else None
    shape = _input_shape(session, surveys, known, faults)
    if going_on and shape and shape != known:
        faults.append(f"data: {going_on.folder} was begun with samples of {known}, these are {shape}")
    if source and shape and shape[0] != source.channels:
        faults.append(
            f"data.channels: {source.folder} was trained on {source.channels} channels, these data have "
            f"{shape[0]}: {_channel_remedy(session, source)}"
        )
    classes = ()
    if "train" in surveys and session.objective.target.needs_labels:
        classes = noting(faults, "data.train", _classes, session, kinds["train"]) or ()
    if session.training.tensorboard and not find_spec("tensorboard"):
        faults.append("training.tensorboard: is not installed: pip install tensorboard")
    noting(faults, "training.export", require_packages, session.training.export)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    precision = resolve_precision(session.training.precision, device)
    session = session.but(training=session.training.model_copy(update={"precision": precision}))
    return TrainingPlan(session, config, device, surveys, shape, source, classes)


def _surveyed(
    session: TrainingSession, config: Config, faults: list[str]
) -> tuple[TrainingSession, dict[str, Kind], dict[str, Survey]]:
    """What the training set decides is decided, so that validation is read the same way."""
    kinds, surveys = {}, {}
    for part, place in (("train", session.data.train), ("valid", session.data.valid)):
        if isinstance(place, float):
            continue
        kinds[part] = noting(faults, f"data.{part}", kind_at, place, session.data, config)
        survey = kinds[part] and noting(faults, f"data.{part}", kinds[part].survey)
        surveys |= {part: survey} if survey else {}
        if part == "train" and survey and survey.decided:
            session = session.but(data=session.data.model_copy(update=survey.decided))
    return session, kinds, surveys


def _taking_after(source: Run | Seed, session: TrainingSession, faults: list[str]) -> TrainingSession:
    """With the parent's architecture, which a model section may repeat but not contradict, and with what
    the parent's training set has decided of the same kind of data.
    """
    theirs = noting(faults, "start.weights_of", lambda: source.architecture)
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


def _input_shape(
    session: TrainingSession,
    surveys: dict[str, Survey],
    known: tuple[int, ...] | None,
    faults: list[str],
) -> tuple[int, ...] | None:
    """What the model will take, as its parent or the run itself has taken it (`known`); training and
    validation must come out alike.
    """
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
    shapes = {}
    for part, survey in surveys.items():
        front = noting(faults, f"data.{part}", survey.front.fitted, *model.takes)
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
