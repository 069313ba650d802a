"""What an extraction session comes to on this machine: all that can be known before a picture is decoded."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saec.config import Config
from saec.data import Cache
from saec.data.batch import Dataset, Kind, Survey
from saec.data.folder import list_pictures
from saec.devices import computing, describe, placed, resolve_device, resolve_precision
from saec.export import require_packages
from saec.extraction.outputs import Outputs, State
from saec.faults import Fault, noting
from saec.files import GB, fingerprint, require_room, require_writable
from saec.models import Model, feature_shape
from saec.progress import duration
from saec.runs import Run
from saec.seeds import Seed
from saec.session import ExtractionSession, PictureFolder, SessionError
from saec.sources import find_source


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
    def n_bytes(self) -> int:
        """Of the latents."""
        size = np.dtype(self.session.latents).itemsize
        return self.survey.n_samples * size * math.prod(feature_shape(self.model, self.survey.front.shape))

    def key(self, data: Dataset) -> str:
        """What a killed extraction must share with this one for it to go on."""
        return fingerprint(self.settings, data.fingerprint, data.about["colormap"])

    def __str__(self) -> str:
        shape = "x".join(map(str, self.survey.front.shape))
        return (
            f"{self.survey.n_samples:,} pictures {shape} (channels x height x width): {self.kind.folder}\n"
            f"{self.survey.room}\n"
            f"model of {self.source.folder}, {describe(self.device)} ({self.device}), {self.precision}\n"
            f"files of {self.outputs.id} in {self.outputs.folder}: {self.state}"
            f"{self._cost() if self.state == 'new' else ''}"
        )

    def _cost(self) -> str:
        """Room and time for all pictures, the time from the second of two batches of random ones."""
        channels, height, width = self.survey.front.shape
        pictures = torch.rand(min(8, self.survey.n_samples), channels, height, width, device=self.device)
        model = placed(self.model, self.device, self.precision)
        seconds = 0.0
        for _ in range(2):
            started = time.perf_counter()
            with torch.no_grad(), computing(self.device, self.precision):
                model(pictures).sum().item()
            seconds = time.perf_counter() - started
        seconds *= self.survey.n_samples / len(pictures)
        return f", {self.n_bytes / GB:.2f} GB, about {duration(seconds)} to encode"


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
    if out:
        noting(faults, "out", _require_place, out, folder)
    noting(faults, "config.cache", require_writable, config.cache)
    source = noting(faults, "run", find_source, session.run, config)
    model = source and noting(faults, "run", source.model, session.weights)
    if session.backend == "onnx":
        noting(faults, "backend", _require_onnx, session, device, model)
    kind = folder and noting(faults, "data.images", _kind, source, folder, session.data, config)
    survey = kind and noting(faults, "data.images", kind.survey)
    if model and survey:
        front = noting(faults, "data.images", survey.front.fitted, model.height, model.time_pool)
        survey = front and replace(survey, front=front)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    settings = _settings(session, source, folder, device)
    outputs = Outputs.of(out, source.timestamp, session.variant)
    state = outputs.state(settings, kind.files, session.overwrite)
    pictures = session.data.model_copy(update={"images": str(folder)})
    session = session.but(data=pictures, out=str(out), precision=settings["precision"])
    plan = ExtractionPlan(session, source, model, kind, survey, outputs, settings, state, device)
    if state != "same":
        require_room(out, 2 * plan.n_bytes, "latents and what they are assembled from")
    return plan


def _require_onnx(session: ExtractionSession, device: torch.device | None, model: Model | None) -> None:
    """Raises a `Fault` where ONNX Runtime cannot encode: no packages, another device, bf16, a script."""
    require_packages("onnx")
    if device and device.type != "cpu":
        raise Fault(f"onnx encodes on the CPU, the config says {device}: `device: cpu`, or `backend: torch`")
    if session.precision == "bf16":
        raise Fault("onnx encodes in fp32: choose `precision: fp32`, or `backend: torch`")
    if model and isinstance(model.encoder, torch.jit.ScriptModule):
        raise Fault("the encoder is a program of unknown architecture: choose `backend: torch`")


def _require_place(out: Path, folder: Path) -> None:
    """Raises a `Fault` where features cannot be written, or would lie among the pictures."""
    if out == folder:
        raise Fault(
            f"{out} holds the pictures themselves: choose another folder, or null for the one above it"
        )
    require_writable(out)


def _kind(source: Run | Seed | None, folder: Path, asked: PictureFolder, config: Config) -> Kind | None:
    """The pictures as the run read its own, but all of them: features of a folder are complete."""
    if source is None:
        list_pictures(folder)  # at least this can be said of the folder
        return None
    changes = {"fit": asked.fit, "skip_bad": asked.skip_bad}
    said = {key: value for key, value in changes.items() if value is not None}
    return source.data.model_copy(update={"limit": None} | said)(folder, Cache.of(config))


def _settings(
    session: ExtractionSession, source: Run | Seed, folder: Path, device: torch.device
) -> dict[str, Any]:
    always = isinstance(source, Seed) or session.backend == "onnx"
    asked = "fp32" if session.precision == "auto" and always else session.precision
    return {
        "run": source.folder.name,
        "images": str(folder),
        "fit": session.data.fit,
        "skip_bad": session.data.skip_bad,
        "weights": source.which(session.weights),
        "pooling": session.pooling.model_dump(mode="json"),
        "reduction": session.reduction.model_dump(mode="json") if session.reduction else None,
        "latents": session.latents,
        "precision": resolve_precision(asked, device),
        "backend": None if session.backend == "torch" else session.backend,
    }
