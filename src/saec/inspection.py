"""A folder of pictures is looked through: sizes, modes, grey values, blank ones, and those that are alike."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from sklearn.neighbors import NearestNeighbors

from saec.data.decoding import evenly, list_pictures
from saec.data.labels import recording
from saec.progress import progress

SIDE = 16  # pixels of the small pictures that are compared
ALIKE = 0.995  # correlation of small pictures from which two are alike
N_LEVELS = 256
MOST_COMPARED = 20_000  # pictures, evenly spread: all are compared with all
AT_ONCE = 512  # pictures in flight


@dataclass(frozen=True)
class Look:
    """What one picture shows: size, mode, counts of grey values, and itself made small."""

    size: tuple[int, int]  # width, height
    mode: str
    levels: np.ndarray
    small: np.ndarray

    @property
    def blank(self) -> bool:
        return np.count_nonzero(self.levels) == 1


@dataclass
class Inspection:
    """What is in a folder of pictures."""

    folder: Path
    n_bytes: int = 0
    names: list[str] = field(default_factory=list)  # of those that can be read
    unreadable: dict[str, str] = field(default_factory=dict)  # reasons by name
    sizes: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    recordings: Counter = field(default_factory=Counter)
    levels: np.ndarray = field(default_factory=lambda: np.zeros(N_LEVELS, dtype=np.int64))
    blank: list[str] = field(default_factory=list)
    alike: list[tuple[str, str, float]] = field(default_factory=list)  # with their correlation

    def remarks(self) -> list[str]:
        """What a user should look at before training."""
        findings = [
            (self.unreadable, "cannot be read"),
            (self.blank, "are blank: one grey value everywhere"),
        ]
        remarks = [
            f"{len(found):,} pictures {what}: {_some(list(found))}" for found, what in findings if found
        ]
        if self.alike:
            pairs = [f"{one} = {other}" for one, other, _ in self.alike]
            remarks.append(
                f"{len(pairs):,} pictures are all but the same as one before them (correlation of small "
                f"pictures {ALIKE} and more): {_some(pairs)}"
            )
        if len(self.names) > MOST_COMPARED:
            remarks.append(f"{MOST_COMPARED:,} pictures, evenly spread, were compared with each other")
        for what, found in (("sizes", self.sizes), ("modes", self.modes)):
            if len(found) > 1:
                counts = ", ".join(f"{one} ({n:,})" for one, n in found.most_common())
                remarks.append(f"pictures have {len(found)} {what}: {counts}")
        return remarks


def inspect(folder: Path, n_workers: int = 0) -> Inspection:
    """Every picture is decoded once; none is kept, but small.

    Raises:
        MissingFault: there is no such folder, or no PNG directly in it.
    """
    files = list_pictures(folder)
    found = Inspection(folder, sum(file.n_bytes for file in files))
    small = np.zeros((len(files), SIDE * SIDE), dtype=np.float32)
    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        for start in progress(range(0, len(files), AT_ONCE), "looking through", -(-len(files) // AT_ONCE)):
            some = [file.name for file in files[start : start + AT_ONCE]]
            for name, look in zip(some, pool.map(lambda name: looked(folder / name), some), strict=True):
                if isinstance(look, str):
                    found.unreadable[name] = look
                    continue
                small[len(found.names)] = look.small
                _count(found, name, look)
    chosen = np.array(evenly(range(len(found.names)), MOST_COMPARED), dtype=int)
    found.alike = _alike([found.names[row] for row in chosen], small[chosen])
    return found


def looked(path: Path) -> Look | str:
    """What the picture shows, or why it cannot be read."""
    try:
        with Image.open(path) as picture:
            grey = picture.convert("L")
            levels = np.array(grey.histogram(), dtype=np.int64)
            small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
            return Look(picture.size, picture.mode, levels, small.ravel())
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
        return str(error)


def _count(found: Inspection, name: str, look: Look) -> None:
    found.names.append(name)
    found.sizes[f"{look.size[0]} x {look.size[1]}"] += 1
    found.modes[look.mode] += 1
    found.recordings[recording(name)] += 1
    found.levels += look.levels
    if look.blank:
        found.blank.append(name)


def _alike(names: list[str], small: np.ndarray) -> list[tuple[str, str, float]]:
    """Pictures with the one that they are most like, each pair once, the most alike first."""
    centred = small - small.mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    there = np.flatnonzero(lengths > 0)
    if len(there) < 2:
        return []
    unit = centred[there] / lengths[there, None]
    distances, nearest = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(unit).kneighbors()
    correlations = 1 - distances[:, 0] ** 2 / 2
    pairs = {
        (min(a, b), max(a, b)): float(r)
        for a, b, r in zip(range(len(there)), nearest[:, 0].tolist(), correlations, strict=True)
        if r >= ALIKE
    }
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(names[there[a]], names[there[b]], r) for (a, b), r in ordered]


def _some(items: list[str], most: int = 5) -> str:
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
