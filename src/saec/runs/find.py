"""Finds trained models by folder or file, timestamp or `latest:<session name>`: runs, and the reference's."""

import logging
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saec.config import Config
from saec.data import DATA
from saec.data.kind import DataOptions
from saec.faults import Fault, MissingFault, listing
from saec.files import DAMAGE, as_file_name, locked, require_whole
from saec.models import MODELS, Model
from saec.models.saec import ARCHITECTURES
from saec.registry import Component
from saec.runs.run import TIMESTAMP, Run

LOG = logging.getLogger(__name__)
LATEST = "latest:"
FILE_SUFFIX, ENCODER = ".pth", "<timestamp>_encoder_script_<name>_epo<NNN>.pth"
FILE = re.compile(rf"({TIMESTAMP.pattern})_(encoder|decoder)_script_(.+)_epo(\d+)\.pth")
CHANNELS, HEIGHT = 3, 128  # the reference knows RGB pictures of one height
PROBE_WIDTH = 1152
TOLERANCE = 1e-4  # relative to the largest value


@dataclass(frozen=True)
class Seed:
    """Holds a trained encoder, and perhaps decoder, of the reference."""

    encoder: Path
    decoder: Path | None
    timestamp: str
    model_name: str
    epoch: int

    channels = CHANNELS
    input_shape = colormap = middle = None  # the reference does not say

    @property
    def folder(self) -> Path:
        return self.encoder

    @property
    def architecture(self) -> Component:
        """Raises a `Fault` where the name is not one of ours."""
        if self._named is None:
            raise Fault(
                f"{self.encoder} is of an architecture {self.model_name!r} that is not among ours: "
                "features can be extracted with it, but nothing can be trained from it"
            )
        return self._named

    @cached_property
    def _named(self) -> Component | None:
        """Returns our architecture whose name is or begins with that one, as wide as its latents."""
        names = [name for name in MODELS.names() if f"{name}_".startswith(f"{self.model_name}_")]
        if not names or names[0] not in ARCHITECTURES:
            return MODELS.parse(names[0]) if names == [self.model_name] else None
        channels, _ = self._encoded(_script(self.encoder), 32)
        name = next((name for name in names if ARCHITECTURES[name].code == channels), None)
        return MODELS.parse(name or {"name": names[0], "latent": channels})

    @property
    def data(self) -> DataOptions:
        return DATA.parse({"kind": "images", "train": "", "channels": "rgb"})

    def require(self, weights: str) -> None:
        """Raises a `MissingFault` where other weights are meant than those of the one epoch there is."""
        if weights not in ("best", "last"):
            raise MissingFault(f"{self.encoder} has no weights {weights!r}, it is of one epoch: choose best")

    def load(self, weights: str) -> dict[str, Any]:
        self.require(weights)
        return {"progress": {"epoch": self.epoch}}

    def which(self, weights: str, state: dict[str, Any] | None = None) -> str:
        return f"epoch {self.epoch}"

    def model(self, weights: str = "best", state: dict[str, Any] | None = None) -> Model:
        """Returns our architecture of that name with the script's tensors, else the scripts themselves.

        Raises:
            Fault: a file is damaged, or does not hold the tensors of our architecture.
        """
        if self._named is None:
            return self._run_as_it_is()
        model = self.architecture((CHANNELS, HEIGHT, PROBE_WIDTH)).eval()
        pictures = torch.rand(2, CHANNELS, HEIGHT, 4 * model.time_pool)
        model.encoder = self._adopted(model.encoder, self.encoder, pictures)
        if self.decoder:
            model.decoder = self._adopted(model.decoder, self.decoder, model.encoder(pictures))
        else:
            LOG.warning("%s has no decoder beside it: no reconstructions", self.encoder.name)
            model.decoder = None
        return model

    def _run_as_it_is(self) -> Model:
        LOG.warning("%s is no architecture of ours: the script is run, without a decoder", self.model_name)
        script = _script(self.encoder)
        return Model(script, None, HEIGHT, PROBE_WIDTH // self._encoded(script, PROBE_WIDTH)[1]).eval()

    @torch.no_grad()
    def _encoded(self, script: nn.Module, width: int) -> tuple[int, int]:
        """Returns channels and time steps of an encoded picture."""
        try:
            _, channels, _, n_steps = script(torch.zeros(1, CHANNELS, HEIGHT, width)).shape
        except (RuntimeError, ValueError) as error:
            raise Fault(
                f"{self.encoder} does not encode RGB pictures {HEIGHT} high as (batch, channels, frequency, "
                "time): no features can be extracted with it"
            ) from error
        return channels, n_steps

    @torch.no_grad()
    def _adopted(self, ours: nn.Module, file: Path, example: torch.Tensor) -> nn.Module:
        """Returns ours with the script's tensors, by their order, if it then gives what the script gives."""
        script = _script(file)
        theirs, own = list(script.state_dict().values()), ours.state_dict()
        if [tensor.shape for tensor in theirs] != [tensor.shape for tensor in own.values()]:
            raise Fault(
                f"{file} does not hold the tensors of {self.model_name}: "
                "give it another name, and it is run as a script"
            )
        ours.load_state_dict(dict(zip(own, theirs, strict=True)))
        expected, got = script(example), ours(example)
        error = float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
        if error <= TOLERANCE:
            return ours
        words = "%s is not our %s, it differs by %.1e of the largest value: the script itself is run"
        LOG.warning(words, file, self.model_name, error)
        return script


def find_trained(reference: str, config: Config) -> Run | Seed:
    """Returns a run, or a model of the reference by its timestamp or encoder file; relative paths count from
    the data folder.

    Raises:
        MissingFault: there is neither.
        Fault: the timestamp has several epochs, or both a run and a model of the reference.
    """
    path = config.data_path(reference)
    if run := Run.at(path):
        return run
    if path.suffix == FILE_SUFFIX and path.is_file():
        for seed in seeds_in(path.parent):
            if seed.encoder == path:
                return seed
        raise Fault(f"{path} is no encoder of the reference: {ENCODER} is expected, its decoder beside it")
    return _one_of(reference, config.models, [*seeds_in(config.models), *all_runs(config.models)[::-1]])


def find_run(reference: str, models: Path) -> Run:
    """Returns a run by its timestamp or folder's name, or `latest:<session name>`, the newest finished one.

    Raises:
        MissingFault: there is none, with the list of those there are.
        Fault: several have the timestamp.
    """
    run = _one_of(reference, models, all_runs(models)[::-1])
    assert isinstance(run, Run)  # one of those given
    return run


def _one_of(reference: str, folder: Path, models: Sequence[Run | Seed]) -> Run | Seed:
    """Returns the one of the models, newest first, that the reference names."""
    names = listing([model.folder.name for model in models])
    there = f"there are\n{names}" if models else "there is none yet, train one with `saec train`"
    if reference.startswith(LATEST):
        name = as_file_name(reference.removeprefix(LATEST))
        of_session = [model for model in models if isinstance(model, Run) and model.name == name]
        finished = next((run for run in of_session if run.progress.finished), None)
        if finished is None:
            hint = f"; {of_session[0].folder.name} is not finished" if of_session else ""
            raise MissingFault(f"no finished run of session {name!r} in {folder}{hint}: {there}")
        return finished
    matches = [model for model in models if reference in (model.timestamp, model.folder.name)]
    if not matches:
        named = "by its folder, its timestamp or latest:<session name>"
        raise MissingFault(f"no run {reference!r} in {folder} ({named}): {there}")
    if len(matches) > 1:
        names = listing(sorted(model.folder.name for model in matches))
        remedy = f"name the folder or file of one, or keep one of them in {folder}"
        raise Fault(f"{len(matches)} models answer to {reference!r}, {remedy}:\n{names}")
    return matches[0]


def all_runs(models: Path) -> list[Run]:
    """Returns the runs in a folder, oldest first."""
    folders = sorted(models.iterdir()) if models.is_dir() else []
    return [run for folder in folders if (run := Run.at(folder))]


def warn_of_unfinished(session_name: str, models: Path) -> None:
    """Warns of interrupted runs of a session that begins anew, and says how to go on with them."""
    for run in all_runs(models):
        if run.name == session_name:
            with suppress(Fault, OSError), locked(run.lock, run.folder):  # else it is at work, or only read
                if not run.progress.finished:
                    words = "not finished yet; to go on with it: saec train %s"
                    LOG.warning(words, run.folder)


def seeds_in(folder: Path) -> list[Seed]:
    """Returns the reference's models in a folder, one for each epoch."""
    files = sorted(folder.glob(f"*{FILE_SUFFIX}")) if folder.is_dir() else []
    matches = [match for path in files if (match := FILE.fullmatch(path.name))]
    parts = {(m[1], m[3], m[4], m[2]): folder / m.string for m in matches}
    return [
        Seed(file, parts.get((timestamp, name, epoch, "decoder")), timestamp, name, int(epoch))
        for (timestamp, name, epoch, part), file in parts.items()
        if part == "encoder"
    ]


def _script(file: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates TorchScript; these files are nothing else
            require_whole(file)
            return torch.jit.load(file, map_location="cpu").eval()
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Fault(f"{file} is damaged or no TorchScript file ({reason}): restore it from a copy") from error
