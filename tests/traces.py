"""Traces that are made, arrays of frames x columns: smooth curves with noise."""

from pathlib import Path
from typing import Any

import numpy as np

from saec.config import Config
from saec.data import DATA, Cache, Kind
from saec.data.listed import Location

NAMES = ("TDX", "TDY", "TTX", "LIY", "pitch")
HZ = 100
STRIDED = {"name": "conv1d_strided", "widths": [4], "latent": 4, "strides": [2]}


def curves(n_frames: int, seed: int = 0, n_columns: int = len(NAMES)) -> np.ndarray:
    """(frames, columns) float32: slow waves with noise, each column in units of its own."""
    rng = np.random.default_rng(seed)
    times = np.arange(n_frames)[:, None] / HZ
    waves = np.sin(2 * np.pi * (rng.uniform(1, 6, n_columns) * times + rng.random(n_columns)))
    values = 10.0 ** np.arange(n_columns) * (waves + 0.1 * rng.normal(size=waves.shape) + 2)
    return values.astype(np.float32)


def save(file: Path, array: np.ndarray, **others: np.ndarray) -> Path:
    """Writes an NPY, or an NPZ of one array and perhaps others."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        np.save(stream, array) if file.suffix == ".npy" else np.savez(stream, ema=array, **others)
    return file


def write_traces(folder: Path, n: int = 9, shortest: int = 20, step: int = 3) -> list[np.ndarray]:
    """Writes `<number>.npy`, and `.npz` for the odd ones; returns their arrays, each longer than the last."""
    arrays = [curves(shortest + step * number, number) for number in range(n)]
    for number, array in enumerate(arrays):
        save(folder / f"{number}.{'npz' if number % 2 else 'npy'}", array)
    return arrays


def kind(location: Location, config: Config, **options: Any) -> Kind:
    data = DATA.parse({"kind": "arrays", "train": "", "scale": "none"} | options)
    return data(location, Cache.of(config))
