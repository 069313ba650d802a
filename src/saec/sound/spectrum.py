"""What every spectrum is: windows of a batch of sounds, their power, and how it is told in dB."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import log10
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field, FiniteFloat, PlainValidator, TypeAdapter, ValidationError
from torch import Tensor

from saec.faults import Fault

LEAST = 1e-10  # power below it counts as so much, as in librosa
WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}
POSITIVE = TypeAdapter(Annotated[FiniteFloat, Field(gt=0)])

Window = Literal["hann", "hamming"]
Count = TypeVar("Count", int, Tensor)


def _reference(raw: Any) -> str | float:
    if raw == "max":
        return raw
    try:
        return POSITIVE.validate_python(raw)
    except ValidationError:
        raise ValueError(f"must be max or a positive power, got {raw!r}") from None


Reference = Annotated[Literal["max"] | float, PlainValidator(_reference)]


@dataclass(frozen=True)
class Frames:
    """Windows of `n_fft` samples, `hop_length` apart; the middle of the first is the first sample."""

    n_fft: int
    hop_length: int
    window: Window

    def __post_init__(self):
        if self.hop_length > self.n_fft:
            raise Fault(
                f"hop_length must be at most n_fft = {self.n_fft}, got {self.hop_length}: the sound between "
                "two windows would be lost"
            )

    def weights(self) -> Tensor:
        return WINDOWS[self.window](self.n_fft)

    def power(self, sound: Tensor, weights: Tensor) -> Tensor:
        """(batch, samples) to (batch, n_fft / 2 + 1, frames); there are zeros before and after the sound."""
        waves = torch.stft(
            sound, self.n_fft, self.hop_length, window=weights, pad_mode="constant", return_complex=True
        )
        return waves.real.square() + waves.imag.square()


@dataclass(frozen=True)
class Decibels:
    """Levels from -floor_db to 0 against an item's own largest power ("max"), or against a fixed power."""

    reference: Reference
    floor_db: float

    def __call__(self, power: Tensor) -> Tensor:
        """(batch, rows, frames) of power to dB; all of a silent item lies at the floor."""
        loudest = power.amax(dim=(1, 2), keepdim=True)
        levels = 10 * (power.clamp(min=LEAST).log10() - self._reference(loudest))
        return levels.clamp(-self.floor_db, 0).masked_fill(loudest <= LEAST, -self.floor_db)

    def units(self, power: Tensor) -> Tensor:
        """The same in [0, 1], 0 at the floor."""
        return self(power) / self.floor_db + 1

    def _reference(self, loudest: Tensor) -> Tensor | float:
        if self.reference == "max":
            return loudest.clamp(min=LEAST).log10()
        return log10(max(self.reference, LEAST))


class Spectrum(ABC):
    """What turns (batch, samples) into (batch, n_rows, frames) of float32; high frequencies are on top.

    An item's frames are those of its own samples, as if it were alone; what follows them is 0.
    """

    in_units = True  # whether values lie in [0, 1]

    def __init__(self, n_rows: int, frames: Frames, banks: dict[str, Tensor]):
        self.n_rows = n_rows
        self.n_fft = frames.n_fft
        self.hop_length = frames.hop_length
        self._frames = frames
        self._banks = {torch.device("cpu"): {"window": frames.weights()} | banks}

    def n_frames(self, n_samples: Count) -> Count:
        return 1 + n_samples // self.hop_length

    def __call__(self, sound: Tensor, n_samples: Tensor) -> Tensor:
        """Of (batch, samples) in [-1, 1], with zeros after each item's own n_samples (batch,)."""
        with torch.autocast(sound.device.type, enabled=False):
            banks = self._on(sound.device)
            power = self._frames.power(sound.float(), banks["window"])
            n_frames = self.n_frames(n_samples.to(sound.device))
            beyond = torch.arange(power.shape[-1], device=sound.device) >= n_frames[:, None, None]
            return self._rows(power.masked_fill(beyond, 0), n_frames, banks).masked_fill(beyond, 0)

    @abstractmethod
    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        """(batch, n_fft / 2 + 1, frames), 0 beyond each item's n_frames (batch,), to its n_rows."""

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._banks:
            here = self._banks[torch.device("cpu")]
            self._banks[device] = {name: bank.to(device) for name, bank in here.items()}
        return self._banks[device]
