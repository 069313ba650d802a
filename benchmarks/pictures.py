"""Spectrogram pictures that nobody recorded: calls over noise, coloured by viridis, as PNG files."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from saec.data.png import table

HEIGHT = 128
N_HARMONICS = 3
PER_RECORDING = 8
FULL_WIDTH = 256  # columns; of wider pictures there are fewer
MANY = 8  # times as many pictures for the default model
N_VALID = 8


@dataclass(frozen=True)
class Images:
    """Folders of pictures of one width: the default model, which is faster, is given more of them."""

    few: Path
    many: Path
    valid: Path


def write_images(folder: Path, n_of_full_width: int, width: int) -> Images:
    n = max(1, n_of_full_width * FULL_WIDTH // width)
    few = write_pictures(folder / "few" / "images", n, width)
    many = write_pictures(folder / "many" / "images", n, width, copies=MANY)
    valid = write_pictures(folder / "valid" / "images", N_VALID, width, "valid", seed=1)
    return Images(few, many, valid)


def write_pictures(
    folder: Path, n: int, width: int, recording: str = "rec", copies: int = 1, seed: int = 0
) -> Path:
    """Writes n pictures `rec<i>_segm_<SSSS.mmm>.png`, each under so many names; returns the folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, width])
    for index in range(n):
        png = _png(spectrogram(rng, width))
        for number in range(index, n * copies, n):
            name = f"{recording}{number // PER_RECORDING:05d}_segm_{number % PER_RECORDING:04d}.000.png"
            (folder / name).write_bytes(png)
    return folder


def spectrogram(rng: np.random.Generator, width: int) -> np.ndarray:
    """(128, width) uint8: calls of some harmonics, about one every 100 columns, over uneven noise."""
    power = rng.gamma(2.0, 14.0, (HEIGHT, width)) * np.linspace(1.2, 0.5, HEIGHT)[:, None]
    for _ in range(1 + rng.poisson(width / 100)):
        power += _call(rng, width)
    return power.clip(0, 255).astype(np.uint8)


def _call(rng: np.random.Generator, width: int) -> np.ndarray:
    """A gliding tone with harmonics, fading in and out."""
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(width)[None]
    centre, length = rng.uniform(0, width), rng.uniform(8, 40)
    envelope = np.exp(-(((columns - centre) / length) ** 2))
    pitch = rng.uniform(12, 50) + rng.normal(0, 0.3) * (columns - centre)
    tones = [np.exp(-((rows - k * pitch) ** 2) / rng.uniform(3, 12)) / k for k in range(1, N_HARMONICS + 1)]
    return rng.uniform(60, 220) * envelope * sum(tones)


def _png(levels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(table("viridis")[levels]).save(buffer, "PNG")
    return buffer.getvalue()
