"""Sound as a picture: where segments start, their power over frequency and time, and its 8-bit colours."""

import math
from itertools import count, takewhile

import numpy as np

from saec.data.colormaps import table

EPS = 1e-10  # keeps the logarithm finite


def regular_starts(n_samples: int, rate: int, segment_s: float, step: float) -> list[float]:
    """Seconds at which segments start: every `step` of a segment, as long as a whole one follows."""
    last = max(math.floor(n_samples / rate / segment_s), 1) - 1 + 0.01
    starts = [k * segment_s for k in takewhile(lambda k: k <= last, (k * step for k in count()))]
    return [start for start in starts if int(rate * start) + int(rate * segment_s) <= n_samples]


def centred_start(middle_s: float, n_samples: int, rate: int, segment_s: float) -> float:
    """Seconds at which a segment around `middle_s` starts, moved where it would leave the recording."""
    return max(0.0, min(middle_s - segment_s / 2, (n_samples - int(rate * segment_s)) / rate))


def padded(sound: np.ndarray, n_samples: int) -> tuple[np.ndarray, slice]:
    """The sound in the middle of zeros, and where it lies."""
    before = (n_samples - len(sound)) // 2
    return np.pad(sound, (before, n_samples - len(sound) - before)), slice(before, before + len(sound))


def size(n_samples: int, n_fft: int, hop_length: int) -> tuple[int, int]:
    """(width, height) of a picture of so many samples."""
    return (n_samples - n_fft + hop_length) // hop_length, n_fft // 2


def axes(n_samples: int, rate: int, n_fft: int, hop_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz, ascending and with the Nyquist row, and the middles of the columns in seconds."""
    middles = np.arange(n_fft / 2, n_samples - n_fft / 2 + 1, hop_length)
    return np.fft.rfftfreq(n_fft, 1 / rate), middles / rate


def picture(
    sound: np.ndarray,
    rate: int,
    *,
    n_fft: int,
    hop_length: int,
    colormap: str,
    equalize: bool,
    sounding: slice = slice(None),
) -> np.ndarray | None:
    """(height, width[, 3]) bytes with high frequencies on top, or None where there is nothing to see.

    That is a segment that is constant, or no number after the equalizer. `sounding` says which samples are
    not padding.
    """
    power = _power(sound, rate, n_fft, hop_length)  # (height, width)
    if equalize:
        power = _equalized(power, _columns(sounding, len(sound), n_fft, hop_length))
    with np.errstate(invalid="ignore", divide="ignore"):
        shade = np.log10(power + EPS)
        shade = shade - shade.min()
        shade = shade / shade.max()
    return coloured(shade, colormap) if np.isfinite(shade).all() else None


def coloured(shade: np.ndarray, colormap: str) -> np.ndarray:
    """(height, width) in [0, 1] to (height, width[, 3]) bytes."""
    if colormap == "gray":
        return (255 * shade).astype(np.uint8)
    return table(colormap)[np.minimum((256 * shade).astype(int), 255)]


def _power(sound: np.ndarray, rate: int, n_fft: int, hop_length: int) -> np.ndarray:
    from scipy.signal import spectrogram

    *_, power = spectrogram(
        sound - sound.mean(),
        rate,
        window="hamming",
        nperseg=n_fft,
        noverlap=n_fft - hop_length,
        detrend="constant",
        scaling="spectrum",
    )
    return power[-2::-1]  # without the Nyquist row, upside down


def _equalized(power: np.ndarray, sounding: slice) -> np.ndarray:
    """Each frequency against its own median and minimum over time, nothing below 1 (maad's median equalizer).

    Where padding makes up most of a segment, its zeros are the median too and the quotient is no number: the
    columns that touch sound then give median and minimum.
    """
    for columns in (slice(None), sounding):
        median = np.median(power[:, columns], axis=1, keepdims=True)
        least = power[:, columns].min(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            even = (power - median) / (median - least)
        if np.isfinite(even).all():
            break
    return np.where(even < 1, 1, even)


def _columns(samples: slice, n_samples: int, n_fft: int, hop_length: int) -> slice:
    """The columns whose window touches these samples."""
    first, stop, _ = samples.indices(n_samples)
    return slice(max(0, (first - n_fft) // hop_length + 1), (stop - 1) // hop_length + 1)
