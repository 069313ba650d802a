"""Checks that what a training session chooses goes together, and with the samples that there are."""

import logging
from importlib.util import find_spec

import numpy as np

from saec.data import Kind, Sizes
from saec.data.kind import faults_of_ragged
from saec.data.views import faults_of_view
from saec.faults import Fault, collect_faults
from saec.models import Model
from saec.registry import Component
from saec.session import AUTO, TrainingSession
from saec.training.probe import faults_of_probe

LOG = logging.getLogger(__name__)


def require_classes(labels: np.ndarray, objective: str) -> tuple[str, ...]:
    """Returns the classes among labels, of which "" is none; raises a `Fault` if there are not two."""
    classes = np.unique(labels[labels != ""]).tolist()
    if len(classes) < 2:
        got = f"one class, {classes[0]!r}" if classes else "no labels"
        raise Fault(
            f"{objective} needs samples of two classes at least, got {got}: sort files into folders by "
            "class, or name classes in a table (file, label)"
        )
    return tuple(classes)


def check_options(
    session: TrainingSession,
    kinds: dict[str, Kind],
    labels: np.ndarray | None,
    n_phases: int,
    faults: list[str],
) -> None:
    """Adds faults of the section `training`, and warns of options that are not used, or too few epochs."""
    options = session.training
    for key, part in session:
        for words in part.unused() if isinstance(part, Component) else ():
            LOG.warning("%s.%s", key, words)
    if options.epochs != AUTO and options.epochs < n_phases:
        words = "training.epochs: %d are too few for the %d phases (such as values of alpha) of %s"
        LOG.warning(words, options.epochs, n_phases, session.objective.name)
    if options.probe and labels is not None:
        there = collect_faults(faults, "training.probe", require_classes, labels, "it")
        faults += faults_of_probe(options.probe, options.epochs, kinds, there) if there else []
    if options.tensorboard and not find_spec("tensorboard"):
        faults.append("training.tensorboard: is not installed: pip install tensorboard")


def check_parts(session: TrainingSession, train: Sizes, model: Model | None, faults: list[str]) -> None:
    """Adds a fault where views, model, objective and start do not go together."""
    compared_by = session.objective.name if session.objective.target.compares else None
    faults += faults_of_view(session.views, train, compared_by)
    if compared_by and session.training.batch_size == 1:
        faults.append(
            f"training.batch_size: {compared_by} compares samples of a batch, 2 are needed at least"
        )
    objective = session.objective
    in_units = {
        "objective.loss": (getattr(objective, "loss", "") == "ssim_l1", "mse"),
        "objective.metrics": (bool(getattr(objective, "metrics", ())), "[]"),
    }
    if train.is_ragged:
        pooling = getattr(getattr(objective, "pooling", None), "name", None)
        probed = getattr(getattr(session.training.probe, "pooling", None), "name", None)
        refused = {
            "model": (model is not None and not model.ragged, "conv1d"),
            "objective.pooling": (pooling == "flatten", "mean_std"),
            "training.probe.pooling": (probed == "flatten", "mean_std"),
            "objective.mixup": (bool(getattr(objective, "mixup", 0)), "0"),
        }
        faults += faults_of_ragged(train.samples_are, refused | in_units)
    elif not train.front.in_units:
        words = "takes values in [0, 1]: choose another, or data that are not standardised"
        faults += [f"{key}: {words}" for key, (takes, _) in in_units.items() if takes]
    if model is None:
        return
    name = session.architecture.name
    if model.whole_batches and getattr(objective, "reconstruction", False):
        faults.append(
            f"objective: {objective.name} decodes a part of a batch, {name} whole ones alone: choose "
            "`model.unpooling: nearest`, or `objective.reconstruction: 0`"
        )
    if objective.target.needs_decoder and model.decoder is None:
        needs = f"{objective.name} needs a model with a decoder, {name} has none"
        faults.append(f"objective: {needs}: choose another of the two")
    steps_hz = train.front.axes.frames_hz
    steps_hz = steps_hz and steps_hz / model.time_pool
    faults += objective.target.faults(objective, steps_hz, session.training.patience)
    if session.freeze != "all_but_head" and session.freeze > len(model.blocks):
        faults.append(f"start.freeze: {name} has {len(model.blocks)} blocks, got {session.freeze}")


def without_decoder(session: TrainingSession, model: Model | None) -> TrainingSession:
    """Returns the session without the weight of a reconstruction where its model makes none."""
    if model is None or model.decoder is not None or not getattr(session.objective, "reconstruction", 0):
        return session
    LOG.warning("objective.reconstruction is 0: %s has no decoder", session.architecture.name)
    return session.but(objective=session.objective.model_copy(update={"reconstruction": 0.0}))
