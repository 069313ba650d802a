"""Everything a training works with, opened and built: data, model, objective, learner, progress."""

import logging
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saec.data import Dataset, Loader, split, warn_of_shared
from saec.devices import describe, placed
from saec.faults import listing
from saec.models import Model, feature_shape
from saec.objectives import Objective
from saec.optimizers import Learner
from saec.runs import Progress, Run
from saec.session import TrainingSession
from saec.training.plan import TrainingPlan

LOG = logging.getLogger(__name__)


@dataclass
class Workbench:
    """What the loop needs; `parts` is what a checkpoint holds."""

    plan: TrainingPlan
    train: Loader
    valid: Loader
    model: Model
    objective: Objective
    learner: Learner
    progress: Progress = field(default_factory=Progress)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def session(self) -> TrainingSession:
        return self.plan.session

    @property
    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "objective": self.objective, "learner": self.learner}

    def take_up(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint holds."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.progress = Progress(**state["progress"])
        self.history = state["history"]

    def record(self) -> dict[str, Any]:
        """What a run remembers beside its session."""
        parent = self.plan.parent
        return {
            "input_shape": list(self.plan.input_shape),
            "train": _facts(self.train.data),
            "valid": _facts(self.valid.data) | {"groups": np.unique(self.valid.data.groups).tolist()},
            "classes": list(self.train.classes),
            "parent": str(parent.folder) if parent else None,
            "device": f"{self.plan.device} ({describe(self.plan.device)})",
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in ("saec", "torch", "numpy")}
            | {"python": platform.python_version()},
            "system": platform.platform(),
        }


def equip(plan: TrainingPlan) -> Workbench:
    """Opens the data and builds the rest, the weights by the seed or from the parent.

    Raises:
        Fault: the data cannot be read.
    """
    session, device = plan.session, plan.device
    train, valid = _datasets(plan)
    torch.manual_seed(session.training.seed)
    model = session.model(plan.input_shape)
    train, valid = (data.fitted(model.height, model.time_pool) for data in (train, valid))
    classes = tuple(np.unique(train.labels[train.labels != ""]).tolist())
    objective = session.objective(feature_shape(model, plan.input_shape), classes)
    if plan.parent:
        inherit(model, objective, plan)
    if session.start != "scratch":
        model.freeze(session.start.freeze)
    model, objective = (placed(part, device, plan.precision, learning=True) for part in (model, objective))
    options = session.training
    loaders = [
        Loader(data, session.views, options.batch_size, device, options.seed, classes)
        for data in (train, valid)
    ]
    weights = [weight for part in (model, objective) for weight in part.parameters() if weight.requires_grad]
    learner = session.optimizer(weights, loaders[0].n_batches * options.epochs)
    return Workbench(plan, *loaders, model, objective, learner)


def inherit(model: Model, objective: Objective, plan: TrainingPlan) -> None:
    """The parent's encoder and decoder, strictly; its objective's tensors where name and shape agree."""
    start, parent = plan.session.start, plan.parent
    theirs = parent.model(start.weights)
    model.encoder.load_state_dict(theirs.encoder.state_dict())
    if theirs.decoder is not None and model.decoder is not None:
        model.decoder.load_state_dict(theirs.decoder.state_dict())
    elif model.decoder is not None:
        LOG.warning("%s has no decoder: the decoder starts from scratch", parent.folder)
    if isinstance(parent, Run):
        own = objective.state_dict()
        saved = parent.load(start.weights)["objective"]
        same = {key: saved[key] for key in own if key in saved and saved[key].shape == own[key].shape}
        objective.load_state_dict(own | same)
        if own:
            LOG.info("objective: %d of %d tensors from %s", len(same), len(own), parent.folder.name)
    LOG.info("weights of %s, %d blocks frozen", parent.folder, start.freeze)


def _datasets(plan: TrainingPlan) -> tuple[Dataset, Dataset]:
    places = plan.session.data
    train = places(Path(places.train), plan.cache).open().on(plan.device)
    if isinstance(places.valid, str):
        valid = places(Path(places.valid), plan.cache).open().on(plan.device)
        warn_of_shared(train, valid)
        return train, valid
    train, valid = split(train, places.valid, plan.session.training.seed)
    aside = listing(np.unique(valid.groups).tolist(), 5)
    LOG.info(
        "set aside for validation: %d pictures of %d, recordings:\n%s",
        len(valid),
        len(train) + len(valid),
        aside,
    )
    return train, valid


def _facts(data: Dataset) -> dict[str, Any]:
    return {"n": len(data), "fingerprint": data.fingerprint, **data.about}
