"""Makes traces of articulators from gestures that are then known: primitives, and when each is active.

A primitive is a movement in space and time (Ramanarayanan, Goldstein and Narayanan 2013, "Spatio-temporal
articulatory movement primitives during speech production", JASA 134(2)): articulators follow its activation,
each by a gain, a delay and a critically damped response of its own. The coordinates of points on a tongue, a
jaw and lips move together, because there are fewer articulators than coordinates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve

COLUMNS = tuple("TDX TDY TBX TBY TTX TTY LIX LIY ULX ULY LLX LLY pitch".split())
ARTICULATORS = {  # the columns that each moves most
    "tongue body forward": (0, 2, 4),
    "tongue body up": (1, 3, 5),
    "tongue tip up": (4, 5),
    "jaw": (3, 5, 7, 11),
    "lips together": (9, 11),
    "lips forward": (8, 10),
    "pitch": (12,),
}
RATE_HZ = 100
N_PRIMITIVES = (6, 10)
GESTURE_S = (0.08, 0.25)
BETWEEN_S = 0.8  # gestures of one primitive, on average, from the end of one to the start of the next
DELAY_S = (0.0, 0.08)
DAMPING_S = (0.015, 0.04)
KERNEL_S = 0.3
SPEAKER = 0.2  # standard deviation of the logarithms of speakers' scales, by column
NOISE = 0.1  # standard deviation, of that of the column
PARTS = {"train": 6, "valid": 2, "test": 2}  # speakers of each, and none of two


@dataclass(frozen=True)
class Gestures:
    """Holds a trace (frames, columns), activations (frames, primitives), and the frames of their peaks."""

    speaker: int
    trace: np.ndarray
    activations: np.ndarray
    peaks: tuple[np.ndarray, ...]  # of each primitive


def primitives(seed: int) -> np.ndarray:
    """Returns (primitives, columns, frames) of 0.3 s."""
    rng = np.random.default_rng([seed, 0])
    n, times = int(rng.integers(N_PRIMITIVES[0], N_PRIMITIVES[1] + 1)), np.arange(0, KERNEL_S, 1 / RATE_HZ)
    geometry = 0.1 * rng.normal(size=(len(ARTICULATORS), len(COLUMNS)))
    for of, columns in zip(geometry, ARTICULATORS.values(), strict=True):
        of[list(columns)] += rng.choice([-1, 1], len(columns)) * rng.uniform(0.5, 1.5, len(columns))
    gains = 0.3 * rng.normal(size=(n, len(ARTICULATORS)))
    leads = np.concatenate([rng.permutation(len(ARTICULATORS)) for _ in range(2)])[:n]
    gains[np.arange(n), leads] += rng.choice([-1, 1], n) * rng.uniform(0.7, 1.5, n)
    delays, damping = (rng.uniform(*of, (*gains.shape, 1)) for of in (DELAY_S, DAMPING_S))
    since = np.maximum(times - delays, 0)
    moved = gains[..., None] * since / damping**2 / RATE_HZ * np.exp(-since / damping)
    return np.einsum("pat,ac->pct", moved, geometry)


def activations(n_frames: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Returns (frames, n), raised cosines of random heights, and the frames of their peaks."""
    values, peaks = np.zeros((n_frames, n)), []
    for column in values.T:
        peaks.append([])
        start = rng.exponential(BETWEEN_S)
        while True:
            length = rng.uniform(*GESTURE_S)
            first, last = round(start * RATE_HZ), round((start + length) * RATE_HZ)
            if last > n_frames:
                break
            column[first:last] = rng.uniform(0.5, 1.5) * np.hanning(last - first + 2)[1:-1]
            peaks[-1].append((first + last - 1) // 2)
            start += length + rng.exponential(BETWEEN_S)
    return values, tuple(np.array(of, dtype=int) for of in peaks)


def gestures(seed: int, part: str, n_files: int, seconds: tuple[float, float]) -> Iterator[Gestures]:
    """Yields files of the part's speakers, of lengths that are drawn evenly; the same for the same seed."""
    kernels, first = primitives(seed), sum(n for name, n in PARTS.items() if name < part)
    for number in range(n_files):
        speaker = first + number % PARTS[part]
        own = np.random.default_rng([seed, 1, speaker])
        scale, offset = np.exp(SPEAKER * own.normal(size=len(COLUMNS))), own.normal(size=len(COLUMNS))
        rng = np.random.default_rng([seed, 2, first, number])
        active, peaks = activations(round(rng.uniform(*seconds) * RATE_HZ), len(kernels), rng)
        moved = fftconvolve(active[:, :, None], kernels.transpose(2, 0, 1), axes=0)[: len(active)].sum(axis=1)
        noisy = moved + NOISE * moved.std(axis=0) * rng.normal(size=moved.shape)
        yield Gestures(speaker, (scale * noisy + offset).astype(np.float32), active, peaks)


def write_gestures(
    folder: Path, seed: int, n_files: dict[str, int], seconds: tuple[float, float]
) -> dict[str, list[Gestures]]:
    """Writes `<part>/<part><number>_s<speaker>.npy`, and returns what they are made of, in this order."""
    made = {part: list(gestures(seed, part, n, seconds)) for part, n in n_files.items()}
    for part, files in made.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(files):
            np.save(folder / part / f"{part}{number:04d}_s{one.speaker}.npy", one.trace)
    return made
