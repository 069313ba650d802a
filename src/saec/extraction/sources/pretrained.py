"""Defines the source `pretrained`: an encoder from elsewhere, on windows of sound or on pictures."""

import logging
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from saec.config import Config
from saec.data import DATA, Dataset, Raw
from saec.data.audio import MOST_WHOLE_S
from saec.data.fronts import SoundFront
from saec.data.kind import DataOptions, Kind
from saec.devices import computing, describe, resolve_device
from saec.extraction.data import ExtractionData
from saec.extraction.parts import Shapes
from saec.extraction.sources.base import SOURCES, Source
from saec.extraction.sources.encoders import Encode, of_torchvision, published, read_encoder, require_readable
from saec.faults import Fault, collect_faults
from saec.registry import Strict
from saec.session import Digest
from saec.sound.inputs import INPUTS
from saec.training.weights import read_whole

LOG = logging.getLogger(__name__)
BATCH_NUMBERS = 2**22  # of all windows of a batch, as they are given to the model
MOST_IN_A_BATCH = 64
ALIKE = 1e-3  # of the largest number of each feature: rows of a batch and rows alone
ROUNDING = 1e-6  # of the mean over all features of these
MUCH = 0.5  # of what the model gets, that is filled up with zeros
Pixels = Annotated[int, Field(gt=0, le=4096)]
HINT = " (docs/pretrained.md says where models come from)"
AXES = "chw"  # channels, rows (the highest frequency on top), columns (time)


class Pretrained(Strict):
    """Says where an encoder is and what it takes.

    `torchvision` is the name of a model there, of which `file` holds the weights (null: its own). `constants`
    are given to a model's other inputs; `mean_over` names axes of the output over which it is averaged.
    """

    file: str | None = None
    torchvision: str | None = None
    sha256: Digest | None = None
    trust: bool = False
    input: Annotated[Any, INPUTS] = "waveform"
    sample_rate: Annotated[int, Field(ge=100, le=1_000_000)] | None = None
    window_s: Annotated[float, Field(gt=0, le=MOST_WHOLE_S)] | None = None
    step_s: PositiveFloat | None = None
    channels: Literal[1, 3] = 1
    size: tuple[Pixels, Pixels] | None = None  # height and width
    mean: tuple[float, ...] = (0.0,)  # taken away, one number or one a channel
    std: tuple[PositiveFloat, ...] = (1.0,)  # then divided by
    low_first: bool = False
    layout: Annotated[str, Field(pattern="^[chw]{1,3}$")] | None = None
    output: str | int | None = None
    mean_over: tuple[PositiveInt, ...] = ()
    constants: dict[str, float | int] = {}

    @property
    def takes_pictures(self) -> bool:
        return self.input.name == "image"

    @property
    def n_samples(self) -> int:
        """Returns the samples of a window of sound; 0 where pictures are taken."""
        return round((self.window_s or 0) * (self.sample_rate or 0))

    @property
    def axes(self) -> str:
        return self.layout or ("w" if self.input.name == "waveform" else AXES)

    @model_validator(mode="after")
    def _fits_together(self) -> "Pretrained":
        if not (self.file or self.torchvision):
            raise ValueError("name a `file`, or a `torchvision` model")
        of_sound = {key: getattr(self, key) for key in ("sample_rate", "window_s", "step_s")}
        if self.takes_pictures and (given := [key for key, value in of_sound.items() if value is not None]):
            raise ValueError(f"`{given[0]}` is of sound, the input is an image: leave it out")
        if not self.takes_pictures and not (self.sample_rate and self.window_s):
            raise ValueError(
                "sound needs `sample_rate` and `window_s`, those that the model was trained with"
            )
        if {len(self.mean), len(self.std)} - {1, self.channels}:
            raise ValueError(f"`mean` and `std` have one number, or one for each of {self.channels} channels")
        if len({*self.axes}) < len(self.axes):
            raise ValueError(f"`layout` names each of c, h and w once, got {self.layout!r}")
        return self

    def arranged(self, seen: Tensor) -> Tensor:
        """Returns (batch, channels, rows, columns) as the model takes it.

        Raises:
            Fault: the layout leaves out an axis that is not of size 1.
        """
        seen = seen.expand(-1, self.channels, -1, -1)
        if self.size:
            seen = F.interpolate(seen, self.size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=seen.device).view(-1, 1, 1) for v in (self.mean, self.std))
        seen = (seen - mean) / std
        seen = seen.flip(2) if self.low_first else seen
        order = [1 + AXES.index(axis) for axis in self.axes]
        left_out = [axis for axis in (1, 2, 3) if axis not in order]
        if any(seen.shape[axis] > 1 for axis in left_out):
            shape = " x ".join(map(str, seen.shape[1:]))
            raise Fault(f"layout: {self.axes} leaves out an axis of channels x rows x columns = {shape}")
        return seen.permute(0, *order, *left_out).flatten(len(order)).contiguous()

    def embedding(self, made: Tensor, n: int) -> Tensor:
        """Returns what the model has made of n windows as (n, features); of one alone, whatever its axes."""
        if not made.is_floating_point():
            raise Fault(f"output: the model gives {made.dtype} there, features are numbers with fractions")
        made = made.float()
        if self.mean_over:
            if max(self.mean_over) >= made.ndim:
                raise Fault(f"mean_over: the output has the axes {list(made.shape)}, got {self.mean_over}")
            made = made.mean(dim=self.mean_over)
        return made.reshape(n, -1)


