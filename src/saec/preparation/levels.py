"""The levels of a named spectrum as a picture: which spectra can be one, its axes, its 8-bit colours."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch

from saec.faults import Fault
from saec.preparation.spectrogram import coloured
from saec.registry import Component
from saec.sound.spectra import Spectrum


@lru_cache(maxsize=8)
def pictured(chosen: Component, rate: int) -> Spectrum:
    """The spectrum at a rate in Hz.

    Raises:
        Fault: it cannot be a picture, or its options do not suit the rate.
    """
    if chosen.name not in FREQUENCIES:
        raise Fault(
            f"{chosen.name} gives no levels from 0 to 1, one row a frequency, that a picture could show: "
            f"choose from {', '.join(FREQUENCIES)}"
        )
    return chosen(rate)


def size(spectrum: Spectrum, n_samples: int) -> tuple[int, int]:
    """(width, height) of a picture of so many samples."""
    return spectrum.n_frames(n_samples), spectrum.n_rows


def axes(chosen: Component, rate: int, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz, ascending, and the middles of the columns in seconds.

    Linear rows come with the Nyquist row that no picture shows; mel rows are told by the peaks of their
    filters, pitch classes below them are no frequencies and left out.
    """
    spectrum = pictured(chosen, rate)
    columns = np.arange(spectrum.n_frames(n_samples)) * spectrum.hop_length
    return FREQUENCIES[chosen.name](chosen, rate), columns / rate


def picture(sound: np.ndarray, spectrum: Spectrum, colormap: str) -> np.ndarray | None:
    """(height, width[, 3]) bytes with high frequencies on top, or None where there is nothing to see.

    That is a segment that is constant, or all of it below the spectrum's floor.
    """
    if np.ptp(sound) == 0:
        return None
    samples = torch.from_numpy(np.array(sound, np.float32))[None]
    with _one_thread():
        units = spectrum(samples, torch.tensor([len(sound)]))[0].numpy()  # (height, width)
    return coloured(units, colormap) if units.min() < units.max() else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are the same on any number of cores, and worker processes leave each other theirs."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _linear_hz(chosen: Component, rate: int) -> np.ndarray:
    return np.fft.rfftfreq(chosen.n_fft, 1 / rate)


def _mel_hz(chosen: Component, rate: int) -> np.ndarray:
    import librosa

    fmax = rate / 2 if chosen.fmax is None else chosen.fmax
    edges = librosa.mel_frequencies(chosen.n_mels + 2, fmin=chosen.fmin, fmax=fmax, htk=chosen.scale == "htk")
    return edges[1:-1]


FREQUENCIES = {"linear": _linear_hz, "mel": _mel_hz}  # of the rows, ascending
