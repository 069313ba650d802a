"""Sounds that are made: tones with noise sorted into classes, and small sessions that learn from them."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from saec.config import Config
from saec.data import DATA, Cache, Kind

RATE = 8000
HERTZ = {"high": 3000, "low": 300, "mid": 1000}  # of the classes
MEL = {"name": "mel", "n_fft": 256, "hop_length": 128, "n_mels": 16}
LINEAR = {"name": "linear", "n_fft": 256, "hop_length": 128}  # of 128 rows
CNN = {"name": "cnn", "widths": [2, 2], "hidden": 4, "latent": 3, "dropout": [0, 0]}
LISTENING = {"sample_rate": RATE, "spectrum": MEL}


def tone(hertz: float, seconds: float = 0.2, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """(samples,) in [-1, 1]: a tone in noise, both by the seed."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * (hertz * times + rng.random())) + 0.05 * rng.uniform(-1, 1, len(times))


def record(file: Path, sound: np.ndarray, rate: int = RATE, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, sound, rate, **options)
    return file


def record_classes(folder: Path, n: int = 4, seconds: float = 0.2, **hertz: float) -> Path:
    """`<folder>/<class>/<number>.wav`, n of each class, a little different in length."""
    for index, (name, frequency) in enumerate((hertz or HERTZ).items()):
        for number in range(n):
            sound = tone(frequency, seconds * (1 + number / 20), seed=100 * index + number)
            record(folder / name / f"{number}.wav", sound)
    return folder


def kind(index: Path | tuple[Path, ...], config: Config, **options: Any) -> Kind:
    data = DATA.parse({"kind": "audio", "train": ""} | LISTENING | options)
    return data(index, Cache.of(config))


def heard_session(**changes: Any) -> dict[str, Any]:
    """A session that tells the classes of `<data>/sounds` apart; `data` adds to what it says of them."""
    data = {"kind": "audio", "train": "sounds", "valid": 0.25} | LISTENING | changes.pop("data", {})
    return {
        "data": data,
        "model": CNN,
        "objective": {"name": "classification"},
        "training": {"epochs": 2, "batch_size": 4, "precision": "fp32"},
    } | changes


def features_session(run: str | None, **changes: Any) -> dict[str, Any]:
    """A session without a reduction, which would take seconds to compile."""
    of_run = {"pooling": "mean", "reconstructions": 0, "precision": "fp32"}
    made = {"run": run, "data": {"sounds": "sounds"}, "reduction": None} | changes
    return (of_run | made) if made["run"] else made