@dataclass
class PretrainedSource(Source):
    """Encodes windows or pictures in batches of one size where the model takes batches, else one by one."""

    how: Pretrained
    encode: Encode
    width: int  # features
    takes_batches: bool
    each_s: float  # seconds that one window takes

    @property
    def shapes(self) -> Shapes:
        return {"pooled": ((self.width,), np.float32)}

    def describe(self) -> str:
        batches = "in batches" if self.takes_batches else "one by one"
        return f"encoder of {self.path}, {describe(self.device)} ({self.device}), {batches}"

    def seconds(self) -> float:
        return self.each_s * self.sizes.n_samples

    def sized(self, data: Dataset) -> Dataset:
        return data if self.how.takes_pictures else replace(data, front=self.sizes.front)

    def batch_size(self, data: Dataset) -> int:
        return max(1, min(MOST_IN_A_BATCH, BATCH_NUMBERS // int(np.prod(data.shape))))

    @torch.inference_mode()
    def rows(self, data: Dataset, stored: Raw, n: int) -> dict[str, Tensor]:
        seen = self.how.arranged(data.front(self._filled(stored)))
        pooled = _encoded(self.how, self.encode, seen, self.takes_batches)[:n]
        if not pooled.isfinite().all():
            what = self.kind.samples_are
            raise Fault(f"the model gives numbers that are not finite of some {what}, perhaps of silent ones")
        return {"pooled": pooled}

    def _filled(self, stored: Raw) -> Raw:
        """Returns sounds with zeros behind, up to a whole window; pictures as they are."""
        if self.how.takes_pictures:
            return stored
        n = self.how.n_samples
        return Raw(F.pad(stored.values, (0, max(0, n - stored.values.shape[1])))[:, :n])


def _encoded(how: Pretrained, encode: Encode, seen: Tensor, at_once: bool) -> Tensor:
    """Returns (n, features) of n windows, at once or one by one."""
    with computing(seen.device, "fp32"):
        if at_once:
            return how.embedding(encode(seen), len(seen))
        return torch.cat([how.embedding(encode(one[None]), 1) for one in seen])


def _are_alike(rows: Tensor, others: Tensor) -> bool:
    """Returns whether rows are equal, each feature by its own size: a large one would hide the others."""
    if rows.shape != others.shape:
        return False
    largest = rows.abs().amax(0)
    return bool(((rows - others).abs() <= ALIKE * largest + ROUNDING * largest.mean()).all())


@torch.inference_mode()
def _tried(
    how: Pretrained, encode: Encode, shape: tuple[int, ...], front: SoundFront | None, device: torch.device
) -> tuple[int, bool, float]:
    """Returns features, whether the model takes batches, and seconds a window, by two windows of noise.

    Raises:
        Fault: the model does not take windows of this shape, gives no finite numbers, or keeps a state.
    """
    noise = torch.Generator().manual_seed(0)
    if front:
        seen = front(Raw(0.1 * torch.randn(2, how.n_samples, generator=noise).to(device)))
    else:
        seen = torch.rand(2, *shape, generator=noise).to(device)
    seen = how.arranged(seen)
    alone = _encoded(how, encode, seen, False)
    started = time.perf_counter()
    again = _encoded(how, encode, seen, False)
    each_s = (time.perf_counter() - started) / 2
    if not alone.isfinite().all():
        raise Fault("the model gives numbers that are not finite, of noise with levels around 0.1")
    if not _are_alike(alone, again):
        raise Fault("the model gives other numbers of the same window a second time: it keeps a state")
    try:
        together = _encoded(how, encode, seen, True)
    except (Fault, RuntimeError):
        return alone.shape[1], False, each_s
    return alone.shape[1], _are_alike(alone, together), each_s


@SOURCES.register("pretrained")
def pretrained(
    how: Pretrained, data: ExtractionData, config: Config, faults: list[str]
) -> PretrainedSource | None:
    """Builds the source of an encoder from elsewhere, after it has been tried on noise."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", how.torchvision or Path(how.file or "").stem)
    device = collect_faults(faults, "config.device", resolve_device, config.device)
    loaded = device and collect_faults(faults, "pretrained", _loaded, how, device, config)
    front = collect_faults(faults, "pretrained.input", _front, how)
    key = f"data.{data.key}"
    kind = collect_faults(faults, key, data.open, f"pretrained {name}", _options(how), config)
    sizes = collect_faults(faults, key, kind.sizes) if kind else None
    if data.segment_s and how.window_s and data.segment_s > how.window_s:
        faults.append(f"data.segment_s: the model's window is {how.window_s:g} s, got {data.segment_s:g} s")
    if not (loaded and kind and sizes) or not (front or how.takes_pictures):
        return None
    encode, digest, device = loaded
    if front and how.window_s:
        sizes = replace(sizes, front=front)
        _warn_of_short(kind, how.window_s)
    tried = (how, encode, sizes.front.shape, front, device)
    described = collect_faults(faults, "pretrained", _tried, *tried)
    if not described:
        return None
    what = how.model_dump(mode="json", exclude={"file", "trust"}) | {"sha256": digest}
    settings = {"run": name, "weights": what}
    path = config.data_path(how.file) if how.file else Path(name)
    of = (name, path, data, kind, sizes, settings, {"pooled": "pooled_pretrained"})
    return PretrainedSource(*of, how, encode, *described, device=device)


def _warn_of_short(kind: Kind, window_s: float) -> None:
    """Warns where most of what the model gets is what shorter recordings are filled up with."""
    seconds = np.diff(kind.samples.times).ravel()
    if (share := 1 - seconds.mean() / window_s) > MUCH:
        words = "%.0f%% of what the model gets are zeros: half of its windows hold at most %.2g s of sound, "
        words += "are filled up to %g s, and it may not have been trained for that"
        LOG.warning(words, 100 * share, np.median(seconds), window_s)


def _loaded(how: Pretrained, device: torch.device, config: Config) -> tuple[Encode, str, torch.device]:
    """Returns the encoder, its SHA-256 and the device that it is given its input on."""
    if how.torchvision:
        if how.constants:
            raise Fault("constants: models of torchvision have one input")
        file = config.data_path(how.file) if how.file else published(how.torchvision, config.cache)
        content, digest = read_whole(file, how.sha256, HINT)
        return of_torchvision(how.torchvision, content, how.output, device), digest, device
    file = config.data_path(how.file or "")
    require_readable(file, how.trust)
    content, digest = read_whole(file, how.sha256, HINT)
    is_torch = file.suffix.lower() not in (".onnx", ".tflite")
    device = device if is_torch else torch.device("cpu")
    return read_encoder(file, content, how.output, how.constants, device), digest, device


def _front(how: Pretrained) -> SoundFront | None:
    """Returns what makes the model's input of a window of sound; None where it takes pictures."""
    if how.takes_pictures:
        return None
    spectrum = how.input(how.sample_rate)
    return SoundFront(spectrum, spectrum.n_frames(how.n_samples), "pad")


def _options(how: Pretrained) -> DataOptions:
    """Returns how pictures are read, or how recordings are cut and resampled; their spectra are our own."""
    if how.takes_pictures:
        channels = "rgb" if how.channels == 3 else "intensity"
        return DATA.parse({"kind": "images", "train": "", "channels": channels})
    spectrum = {"name": "linear", "n_fft": 4, "hop_length": 2}  # never computed, but fits any window
    options = {"kind": "audio", "train": "", "fit": "pad", "spectrum": spectrum, "length_s": how.window_s}
    segments = {"sample_rate": how.sample_rate, "segment_s": how.window_s, "step_s": how.step_s}
    return DATA.parse(options | segments)
