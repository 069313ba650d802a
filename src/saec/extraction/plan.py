"""What an extraction session comes to on this machine: all that can be known before a picture is decoded."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saec.config import Config
from saec.data import Cache
from saec.data.batch import Dataset, Kind, Survey
from saec.data.folder import list_pictures
from saec.devices import describe, resolve_device, resolve_precision
from saec.extraction.outputs import Outputs, State
from saec.faults import noting
from saec.files import fingerprint, require_writable
from saec.models import Model
from saec.runs import Run
from saec.seeds import Seed
from saec.session import ExtractionSession, SessionError
from saec.sources import find_source

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionPlan:
    """A checked session: the model it takes, the pictures, where files go, and what is there already."""

    session: ExtractionSession
    source: Run | Seed
    model: Model
    kind: Kind
    survey: Survey
    outputs: Outputs
    settings: dict[str, Any]  # what must be equal for files to be the same
    state: State
    device: torch.device

    @property
    def precision(self) -> str:
        return self.settings["precision"]

    @property
    def pictures(self) -> list[list[Any]]:
        return [list(file) for file in self.kind.files]

    def key(self, data: Dataset) -> str:
        """What a killed extraction must share with this one for it to go on."""
        return fingerprint(self.settings, data.fingerprint)

    def __str__(self) -> str:
        shape = "x".join(map(str, self.survey.front.shape))
        return (
            f"{self.survey.n_samples:,} pictures {shape} (channels x height x width): {self.kind.folder}\n"
            f"model of {self.source.folder}, {describe(self.device)} ({self.device}), {self.precision}\n"
            f"files of {self.outputs.id} in {self.outputs.folder}: {self.state}"
        )


def plan_extraction(session: ExtractionSession, config: Config) -> ExtractionPlan:
    """Checks everything that can be checked before pictures are read.

    Raises:
        SessionError: with every fault found, each with its key.
        Fault: the files of this id were made with other settings.
    """
    faults: list[str] = []
    device = noting(faults, "config.device", resolve_device, config.device)
    folder = noting(faults, "data.images", config.data_path, session.data.images)
    out = noting(faults, "out", config.data_path, session.out) if session.out else folder and folder.parent
    out and noting(faults, "out", require_writable, out)
    source = noting(faults, "run", find_source, session.run, config)
    model = source and noting(faults, "run", source.model, session.weights)
    kind = folder and noting(faults, "data.images", _kind, source, folder, config)
    survey = kind and noting(faults, "data.images", kind.survey)
    if model and survey:
        front = noting(faults, "data.images", survey.front.fitted, model.height, model.time_pool)
        survey = front and Survey(survey.n_samples, survey.n_bytes, front)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    settings = _settings(session, source, folder, device)
    outputs = Outputs.of(out, source.timestamp, session.variant)
    state = outputs.state(settings, [list(file) for file in kind.files], session.overwrite)
    return ExtractionPlan(session, source, model, kind, survey, outputs, settings, state, device)


def _kind(source: Run | Seed | None, folder: Path, config: Config) -> Kind | None:
    """The pictures as the run read its own, but all of them: features of a folder are complete."""
    if source is None:
        list_pictures(folder)  # at least this can be said of the folder
        return None
    return source.data.model_copy(update={"limit": None})(folder, Cache.of(config))


def _settings(
    session: ExtractionSession, source: Run | Seed, folder: Path, device: torch.device
) -> dict[str, Any]:
    asked = "fp32" if session.precision == "auto" and isinstance(source, Seed) else session.precision
    return {
        "run": source.folder.name,
        "images": str(folder),
        "weights": source.which(session.weights),
        "pooling": session.pooling.model_dump(mode="json"),
        "reduction": session.reduction.model_dump(mode="json") if session.reduction else None,
        "latents": session.latents,
        "precision": resolve_precision(asked, device),
    }
