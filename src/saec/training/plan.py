"""What a training session comes to on this machine: all that can be known before a picture is decoded."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from saec.config import Config
from saec.data import Batch, Cache, Survey
from saec.devices import computing, describe, placed, resolve_device, resolve_precision
from saec.export import require_packages
from saec.faults import noting
from saec.files import require_writable
from saec.models import Model, feature_shape
from saec.objectives import Objective
from saec.progress import duration
from saec.runs import Run
from saec.seeds import Seed
from saec.session import SessionError, TrainingSession
from saec.sources import find_source

VALIDATION_COST = 0.4  # of a training step, for a batch: no backward pass


@dataclass(frozen=True)
class TrainingPlan:
    """A checked session with absolute paths, its model's name and its precision resolved."""

    session: TrainingSession
    config: Config
    device: torch.device
    surveys: dict[str, Survey]  # train, and valid where it is a folder
    input_shape: tuple[int, ...]
    parent: Run | Seed | None

    @property
    def precision(self) -> str:
        return self.session.training.precision

    @property
    def cache(self) -> Cache:
        return Cache.of(self.config)

    def __str__(self) -> str:
        """Counts, sizes and the time to expect."""
        options = self.session.training
        n_train, n_valid = self.n_samples
        model = self.session.model(self.input_shape)
        objective = self.session.objective(feature_shape(model, self.input_shape), ())
        n_weights = sum(weight.numel() for weight in model.parameters())
        seconds = step_seconds(model, objective, self)
        steps = (n_train + VALIDATION_COST * n_valid) / options.batch_size
        if "valid" in self.surveys:
            sizes = f"train {n_train:,} pictures, valid {n_valid:,} pictures"
        else:
            sizes = f"{n_train + n_valid:,} pictures, about {n_valid:,} of them for validation"
        return "\n".join(
            [
                f"data: {sizes}, {'x'.join(map(str, self.input_shape))} (channels x height x width), "
                f"{' + '.join(survey.room for survey in self.surveys.values())}",
                f"model: {self.session.model.name}, {n_weights:,} weights, "
                f"latent {' x '.join(map(str, feature_shape(model, self.input_shape)))}",
                f"device: {describe(self.device)} ({self.device}), {self.precision}",
                f"time: about {duration(steps * seconds)} an epoch, "
                f"{duration(steps * seconds * options.epochs)} for {options.epochs}",
            ]
        )

    @property
    def n_samples(self) -> tuple[int, int]:
        """For training and validation; estimated where validation is a share."""
        n_train = self.surveys["train"].n_samples
        if "valid" in self.surveys:
            return n_train, self.surveys["valid"].n_samples
        n_valid = round(n_train * self.session.data.valid)
        return n_train - n_valid, n_valid


def plan_training(session: TrainingSession, config: Config, going_on: bool = False) -> TrainingPlan:
    """Checks all that can be checked before data are read; a run that goes on needs no parent any more.

    Raises:
        SessionError: with every fault found, each with its key.
    """
    faults: list[str] = []
    session = _absolute(session, config, faults)
    device = noting(faults, "config.device", resolve_device, config.device)
    for key in ("models", "cache"):
        noting(faults, f"config.{key}", require_writable, getattr(config, key))
    source = None
    if session.start != "scratch" and not going_on:
        source = noting(faults, "start.weights_of", find_source, session.start.weights_of, config)
        session = _with_model_of(source, session, faults) if source else session
    surveys = {}
    for part, place in (("train", session.data.train), ("valid", session.data.valid)):
        if isinstance(place, str):
            survey = noting(faults, f"data.{part}", _survey, session, Path(place), config)
            surveys |= {part: survey} if survey else {}
    shape = _input_shape(session, surveys, faults)
    if source and shape and shape[0] != source.channels:
        faults.append(
            f"data.channels: {source.folder} was trained on {source.channels} channels, these data have "
            f"{shape[0]}: choose `{'rgb' if source.channels == 3 else 'intensity'}`"
        )
    if session.training.tensorboard and not find_spec("tensorboard"):
        faults.append("training.tensorboard: is not installed: pip install tensorboard")
    noting(faults, "training.export", require_packages, session.training.export)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    precision = resolve_precision(session.training.precision, device)
    session = session.but(training=session.training.model_copy(update={"precision": precision}))
    return TrainingPlan(session, config, device, surveys, shape, source)


@torch.enable_grad()
def step_seconds(model: Model, objective: Objective, plan: TrainingPlan) -> float:
    """How long a training step takes here: the last of three on random pictures."""
    model, objective = (
        placed(part, plan.device, plan.precision, learning=True) for part in (model, objective)
    )
    pictures = torch.rand(plan.session.training.batch_size, *plan.input_shape, device=plan.device)
    batch = Batch(pictures, pictures, [""] * len(pictures))
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


def _absolute(session: TrainingSession, config: Config, faults: list[str]) -> TrainingSession:
    places = {"train": session.data.train, "valid": session.data.valid}
    paths = {
        part: str(noting(faults, f"data.{part}", config.data_path, place) or place)
        for part, place in places.items()
        if isinstance(place, str)
    }
    return session.but(data=session.data.model_copy(update=paths))


def _survey(session: TrainingSession, folder: Path, config: Config) -> Survey:
    return session.data(folder, Cache.of(config)).survey()


def _with_model_of(source: Run | Seed, session: TrainingSession, faults: list[str]) -> TrainingSession:
    """The parent's architecture, which a model section may repeat but not contradict."""
    theirs = noting(faults, "start.weights_of", lambda: source.architecture)
    if theirs is None:
        return session
    if session.model is not None and session.model != theirs:
        faults.append(
            f"model: {source.folder} has {theirs.model_dump()}, the session {session.model.model_dump()}: "
            "leave `model` out, or `start: scratch`"
        )
    return session.but(model=theirs)


def _input_shape(
    session: TrainingSession, surveys: dict[str, Survey], faults: list[str]
) -> tuple[int, ...] | None:
    """What the model will take; training and validation must come out alike."""
    if "train" not in surveys or session.model is None:
        return None
    try:
        model = session.model(surveys["train"].front.shape)
    except ValueError as error:
        faults.append(f"model: {error}")
        return None
    shapes = {}
    for part, survey in surveys.items():
        front = noting(faults, f"data.{part}", survey.front.fitted, model.height, model.time_pool)
        shapes |= {part: front.shape} if front else {}
    n_blocks = len(list(model.encoder.children()))
    if session.start != "scratch" and session.start.freeze > n_blocks:
        faults.append(f"start.freeze: {session.model.name} has {n_blocks} blocks, got {session.start.freeze}")
    if len(set(shapes.values())) > 1:
        faults.append(
            f"data.valid: pictures are {shapes['valid']}, those of data.train are {shapes['train']}"
        )
    return shapes.get("train")
