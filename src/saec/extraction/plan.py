"""What an extraction session comes to on this machine: all that can be known before a sample is decoded."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from saec.config import Config
from saec.data import DATA, Cache, Dataset, Survey
from saec.data.decoding import list_pictures
from saec.data.kinds import Kind, Place, absolute, paths_of
from saec.devices import computing, describe, resolve_device, resolve_precision, to_device
from saec.export import require_packages
from saec.extraction.crafted import Crafted
from saec.extraction.outputs import Outputs, State
from saec.faults import Fault, collect_faults
from saec.files import GB, fingerprint, require_room, require_writable
from saec.models import Model
from saec.models.base import Tapped, blocks_kept
from saec.objectives import Objective
from saec.progress import duration
from saec.runs import Run
from saec.runs.find import find_trained
from saec.runs.seeds import Seed
from saec.session import ExtractionSession, Samples, SessionError


@dataclass(frozen=True)
class ExtractionPlan:
    """A checked session: the model it takes, the samples, where files go, and what is there already."""

    session: ExtractionSession
    source: Run | Seed | Crafted
    model: Model | None  # None: features are hand-crafted
    kind: Kind
    survey: Survey
    outputs: Outputs
    settings: dict[str, Any]  # what must be equal for files to be the same
    state: State
    device: torch.device
    objective: Objective | None = None  # where its head has something to say
    n_kept: int | None = None  # blocks that are gone through; None: the encoder's, -1: the head, too

    @property
    def precision(self) -> str:
        return self.settings["precision"]

    @property
    def n_bytes(self) -> int:
        """Of the latents, or of hand-crafted features."""
        if self.model is None:
            return self.survey.n_samples * 4 * len(self.source.component().names)
        size = np.dtype(self.session.latents).itemsize
        return self.survey.n_samples * size * self._n_numbers

    @property
    @torch.no_grad()
    def _n_numbers(self) -> int:
        """Of one sample where the model is tapped."""
        n_kept = None if self.n_kept == -1 else self.n_kept
        zeros = torch.zeros(1, *self.survey.front.shape, device=next(self.model.parameters()).device)
        return Tapped(self.model.encoder, n_kept).eval()(zeros)[0].numel()

    @property
    def files_of_rows(self) -> dict[str, Path]:
        """Where each array of rows goes."""
        if self.model is None:
            return {"pooled": self.outputs.pooled(self.source.component.name)}
        files = {"X": self.outputs.latents, "pooled": self.outputs.pooled(self.session.pooling.name)}
        names_classes = self.objective and self.objective.needs_labels
        return files | ({"probabilities": self.outputs.probabilities} if names_classes else {})

    def key(self, data: Dataset) -> str:
        """What a killed extraction must share with this one for it to go on."""
        return fingerprint(self.settings, data.fingerprint, data.about.get("colormap"))

    def describe(self) -> str:
        shape = "x".join(map(str, self.survey.front.shape))
        how = f"model of {self.source.folder}, {describe(self.device)} ({self.device}), {self.precision}"
        what = f"{self.survey.n_samples:,} {self.survey.what} {shape} (channels x height x width)"
        return (
            f"{what}: {self.kind.folder}\n"
            f"{self.survey.room}\n"
            f"{how if self.model else 'hand-crafted features'}\n"
            f"files of {self.outputs.id} in {self.outputs.folder}: {self.state}"
        )

    def estimate(self) -> str:
        """Room and time for all samples, the time from the second of two batches of random ones."""
        if self.state != "new":
            return ""
        if self.model is None:
            return f"{self.n_bytes / GB:.2f} GB"
        channels, height, width = self.survey.front.shape
        pictures = torch.rand(min(8, self.survey.n_samples), channels, height, width, device=self.device)
        model = to_device(self.model, self.device, self.precision)
        seconds = 0.0
        for _ in range(2):
            started = time.perf_counter()
            with torch.no_grad(), computing(self.device, self.precision):
                model(pictures).sum().item()
            seconds = time.perf_counter() - started
        seconds *= self.survey.n_samples / len(pictures)
        return f"{self.n_bytes / GB:.2f} GB, about {duration(seconds)} to encode"


def plan_features(session: ExtractionSession, config: Config) -> ExtractionPlan:
    """Checks everything that can be checked before samples are read.

    Raises:
        SessionError: with every fault found, each with its key.
        Fault: the files of this id were made with other settings.
    """
    faults: list[str] = []
    key = f"data.{session.data.key}"
    device = collect_faults(faults, "config.device", resolve_device, config.device)
    place = collect_faults(faults, key, absolute, session.data.place, config)
    out = collect_faults(faults, "out", config.data_path, session.out) if session.out else None
    collect_faults(faults, "config.cache", require_writable, config.cache)
    source, model = _source(session, config, faults)
    if session.backend == "onnx":
        collect_faults(faults, "backend", _require_onnx, session, device, model)
    kind = place and collect_faults(faults, key, _kind, source, place, session.data, config)
    survey = kind and collect_faults(faults, key, kind.survey)
    out = out or (kind and beside(place, kind)) or None
    if out:
        collect_faults(
            faults, "out", _require_place, out, kind.folder if kind and session.data.images else None
        )
    if model and survey:
        front = collect_faults(faults, key, survey.front.sized_for, *model.takes)
        survey = front and replace(survey, front=front)
    objective, n_kept = (model and collect_faults(faults, "run", _answering, session, source, model)) or (
        None,
        None,
    )
    if faults:
        raise SessionError(f"session {session.name}", faults)
    settings = _settings(session, source, place, device)
    outputs = Outputs.of(out, source.timestamp, session.variant)
    state = outputs.state(settings, kind.files, session.overwrite)
    samples = session.data.model_copy(update={session.data.key: place})
    session = session.but(data=samples, out=str(out), precision=settings["precision"])
    plan = ExtractionPlan(
        session, source, model, kind, survey, outputs, settings, state, device, objective, n_kept
    )
    if state != "same":
        require_room(out, 2 * plan.n_bytes, "features and what they are assembled from")
    return plan


def _source(
    session: ExtractionSession, config: Config, faults: list[str]
) -> tuple[Run | Seed | Crafted | None, Model | None]:
    if session.extractor is not None:
        return Crafted(session.extractor), None
    source = collect_faults(faults, "run", find_trained, session.run, config)
    return source, source and collect_faults(faults, "run", source.model, session.weights)


def _answering(
    session: ExtractionSession, source: Run | Seed, model: Model
) -> tuple[Objective | None, int | None]:
    """The objective whose head names classes, or is tapped, and the number of blocks that are gone through.

    Raises:
        Fault: the model has no such block.
    """
    learnt_by = source.session.objective.target if isinstance(source, Run) else None
    tapped = session.tap is not None or session.layers_dropped is not None
    if not (tapped or (learnt_by and learnt_by.needs_labels)):
        return None, None
    if tapped and (session.backend == "onnx" or isinstance(model.encoder, torch.jit.ScriptModule)):
        raise Fault("`tap` and `layers_dropped` need the encoder's blocks: choose `backend: torch` and a run")
    objective = source.objective(session.weights) if learnt_by else None
    has_head = objective is not None and objective.head is not None
    n_kept = blocks_kept(model, session.tap, session.layers_dropped, has_head)
    return (objective if n_kept == -1 or (has_head and objective.needs_labels) else None), n_kept


def _require_onnx(session: ExtractionSession, device: torch.device | None, model: Model | None) -> None:
    """Raises a `Fault` where ONNX Runtime cannot encode: no packages, another device, bf16, a script."""
    require_packages("onnx")
    if device and device.type != "cpu":
        raise Fault(f"onnx encodes on the CPU, the config says {device}: `device: cpu`, or `backend: torch`")
    if session.precision == "bf16":
        raise Fault("onnx encodes in fp32: choose `precision: fp32`, or `backend: torch`")
    if model and isinstance(model.encoder, torch.jit.ScriptModule):
        raise Fault("the encoder is a program of unknown architecture: choose `backend: torch`")


def _require_place(out: Path, folder: Path | None) -> None:
    """Raises a `Fault` where features cannot be written, or would lie among the pictures."""
    if out == folder:
        raise Fault(
            f"{out} holds the pictures themselves: choose another folder, or null for the one above it"
        )
    require_writable(out)


def beside(place: Place, kind: Kind) -> Path:
    """Where features lie: beside the folder, or with the table, the recording or the class folders."""
    return kind.folder.parent if place == str(kind.folder) else kind.folder


def _kind(source: Run | Seed | Crafted | None, place: Place, asked: Samples, config: Config) -> Kind | None:
    """The samples as the run read its own, but all of them: features of a folder are complete.

    Raises:
        Fault: the place is not there, or the run was trained on another kind of data.
    """
    if source is None:
        if asked.images:
            list_pictures(Path(place))  # at least this can be said of the folder
        return None
    of = {"images": "images", "audio": "sounds"}[source.data.kind]
    if asked.key != of:
        raise Fault(f"{source.folder.name} takes {of}: say `data: {{{of}: ...}}`, not `{asked.key}`")
    try:
        data = DATA.parse(source.data.model_dump() | {"limit": None} | asked.changes)
    except ValidationError as error:
        raise Fault("; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())) from error
    return data(paths_of(place), Cache.of(config))


def _settings(
    session: ExtractionSession, source: Run | Seed | Crafted, place: Place, device: torch.device
) -> dict[str, Any]:
    always = isinstance(source, Seed) or session.backend == "onnx"
    asked = "fp32" if session.precision == "auto" and always else session.precision
    return {
        "run": source.folder.name,
        session.data.key: list(place) if isinstance(place, tuple) else place,
        "fit": session.data.fit,
        "skip_bad": session.data.skip_bad,
        "segment_s": session.data.segment_s,
        "step_s": session.data.step_s,
        "weights": source.which(session.weights),
        "tap": session.tap if session.layers_dropped is None else session.layers_dropped,
        "pooling": session.pooling.model_dump(mode="json"),
        "reduction": session.reduction.model_dump(mode="json") if session.reduction else None,
        "latents": session.latents,
        "precision": resolve_precision(asked, device),
        "backend": None if session.backend == "torch" else session.backend,
    }
