"""A planned extraction: what it takes, what it will make where, and what that costs on this machine."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saec.data import Dataset, Survey
from saec.data.kinds import Kind
from saec.devices import computing, describe, placed
from saec.extraction.crafted import Crafted
from saec.extraction.outputs import Outputs, State
from saec.files import GB, fingerprint
from saec.models import Model
from saec.models.taps import Tapped
from saec.objectives import Objective
from saec.progress import duration
from saec.runs import Run
from saec.seeds import Seed
from saec.session import ExtractionSession


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

    def __str__(self) -> str:
        shape = "x".join(map(str, self.survey.front.shape))
        how = f"model of {self.source.folder}, {describe(self.device)} ({self.device}), {self.precision}"
        what = f"{self.survey.n_samples:,} {self.survey.what} {shape} (channels x height x width)"
        return (
            f"{what}: {self.kind.folder}\n"
            f"{self.survey.room}\n"
            f"{how if self.model else 'hand-crafted features'}\n"
            f"files of {self.outputs.id} in {self.outputs.folder}: {self.state}"
            f"{self._cost() if self.state == 'new' else ''}"
        )

    def _cost(self) -> str:
        """Room and time for all samples, the time from the second of two batches of random ones."""
        if self.model is None:
            return f", {self.n_bytes / GB:.2f} GB"
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
