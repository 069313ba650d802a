"""Defines the sources `run`, a trained model or one of the reference, and `extractor`, a formula."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from saec.config import Config
from saec.data import DATA, Dataset, Raw
from saec.data.batch import chunks_by_length
from saec.data.kind import faults_of_ragged
from saec.devices import Precision, computing, describe, resolve_device, resolve_precision, to_device
from saec.export import OnnxEncoder, require_packages
from saec.extraction.data import ExtractionData
from saec.extraction.parts import Shapes
from saec.extraction.sources.base import SOURCES, Computed, Source
from saec.faults import Fault, collect_faults
from saec.features import CODES, POOLINGS, n_trimmed, pool, settled
from saec.gallery import show_folder
from saec.models import Model
from saec.models.base import Tap, find_tap, fold_batch_norms, run_in_pieces
from saec.objectives import Objective
from saec.registry import Component
from saec.runs import Run
from saec.runs.find import Seed, find_trained
from saec.session import Weights
from saec.sound.handcrafted import EXTRACTORS, Handcrafted

LOG = logging.getLogger(__name__)
BATCH_PIXELS = 2**21  # of all pictures of a batch: 64 of 128 x 256
BATCH_SOUNDS = 64  # of an extractor
BATCH_STORED = 2**25  # stored numbers of a batch, where a sample has more of them than its picture


@dataclass
class RunSource(Source):
    """Encodes samples as the model's training saw them, in batches of one size: a row does not depend on the
    other samples.
    """

    trained: Run | Seed
    model: Model
    objective: Objective | None  # where its head has something to say
    tap: Tap
    pooling: Component  # of POOLINGS
    n_drawn: int

    @property
    def are(self) -> str:
        """Returns the name of the array of latents: those of samples with own lengths are codes."""
        return CODES if self.sizes.is_ragged and self.tap.at != "head" else "X"

    @cached_property
    def _of_zeros(self) -> dict[str, Tensor]:
        return self._encode(self.model.encoder, self._zeros)

    @cached_property
    def _zeros(self) -> Tensor:
        device = next(self.model.parameters()).device  # before it is moved to be fast
        return torch.zeros(1, *self.sizes.front.shape, device=device)

    @cached_property
    def _n_rows(self) -> int:
        """Returns how many rows latents have in a channel."""
        return self._tapped(self.model.encoder, self._zeros)[0].shape[2]

    @cached_property
    def shapes(self) -> Shapes:
        rows = {name: tuple(array.shape[1:]) for name, array in self._of_zeros.items()}
        if self.are == CODES:
            rows[CODES] = rows[CODES][:1]
        else:
            self._warn_of_few(rows["X"][1])
        kinds = {self.are: np.dtype(self.settings["latents"]).type}
        return {name: (shape, kinds.get(name, np.float32)) for name, shape in rows.items()}

    def _warn_of_few(self, n_steps: int) -> None:
        trim, is_vector = self.pooling.trim, n_steps == 1 and self.model.width is not None
        if trim and not is_vector and n_trimmed(n_steps, trim) == 0:
            words = "latents have %d time steps, too few to trim %g of each side: all are kept"
            LOG.warning(words, n_steps, trim)

    def offsets(self, data: Dataset) -> np.ndarray:
        if self.are != CODES:
            return super().offsets(data)
        stride = self.sizes.front.shape[2] // self._of_zeros[CODES].shape[2]
        return np.concatenate([[0], np.cumsum(-(-data.n_frames // stride))])

    @property
    def derived(self) -> dict[str, str]:
        return {"pooled": "pooling"} if self.settings["latents"] == "float32" else {}

    def derive(self, latents: Tensor, n_steps: Tensor | None = None) -> dict[str, Tensor]:
        return {"pooled": pool(self.pooling, latents.unflatten(1, (-1, self._n_rows)), n_steps)}

    def describe(self) -> str:
        where = f"{describe(self.device)} ({self.device})"
        drawn = ", no decoder: no reconstructions" if self.n_drawn and self.model.decoder is None else ""
        return f"model of {self.path}, {where}, {self.settings['precision']}{drawn}"

    @torch.no_grad()
    def seconds(self) -> float:
        """Measures how long the model takes: the second of two batches of random numbers, times all."""
        precision = self.settings["precision"]
        pictures = torch.rand(min(8, self.sizes.n_samples), *self.sizes.front.shape, device=self.device)
        model = to_device(self.model, self.device, precision)
        for _ in range(2):
            started = time.perf_counter()
            with computing(self.device, precision):
                model(pictures).sum().item()
            seconds = time.perf_counter() - started
        n_widths = (self.sizes.mean_frames or pictures.shape[3]) / pictures.shape[3]
        return seconds * n_widths * self.sizes.n_samples / len(pictures)

    @cached_property
    def fast_model(self) -> Model:
        """Returns the model as it encodes fastest: batch norms folded, on the device, in its backend."""
        fold_batch_norms(self.model.encoder)
        model = to_device(self.model, self.device, self.settings["precision"])
        self.objective = self.objective and self.objective.to(self.device)
        if self.settings["backend"] == "onnx":
            model.encoder = OnnxEncoder(model, self.sizes.front.shape)
        return model

    def sized(self, data: Dataset) -> Dataset:
        colormap, trained_on = data.about.get("colormap"), self.trained.colormap
        if self.trained.channels == 3 and trained_on not in (None, colormap):
            # colours mean nothing to a model of others; intensity is the same in every map
            words = "the model was trained on colour map %s, these pictures have %s"
            LOG.warning(words, trained_on, colormap)
        return data.sized_for(*self.model.takes)

    def batch_size(self, data: Dataset) -> int:
        pixels, n_stored = data.shape[1] * data.shape[2], int(np.prod(data.stored.shape[1:]))
        if self.are == CODES:
            channels, longest = *self.shapes[CODES][0], int(np.diff(self.offsets(data)).max(initial=1))
            n_stored = max(n_stored, channels * longest)
        return max(1, min(BATCH_PIXELS // pixels, BATCH_STORED // n_stored))

    def pieces(self, rows: np.ndarray, data: Dataset) -> Iterable[np.ndarray]:
        if self.are != CODES:
            return super().pieces(rows, data)
        n_steps, most = np.diff(self.offsets(data)), max(1, BATCH_PIXELS // (data.shape[1] * data.shape[2]))
        return chunks_by_length(rows, n_steps, most, BATCH_STORED // self.shapes[CODES][0][0])

    def rows(self, data: Dataset, stored: Raw, n: int) -> dict[str, Tensor]:
        arrays = self._encode(self.fast_model.encoder, data.front(stored), data.lengths(stored))
        return {name: array[:n] for name, array in arrays.items()}

    @torch.no_grad()
    def _encode(
        self, encoder: nn.Module, pictures: Tensor, lengths: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns `X` or `codes`, what comes out at the tap, (n, channels, time), `pooled`, (n, features),
        and of a classifier `probabilities`, (n, classes).
        """
        codes, logits = self._tapped(encoder, pictures, lengths)
        stride, n_steps = pictures.shape[-1] // codes.shape[-1], None
        if lengths is not None and self.are == CODES:
            n_steps = (lengths + stride - 1) // stride
        arrays = {self.are: codes.flatten(1, 2), "pooled": pool(self.pooling, codes, n_steps)}
        if self.classes and logits is not None:
            arrays["probabilities"] = logits.softmax(dim=1)
        return arrays

    @torch.no_grad()
    def _tapped(
        self, encoder: nn.Module, pictures: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Returns what comes out at the tap, (n, channels, rows, time), and what a head gives, if any."""
        with computing(self.device, self.settings["precision"]):
            tapped, latents = run_in_pieces(self.model, encoder, pictures, self.tap, lengths)
        logits = self.objective.logits(latents, self.model.n_steps(lengths)) if self.objective else None
        codes = tapped.float() if logits is None or self.tap.at != "head" else logits[:, :, None, None]
        return codes.contiguous(), logits  # as rows that are read again, which are pooled to the same bits

    def draw(self, computed: Computed, file: Path) -> None:
        """Draws some samples beside what the decoder makes of their latents."""
        if self.n_drawn and self.model.decoder is not None:
            how = self.n_drawn, self.device, self.settings["precision"]
            show_folder(self.fast_model, computed.data, *how, file)


@SOURCES.register("run")
def run(
    reference: str,
    data: ExtractionData,
    config: Config,
    faults: list[str],
    *,
    weights: Weights = "best",
    tap: str | None = None,
    layers_dropped: NonNegativeInt | None = None,
    pooling: Annotated[Any, POOLINGS] = "mean_std",
    latents: Literal["float32", "float16"] = "float32",
    precision: Precision = "auto",
    backend: Literal["torch", "onnx"] = "torch",
    reconstructions: Annotated[int, Field(ge=0)] = 64,
) -> RunSource | None:
    """Builds the source of a run, or of a model of the reference by its timestamp.

    `tap` names a block of the encoder whose output is taken in place of the latents; `layers_dropped` counts
    blocks from the end, over the encoder, then the head (0: what the head gives).
    """
    device = collect_faults(faults, "config.device", resolve_device, config.device)
    trained = collect_faults(faults, "run", find_trained, reference, config)
    state = collect_faults(faults, "run", trained.load, weights) if trained else None  # it may be replaced
    model = collect_faults(faults, "run", trained.model, weights, state) if trained and state else None
    collect_faults(faults, "backend", _require_backend, backend, precision, device, model)
    key = f"data.{data.key}"
    if trained is None:
        collect_faults(faults, key, data.require_files, config)
        return None
    kind = collect_faults(faults, key, data.open, trained.folder.name, trained.data, config)
    sizes = collect_faults(faults, key, kind.sizes) if kind else None
    front = model and sizes and collect_faults(faults, key, sizes.front.sized_for, *model.takes)
    taps = (tap, layers_dropped, weights, state, backend)
    head = model and collect_faults(faults, "run", _head_and_tap, trained, model, *taps)
    if sizes and sizes.is_ragged:
        refused = {
            "backend": (backend == "onnx", "torch"),
            "pooling": (pooling.name == "flatten", "mean_std"),
        }
        faults += faults_of_ragged(sizes.samples_are, refused)
    if not (kind and sizes and model and front and head and device):
        return None
    objective, at = head
    classes = tuple(objective.classes) if objective is not None and objective.needs_labels else ()
    if precision == "auto" and (isinstance(trained, Seed) or backend == "onnx"):
        precision = "fp32"
    pooling = settled(pooling, trained.middle)
    settings: dict[str, Any] = {"run": trained.folder.name, "weights": trained.which(weights, state)}
    settings |= {"tap": tap if layers_dropped is None else layers_dropped}
    settings |= {"pooling": pooling.model_dump(mode="json"), "latents": latents}
    settings |= {"precision": resolve_precision(precision, device)}
    settings |= {"backend": None if backend == "torch" else backend}
    files = {"X": "full_features", "pooled": f"pooled_{pooling.name}"}
    if sizes.is_ragged and at.at != "head":
        files = {"pooled": files["pooled"], CODES: CODES}
    files |= {"probabilities": "probabilities"} if classes else {}
    described = (trained.timestamp, trained.folder, data, kind, replace(sizes, front=front), settings, files)
    own = (trained, model.eval(), objective, at, pooling, reconstructions)
    return RunSource(*described, *own, classes=classes, device=device)


def _head_and_tap(
    trained: Run | Seed,
    model: Model,
    tap: str | None,
    layers_dropped: int | None,
    weights: Weights,
    state: dict[str, Any],
    backend: str,
) -> tuple[Objective | None, Tap]:
    """Returns the objective whose head names classes, or is tapped, and where features are taken.

    Raises:
        Fault: the model has no such block.
    """
    tapped = tap is not None or layers_dropped is not None
    if tap is not None and layers_dropped is not None:
        raise Fault("`tap` and `layers_dropped` both say where features are taken: keep one")
    learnt_by = trained.session.objective.target if isinstance(trained, Run) else Objective
    if not (tapped or learnt_by.needs_labels):
        return None, Tap("latents")
    if tapped and (backend == "onnx" or isinstance(model.encoder, torch.jit.ScriptModule)):
        raise Fault("`tap` and `layers_dropped` need the encoder's blocks: choose `backend: torch` and a run")
    objective = trained.objective(weights, state) if isinstance(trained, Run) else None
    has_head = objective is not None and objective.head is not None
    at = find_tap(model, tap, layers_dropped, has_head)
    return (objective if at.at == "head" or (has_head and learnt_by.needs_labels) else None), at


def _require_backend(
    backend: str, precision: Precision, device: torch.device | None, model: Model | None
) -> None:
    """Raises a `Fault` where ONNX Runtime cannot encode: no packages, another device, bf16, a script."""
    if backend == "torch":
        return
    require_packages("onnx")
    if device and device.type != "cpu":
        raise Fault(f"onnx encodes on the CPU, the config says {device}: `device: cpu`, or `backend: torch`")
    if precision == "bf16":
        raise Fault("onnx encodes in fp32: choose `precision: fp32`, or `backend: torch`")
    if model and isinstance(model.encoder, torch.jit.ScriptModule):
        raise Fault("the encoder is a program of unknown architecture: choose `backend: torch`")


@dataclass
class HandcraftedSource(Source):
    """Computes features on the CPU, sample by sample."""

    extractor: Handcrafted

    @property
    def shapes(self) -> Shapes:
        return {"pooled": ((len(self.extractor.names),), np.float32)}

    def describe(self) -> str:
        return "hand-crafted features"

    def batch_size(self, data: Dataset) -> int:
        return BATCH_SOUNDS

    def rows(self, data: Dataset, stored: Raw, n: int) -> dict[str, Tensor]:
        sounds = zip(stored.values[:n].numpy(), stored.n_steps[:n].tolist(), strict=True)
        rows = [self.extractor(sound[:length]) for sound, length in sounds]
        return {"pooled": torch.from_numpy(np.stack(rows))}


@SOURCES.register("extractor")
def extractor(
    component: Annotated[Component, EXTRACTORS], data: ExtractionData, config: Config, faults: list[str]
) -> HandcraftedSource | None:
    """Builds the source of features by a formula; the extractor's options cut and resample recordings."""
    made = component()
    hop = max(2, round(made.windows["step_s"] * made.listening["sample_rate"]))
    spectrum = {"name": "linear", "n_fft": 2 * hop, "hop_length": hop}  # never computed, but fits any rate
    options = {"kind": "audio", "train": "", "length_s": "longest", "spectrum": spectrum}
    options = DATA.parse(options | made.listening)
    kind = collect_faults(faults, f"data.{data.key}", data.open, component.name, options, config)
    sizes = kind and collect_faults(faults, f"data.{data.key}", kind.sizes)
    if not (kind and sizes):
        return None
    settings = {"run": component.name, "weights": component.model_dump(mode="json")}
    files = {"pooled": f"pooled_{component.name}"}
    return HandcraftedSource(component.name, Path(component.name), data, kind, sizes, settings, files, made)
