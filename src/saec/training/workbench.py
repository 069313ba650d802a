"""Everything a training works with, opened and built: data, model, objective, learner, progress."""

import logging
import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saec.data import Dataset, Loader, chunks
from saec.data.decoding import evenly
from saec.devices import describe, to_device
from saec.faults import Fault
from saec.files import fingerprint
from saec.models import Model, feature_shape
from saec.objectives import Objective
from saec.optimizers import Learner
from saec.runs import Progress, Run
from saec.session import TrainingSession, Weights, WeightsOf
from saec.training.plan import TrainingPlan, opened

LOG = logging.getLogger(__name__)
N_DECIDING, DECIDED_AT_ONCE = 2_048, 32  # training samples that decide options of the front end


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
            "train": self._facts(self.train.data),
            "valid": self._facts(self.valid.data) | {"groups": np.unique(self.valid.data.groups).tolist()},
            "classes": list(self.train.classes),
            "parent": str(parent.folder) if parent else None,
            "device": f"{self.plan.device} ({describe(self.plan.device)})",
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in ("saec", "torch", "numpy")}
            | {"python": platform.python_version()},
            "system": platform.platform(),
        }

    def _facts(self, data: Dataset) -> dict[str, Any]:
        labels = {"labels": fingerprint(data.labels.tolist())} if self.objective.needs_labels else {}
        return {"n": len(data), "fingerprint": data.fingerprint, **labels, **data.about}


def equip(plan: TrainingPlan) -> Workbench:
    """Opens the data and builds the rest, the weights by the seed or from the parent.

    Raises:
        Fault: the data cannot be read, or nothing is left to learn.
    """
    device, options = plan.device, plan.session.training
    train, valid = (data.on(device) for data in opened(plan.session, plan.kinds))
    plan, train, valid = _decided(plan, train, valid)
    session = plan.session
    torch.manual_seed(options.seed)
    model = session.model(plan.input_shape)
    train, valid = (data.fitted(*model.takes) for data in (train, valid))
    classes = tuple(np.unique(train.labels[train.labels != ""]).tolist())
    objective = session.objective(feature_shape(model, plan.input_shape), classes)
    if plan.parent:
        inherit(model, objective, plan)
    objective.count_classes(train.labels)
    if session.start != "scratch":
        model.freeze(n_frozen(session.start, model))
    model, objective = (to_device(part, device, plan.precision, learning=True) for part in (model, objective))
    common = (session.views, options.batch_size, device, options.seed, classes)
    loaders = [Loader(train, *common, evenly=objective.evenly), Loader(valid, *common)]
    learner = session.optimizer(_weights(model, objective), loaders[0].n_training_batches * options.epochs)
    return Workbench(plan, *loaders, model, objective, learner)


def _decided(plan: TrainingPlan, train: Dataset, valid: Dataset) -> tuple[TrainingPlan, Dataset, Dataset]:
    """With the options that the training set decides written into the session, and both read by them."""
    chosen = np.array(evenly(range(len(train)), N_DECIDING))
    decided = train.front.from_training_set(
        train.gather(rows, plan.device) for rows in chunks(chosen, DECIDED_AT_ONCE)
    )
    if not decided:
        return plan, train, valid
    session = plan.session.but(data=plan.session.data.model_copy(update=decided))
    train, valid = (replace(data, front=replace(data.front, **decided)) for data in (train, valid))
    return replace(plan, session=session), train, valid


def _weights(model: Model, objective: Objective) -> list[Tensor]:
    weights = [weight for part in (model, objective) for weight in part.parameters() if weight.requires_grad]
    if not weights:
        raise Fault("start.freeze: all weights are frozen, nothing is left to learn")
    return weights


def n_frozen(start: WeightsOf, model: Model) -> int:
    """Blocks of the encoder."""
    return len(model.blocks) if start.freeze == "all_but_head" else start.freeze


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
        _take_objective(objective, parent, start.weights)
    LOG.info("weights of %s, %d blocks frozen", parent.folder, n_frozen(start, model))


def _take_objective(objective: Objective, parent: Run, weights: Weights) -> None:
    """A head that tells other classes apart is of no use."""
    own, saved = objective.state_dict(), parent.load(weights)["objective"]
    other = objective.needs_labels and list(objective.classes) != parent.record["classes"]
    same = (
        {}
        if other
        else {key: saved[key] for key in own if key in saved and saved[key].shape == own[key].shape}
    )
    objective.load_state_dict(own | same)
    if own:
        LOG.info("objective: %d of %d tensors from %s", len(same), len(own), parent.folder.name)
