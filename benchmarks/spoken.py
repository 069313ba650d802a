"""Spoken digits as tables of recordings, recipes of classifiers, and a long recording stitched from them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.labelled import DEVELOPED_ON, SCORED_ON, real_data

RATE = 8_000
SPEAKERS = DEVELOPED_ON + SCORED_ON
Raw = dict[str, Any]

# The reference's: windows of 50 ms that do not overlap, 51 of them whatever the duration; AdamW at 2e-3,
# which stays (by a slip, the reference lowers it every 11 epochs).
REFERENCE: Raw = {
    "data": {"spectrum": {"name": "mel", "n_fft": 400, "hop_length": 400, "n_mels": 128}, "length_s": 2.5},
    "model": "cnn",
    "objective": "classification",
    "optimizer": {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 0.02},
    "training": {"epochs": 30, "batch_size": 16, "patience": 10},
}
OURS: Raw = {
    "data": {"spectrum": {"name": "mel", "n_fft": 256, "hop_length": 80, "n_mels": 128}, "length_s": 0.64},
    "views": {
        "name": "distort",
        "shift": 0.15,
        "frequency_shift": 0.06,
        "stretch": 0.25,
        "frequency_stretch": 0.2,
        "gain": 0.4,
        "floor": 0.4,
        "noise": 0.1,
        "mask": 0.2,
    },
    "model": "compact",
    "objective": {
        "name": "classification",
        "pooling": "weighted_stats",
        "label_smoothing": 0.1,
        "mixup": 0.3,
    },
    "optimizer": {"name": "adamw", "learning_rate": 3e-3, "weight_decay": 0.02, "schedule": "warmup_cosine"},
    "training": {"epochs": 40, "batch_size": 32},
}
RECIPES = {"reference": REFERENCE, "ours": OURS}
WEIGHTS = {"reference": "best", "ours": "last"}  # of a rate that falls to 0, the last are the best


def recordings_of(speaker: str) -> list[Path]:
    return sorted((real_data() / "fsdd").glob(f"*_{speaker}_*.wav"))


def write_table(file: Path, splits: dict[str, str], chosen: set[str] | None = None) -> Path:
    """file, label, group, split of the speakers that a split is named for; `chosen`: of these alone.

    Recordings to train on have no group: validation is drawn from all speakers, as the reference draws it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("file", "label", "group", "split"))
        for speaker, split in splits.items():
            for path in recordings_of(speaker):
                if chosen is None or path.name in chosen:
                    group = "" if split == "train" else speaker
                    writer.writerow((path, path.name.split("_")[0], group, split))
    return file


def session(recipe: str, table: Path, seed: int, **changes: Any) -> Raw:
    raw = RECIPES[recipe]
    data = {"kind": "audio", "train": str(table), "valid": 0.2, "sample_rate": RATE} | raw["data"]
    training = raw["training"] | {"seed": seed} | changes.pop("training", {})
    return raw | {"data": data | changes.pop("data", {}), "training": training} | changes


def few_labels(speaker: str, n: int, seed: int) -> tuple[set[str], set[str]]:
    """So many recordings, spread over as many digits as there can be, and others of the same digits."""
    rng = np.random.default_rng([seed, n])
    of = {digit: [p.name for p in recordings_of(speaker) if p.name[0] == digit] for digit in "0123456789"}
    digits = sorted(rng.permutation(list(of))[:n].tolist())
    learnt: set[str] = set()
    for index in range(n):
        names = of[digits[index % len(digits)]]
        learnt.add(rng.choice([name for name in names if name not in learnt]))
    return learnt, {name for digit in digits for name in of[digit]} - learnt


def stitched(folder: Path, speaker: str, seed: int, n: int = 60, pause_s: float = 0.3) -> tuple[Path, Path]:
    """A recording of digits with pauses between them, and the table of what sounds when."""
    rng = np.random.default_rng(seed)
    pieces, rows, at = [], [], 0
    for path in rng.permutation(recordings_of(speaker))[:n]:
        sound, _ = soundfile.read(path)
        rows.append(("stitched.wav", at / RATE, (at + len(sound)) / RATE, Path(path).name[0]))
        pieces += [sound, 0.001 * rng.normal(size=int(rng.uniform(0.5, 1.5) * pause_s * RATE))]
        at += len(sound) + len(pieces[-1])
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "stitched.wav", np.concatenate(pieces), RATE)
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("file", "start", "end", "label"))
        writer.writerows(rows)
    return folder / "stitched.wav", folder / "truth.csv"
