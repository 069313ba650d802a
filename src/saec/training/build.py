"""Opens and builds everything a training works with: data, model, objective, learner, progress."""

import logging
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

from saec.data import Dataset, Loader, Raw
from saec.data.kind import evenly
from saec.devices import describe, to_device
from saec.faults import Fault, listing
from saec.files import fingerprint
from saec.models import Model
from saec.objectives import Learning, Objective
from saec.optimizers import Learner
from saec.progress import pieces
from saec.runs import Progress, Run
from saec.samples import Samples, split, split_by_table, warn_of_shared
from saec.session import AUTO, TrainingSession, WeightsOf
from saec.together import Group
from saec.training.plan import TrainingPlan
from saec.training.probe import Probe
from saec.training.work import with_epochs

LOG = logging.getLogger(__name__)
N_SETTLING, SETTLED_AT_ONCE = 2_048, 32  # training samples that settle options of the front end
OF_A_MACHINE: Any = {  # parts of a session that may differ where processes are on several machines
    "name": True,
    "data": {"train": True, "valid": True},
    "start": {"weights_of": True, "weights_from": True},
    "training": {"precision": True},
}
N_LOOKED_AT = 512  # training samples whose middle is compared with their edges


@dataclass
class Training:
    """Holds what the loop needs; `parts` is what a checkpoint contains."""

    plan: TrainingPlan
    train: Loader
    valid: Loader
    learning: Learning
    learner: Learner
    parallel: nn.Module  # `learning` as all processes learn it together
    progress: Progress = field(default_factory=Progress)
    history: list[dict[str, float]] = field(default_factory=list)
    group: Group = field(default_factory=Group)  # of processes; the first one alone writes
    probe: Probe | None = None
    is_automatic: bool = False  # whether the number of epochs is that of `training.epochs: auto`

    @property
    def session(self) -> TrainingSession:
        return self.plan.session

    @property
    def model(self) -> Model:
        return self.learning.model

    @property
    def objective(self) -> Objective:
        return self.learning.objective

    @property
    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "objective": self.objective, "learner": self.learner}

    @property
    def split(self) -> dict[str, Samples]:
        return {"train": self.train.data.samples, "valid": self.valid.data.samples}

    @property
    def is_first(self) -> bool:
        """Returns whether this is the first process, which alone writes."""
        return self.group.rank == 0

    @property
    def n_steps(self) -> int:
        """Returns the number of steps of an epoch."""
        return -(-self.train.n_training_batches // self.learner.accumulate)

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint holds, perhaps of another number of processes."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.progress = Progress(**state["progress"])
        self.history = state["history"]
        self.learner.n_steps = self.progress.epoch * self.n_steps

    @property
    def sides(self) -> dict[str, dict[str, Any]]:
        """Returns the facts of the samples of both sides, by which a run knows them again."""
        groups = {"groups": np.unique(self.valid.data.samples.groups).tolist()}
        return {"train": self._facts(self.train.data), "valid": self._facts(self.valid.data) | groups}

    def record(self) -> dict[str, Any]:
        """Returns what a run remembers beside its session."""
        parent, start, sides = self.plan.parent, self.session.start, self.sides
        inherited = parent.which(start.weights) if parent and isinstance(start, WeightsOf) else None
        versions = {name: version(name) for name in ("saec", "torch", "numpy")}
        return {
            "input_shape": list(self.plan.input_shape),
            "train": sides["train"] | _middle(self.train.data, self.plan.device),
            "valid": sides["valid"],
            "classes": list(self.train.classes),
            "parent": str(parent.folder) if parent else None,
            "parent_weights": inherited,
            **({"automatic_epochs": self.session.training.epochs} if self.is_automatic else {}),
            "device": f"{self.plan.device} ({describe(self.plan.device)})",
            "threads": torch.get_num_threads(),
            **({"processes": self.group.world_size} if self.group.world_size > 1 else {}),
            "versions": versions | {"python": platform.python_version()},
            "system": platform.platform(),
        }

    def _facts(self, data: Dataset) -> dict[str, Any]:
        needed = self.objective.needs_labels or self.session.training.probe
        labels = {"labels": fingerprint(data.samples.labels.tolist())} if needed else {}
        return {"n": len(data), "fingerprint": data.fingerprint, **labels, **data.about}


def build(plan: TrainingPlan, group: Group | None = None) -> Training:
    """Opens the data and builds the rest, the weights by the seed or from the parent.

    Raises:
        Fault: the data cannot be read, or nothing is left to learn.
    """
    group = group or Group()
    alike = plan.session.model_dump(mode="json", exclude=OF_A_MACHINE)
    if len({*group.every(fingerprint(bool(plan.begun), alike))}) > 1:
        raise Fault("processes have different sessions: start all with the same session and changes")
    with group.in_turn():
        train, valid = _open(plan)
    samples = [one.tolist() for data in (train, valid) for one in (data.samples.names, data.samples.labels)]
    if len({*group.every(fingerprint(samples))}) > 1:
        words = "machines have different samples or labels: copy the same to all, or share a disk"
        raise Fault(f"data.train: {words}")
    train, valid = (data.on(plan.device) for data in (train, valid))
    plan, train, valid = _settle(plan, train, valid)
    session, device, options = plan.session, plan.device, plan.session.training
    torch.manual_seed(options.seed)
    model = session.architecture(plan.input_shape)
    train, valid = (data.sized_for(*model.takes) for data in (train, valid))
    learning = Learning(model, session.objective(plan.latent_shape, tuple(train.samples.classes)))
    group.share_norms(learning, device)
    _inherit(learning, plan)
    learning.objective.count_classes(train.samples.labels)
    learning = to_device(learning, device, plan.precision, learning=True)
    loaders = _loaders(plan, learning.objective, train, valid, group)
    n_steps = -(-loaders[0].n_training_batches // options.accumulate)
    session = with_epochs(session, n_steps)
    learner = _learner(session, learning, n_steps)
    if group.world_size > 1:
        learner.mean = partial(group.mean, device=device)
    some_unused = model.decoder is not None and not learning.objective.decodes(session.objective)
    parallel = group.parallel(learning, some_unused)
    probe = None
    if options.probe and not group.rank:
        probe = Probe.of(options.probe, *loaders, learning, plan.precision)
    if is_automatic := options.epochs == AUTO:
        LOG.info("training.epochs: auto is %d, with %d steps an epoch", session.training.epochs, n_steps)
        if options.probe and options.probe.every > session.training.epochs:
            LOG.warning("training.probe.every: %d is more, so no epoch is probed", options.probe.every)
    plan = replace(plan, session=session, counts=(len(train), len(valid)))
    built = (*loaders, learning, learner, parallel)
    return Training(plan, *built, group=group, probe=probe, is_automatic=is_automatic)


def _loaders(
    plan: TrainingPlan, objective: Objective, train: Dataset, valid: Dataset, group: Group
) -> tuple[Loader, Loader]:
    """Returns what gives batches for training and for validation; raises a `Fault` for too few samples."""
    session, options, least = plan.session, plan.session.training, plan.least_batch
    if len(train) // group.world_size < least:
        norms = f"batch norms of {session.architecture.name} need {least}"
        needs = norms if least > 1 else f"{least} are needed"
        words = f"{len(train):,} {train.samples_are} are left to train on, {needs} in each process"
        raise Fault(f"data.train: {words}")
    classes = tuple(train.samples.classes)
    common = (session.views, options.batch_size, plan.device, options.seed, classes)
    share: dict[str, Any] = {"rank": group.rank, "world_size": group.world_size}
    return (
        Loader(train, *common, evenly=objective.evenly, least=least, **share),
        Loader(valid, *common, smaller=not objective.compares, **share),
    )


def _learner(session: TrainingSession, learning: Learning, n_steps: int) -> Learner:
    """Returns what learns the weights that are not frozen; raises a `Fault` where all are."""
    weights = [weight for weight in learning.parameters() if weight.requires_grad]
    if not weights:
        raise Fault("start.freeze: all weights are frozen, nothing is left to learn")
    learner = session.optimizer(weights, n_steps * session.training.epochs)
    learner.accumulate = session.training.accumulate
    if learner.accumulate > 1 and learning.objective.compares:
        words = "training.accumulate: %d batches make a step, but each is compared with its own samples alone"
        LOG.warning(words + ": that adds no negatives", learner.accumulate)
    return learner


def _open(plan: TrainingPlan) -> tuple[Dataset, Dataset]:
    """Returns the data for training and validation: folders of their own, or parted by a table or the seed.

    Raises:
        Fault: samples cannot be read, or cannot be parted.
    """
    session, labelled = plan.session, plan.session.objective.target.needs_labels
    train = plan.kinds["train"].open()
    train = train.subset(np.flatnonzero(train.samples.labels != "")) if labelled else train
    if not len(train):
        raise Fault("data.train: none of the labelled samples can be used")
    valid = None
    if (train.samples.splits != "").any():
        n, (train, valid) = len(train), (train.subset(rows) for rows in split_by_table(train.samples))
        words = "the table sets %d samples aside for validation, %d for tests"
        LOG.info(words, len(valid), n - len(train) - len(valid))
    if "valid" in plan.kinds:
        valid = plan.kinds["valid"].open()
        warn_of_shared(train.samples, valid.samples)
    elif valid is None or not len(valid):
        n, what = len(train), train.samples_are
        seed = session.data.split_seed
        seed = session.training.seed if seed is None else seed
        rows = split(train.samples, session.data.valid, seed, labelled, what=what)
        train, valid = (train.subset(part) for part in rows)
        names = listing(np.unique(valid.samples.groups).tolist(), 5)
        LOG.info("set aside for validation: %d of %d %s, the groups:\n%s", len(valid), n, what, names)
    valid = _of_classes(train.samples.classes, valid) if labelled else valid
    if len(valid) == 1:
        LOG.warning("validation has a single sample, so its scores say next to nothing: enlarge data.valid")
    return train, valid


def _of_classes(classes: Sequence[str], valid: Dataset) -> Dataset:
    """Returns the validation samples of the classes that training has.

    Raises:
        Fault: there are none, or training has one class alone.
    """
    if len(classes) < 2:
        left = str(classes[0])
        raise Fault(f"data.train: one class is left to train on, {left!r}: two are needed at least")
    usable = np.isin(valid.samples.labels, classes)
    if not usable.any():
        raise Fault("data.valid: none of its samples is of a class that training has")
    if not usable.all():
        others = [label or "without a label" for label in np.unique(valid.samples.labels[~usable]).tolist()]
        words = "%d validation samples are of no class that training has and are left out:\n%s"
        LOG.warning(words, int((~usable).sum()), listing(others))
    return valid.subset(np.flatnonzero(usable))


def _settle(plan: TrainingPlan, train: Dataset, valid: Dataset) -> tuple[TrainingPlan, Dataset, Dataset]:
    """Writes the options that values of the training set settle into the session and both front ends."""
    by_all = train.front.settled_by_all
    stored = _stored(train, len(train) if by_all else N_SETTLING, plan.device)
    settled = train.front.from_training_set(stored)
    if not settled:
        return plan, train, valid
    train, valid = (replace(data, front=replace(data.front, **settled)) for data in (train, valid))
    return replace(plan, session=plan.session.with_data(settled)), train, valid


def _stored(data: Dataset, n: int, device: torch.device) -> Iterator[Raw]:
    """Yields so many samples, evenly spread, as they are stored, some at once."""
    chosen = np.array(evenly(range(len(data)), n))
    for some in pieces(len(chosen), SETTLED_AT_ONCE, "looking at samples", " batches"):
        yield data.gather(chosen[some], device)


def _middle(data: Dataset, device: torch.device) -> dict[str, float]:
    """Returns how much more happens in the middle of samples than at their ends, in means over time.

    What happens in a column is the sum of squared distances of its values from their medians over time. It is
    fitted in each sample by the square of half a sine; the mean over samples, less two standard errors.
    Nothing where samples keep lengths of their own.
    """
    n_columns = data.shape[-1]
    if data.is_ragged or n_columns < 4:
        return {}
    sine = torch.sin(torch.pi * (torch.arange(n_columns) + 0.5) / n_columns).square()
    sine -= sine.mean()
    fitted = []
    for stored in _stored(data, N_LOOKED_AT, device):
        x = data.front(stored).float().cpu()
        happens = (x - x.median(dim=-1, keepdim=True).values).square().sum(dim=(1, 2))
        happens = happens[happens.sum(dim=1) > 0]
        fitted.append(happens / happens.mean(dim=1, keepdim=True) @ sine / sine.square().sum())
    all_fitted = torch.cat(fitted)
    if len(all_fitted) < 2:
        return {}
    return {"middle": round(float(all_fitted.mean() - 2 * all_fitted.std() / len(all_fitted) ** 0.5), 3)}


def _inherit(learning: Learning, plan: TrainingPlan) -> None:
    """Loads the encoder of a file, or the parent's encoder and decoder, and its head's tensors where name and
    shape agree, unless it tells other classes apart; freezes what stays as it is.
    """
    model, objective, parent = learning.model, learning.objective, plan.parent
    start = plan.session.start
    model.freeze(plan.session.freeze)
    if plan.weights:
        model.encoder.load_state_dict(plan.weights, strict=False)  # a new bottleneck is none of a file's
        if model.decoder is not None:
            LOG.warning("weights of a file are the encoder's: the decoder starts from scratch")
    if not parent or not isinstance(start, WeightsOf):
        return
    weights = start.weights
    theirs = parent.model(weights)
    if isinstance(theirs.encoder, torch.jit.ScriptModule):
        what = f"{parent.folder} is not our {plan.session.architecture.name}"
        raise Fault(f"start.weights_of: {what}: nothing can be trained from it")
    model.encoder.load_state_dict(theirs.encoder.state_dict())
    if theirs.decoder is not None and model.decoder is not None:
        model.decoder.load_state_dict(theirs.decoder.state_dict())
    elif model.decoder is not None:
        LOG.warning("%s has no decoder: the decoder starts from scratch", parent.folder)
    own = {key: value for key, value in objective.state_dict().items() if key.startswith("head.")}
    if own and isinstance(parent, Run):
        saved = parent.load(weights)["objective"]
        if objective.needs_labels and list(objective.classes) != parent.record["classes"]:
            saved = {}
        same = {key: saved[key] for key in own if key in saved and saved[key].shape == own[key].shape}
        objective.load_state_dict(same, strict=False)
        LOG.info("objective: %d of %d tensors from %s", len(same), len(own), parent.folder.name)
    LOG.info("weights of %s, %d blocks frozen", parent.folder, len(model.frozen))
