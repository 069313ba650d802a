"""Demo data made on the spot: recordings of birds that do not exist, and the pictures of their syllables."""

import logging
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile

from saec.data.png import SIDECAR
from saec.demo import song
from saec.files import appearing_folder, require_writable
from saec.preparation import PreparationSession, plan_pictures
from saec.preparation.folder import PREPARED

LOG = logging.getLogger(__name__)
SEED = 20250617
VALID_SHARE = 0.2  # of the recordings
PHRASE = (2, 5)  # syllables, the second number excluded
GAP_S, PAUSE_S = (0.06, 0.18), (0.3, 0.7)  # within a phrase, between phrases
SNR_DB, FAR_DB = (0, 16), (-22, -12)  # the song above the noise; far song against near


class Sung(NamedTuple):
    """One syllable within a recording."""

    start_s: float
    end_s: float
    label: str


def make_demo(folder: Path, n_workers: int = 0, *, n_recordings: int = 10, n_syllables: int = 600) -> None:
    """Makes `recordings`, `train/images`, `valid/images` and `labels.csv`, unless the folder is there.

    Training and validation pictures come from different recordings. The same call makes the same bytes.
    """
    if folder.exists():
        return
    require_writable(folder.parent)
    LOG.info("making demo data in %s", folder)
    with appearing_folder(folder) as part:
        _record(part / "recordings", n_recordings, n_syllables)
        _share_out(part, _draw(part, n_workers), n_recordings)


def _record(folder: Path, n_recordings: int, n_syllables: int) -> None:
    folder.mkdir()
    rows = []
    for index, share in enumerate(np.array_split(np.arange(n_syllables), n_recordings)):
        name = f"bird_{index:02d}.wav"
        sound, sung = _recording(np.random.default_rng([SEED, index]), len(share))
        soundfile.write(folder / name, sound, song.RATE, subtype="PCM_16")
        rows += [(name, f"{s.start_s:.4f}", f"{s.end_s:.4f}", s.label) for s in sung]
    _write_csv(folder / "annotations.csv", pd.DataFrame(rows, columns=["recording", "start", "end", "label"]))


def _draw(part: Path, n_workers: int) -> pd.DataFrame:
    """Makes pictures of all syllables, as of anybody's recordings, and returns the table of them."""
    settings = PreparationSession(
        recordings=part / "recordings",
        out=part / "images",
        annotations=part / "recordings" / "annotations.csv",
        colormap="viridis",
    )
    return pd.read_csv(plan_pictures(settings, n_workers).run().folder / PREPARED, dtype=str)


def _share_out(part: Path, table: pd.DataFrame, n_recordings: int) -> None:
    """Moves the pictures of the last recordings to `valid`, the others to `train`."""
    valid = sorted(set(table["group"]))[-max(1, round(VALID_SHARE * n_recordings)) :]
    for side in ("train", "valid"):
        (part / side / "images").mkdir(parents=True)
        shutil.copyfile(part / "images" / SIDECAR, part / side / "images" / SIDECAR)
    for file, group in zip(table["file"], table["group"], strict=True):
        side = "valid" if group in valid else "train"
        os.replace(part / "images" / file, part / side / "images" / file)
    shutil.rmtree(part / "images")
    _write_csv(part / "labels.csv", table[["file", "label", "group"]])


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


def _recording(rng: np.random.Generator, n_syllables: int) -> tuple[np.ndarray, list[Sung]]:
    """Returns the sound of one bird among wind and rain, and when it sings what."""
    near, sung = _sing(rng, n_syllables)
    n_samples = len(near)
    far, _ = _sing(rng, max(1, n_syllables // 2))
    far = song.echoing(np.resize(far, n_samples), rng) * _gain(rng.uniform(*FAR_DB))
    noise = song.pink(n_samples, rng, rng.uniform(0.6, 1.4))
    noise = (
        noise
        + rng.uniform(0, 1.5) * song.wind(n_samples, rng)
        + rng.uniform(0, 1.2) * song.rain(n_samples, rng)
    )
    noise *= near.std() / noise.std() * _gain(-rng.uniform(*SNR_DB))
    sound = near + far + noise
    return sound / np.abs(sound).max() * rng.uniform(0.2, 0.9), sung


def _sing(rng: np.random.Generator, n_syllables: int) -> tuple[np.ndarray, list[Sung]]:
    """Returns phrases of one syllable repeated, all kinds about equally often, with gaps and pauses."""
    dialect = {kind: rng.normal(0, 0.12) for kind in song.KINDS}  # octaves
    tempo = rng.uniform(0.85, 1.2)
    pieces, sung, at_s = [], [], 0.5
    for kind, last in _phrases(rng, n_syllables):
        sound = song.syllable(kind, rng, dialect[kind], tempo) * _gain(rng.uniform(-8, 0))
        length_s = len(sound) / song.RATE
        pieces.append((int(at_s * song.RATE), sound))
        sung.append(Sung(at_s, at_s + length_s, kind))
        at_s += length_s + rng.uniform(*(PAUSE_S if last else GAP_S))
    track = np.zeros(int((at_s + 0.5) * song.RATE))
    for start, sound in pieces:
        track[start : start + len(sound)] += sound
    return track, sung


def _phrases(rng: np.random.Generator, n_syllables: int) -> list[tuple[str, bool]]:
    """Returns the kinds in the order they are sung, and whether a phrase ends there."""
    left = {
        kind: len(share)
        for kind, share in zip(song.KINDS, np.array_split(range(n_syllables), len(song.KINDS)), strict=True)
    }
    order = []
    while any(left.values()):
        kind = str(rng.choice([kind for kind, count in left.items() if count]))
        length = min(left[kind], int(rng.integers(*PHRASE)))
        order += [(kind, n == length - 1) for n in range(length)]
        left[kind] -= length
    return order


def _gain(decibel: float) -> float:
    return 10 ** (decibel / 20)
