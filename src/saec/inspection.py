"""Inspection of a folder of pictures: sizes, modes, grey values, blank pictures and pairs that are alike."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from saec.data.files import evenly
from saec.data.png import list_pictures
from saec.progress import progress
from saec.samples import SEGMENT

SIDE = 16  # pixels of the small pictures that are compared
ALIKE = 0.995  # correlation of small pictures from which two are alike
N_LEVELS = 256
MOST_COMPARED = 20_000  # pictures, evenly spaced: all are compared with all
AT_ONCE = 512  # pictures in flight


@dataclass
class Inspection:
    """Holds what is in a folder of pictures."""

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
        """Returns what a user should look at before training."""
        remarks = []
        if self.unreadable:
            remarks.append(
                f"{len(self.unreadable):,} pictures cannot be read: {_some(list(self.unreadable))}"
            )
        if self.blank:
            one_value = "are blank: one grey value everywhere"
            remarks.append(f"{len(self.blank):,} pictures {one_value}: {_some(self.blank)}")
        if self.alike:
            pairs = [f"{one} = {other}" for one, other, _ in self.alike]
            remarks.append(
                f"{len(pairs):,} pictures are all but the same as one before them (correlation of small "
                f"pictures {ALIKE} and more): {_some(pairs)}"
            )
        if len(self.names) > MOST_COMPARED:
            remarks.append(f"{MOST_COMPARED:,} pictures, evenly spaced, were compared with each other")
        for what, counter in (("sizes", self.sizes), ("modes", self.modes)):
            if len(counter) > 1:
                counts = ", ".join(f"{one} ({n:,})" for one, n in counter.most_common())
                remarks.append(f"pictures have {len(counter)} {what}: {counts}")
        return remarks


def inspect(folder: Path, n_workers: int = 0) -> Inspection:
    """Decodes every picture once, keeps a small one of each while it compares them, and returns what it saw.

    Raises:
        MissingFault: there is no such folder, or no PNG directly in it.
    """
    files = list_pictures(folder)
    inspection = Inspection(folder, sum(file.n_bytes for file in files))
    small = np.zeros((len(files), SIDE * SIDE), dtype=np.float32)
    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        for start in progress(range(0, len(files), AT_ONCE), "looking through", -(-len(files) // AT_ONCE)):
            names = [file.name for file in files[start : start + AT_ONCE]]
            for name, picture in zip(names, pool.map(_read, [folder / one for one in names]), strict=True):
                if isinstance(picture, str):
                    inspection.unreadable[name] = picture
                else:
                    small[len(inspection.names)] = picture[-1]
                    _count(inspection, name, *picture[:-1])
    chosen = np.array(evenly(range(len(inspection.names)), MOST_COMPARED), dtype=int)
    inspection.alike = _alike([inspection.names[row] for row in chosen], small[chosen])
    return inspection


def _read(path: Path) -> tuple[str, str, np.ndarray, np.ndarray] | str:
    """Returns a picture's size, mode, counts of grey values, and small pixels; or why it cannot be read."""
    try:
        with Image.open(path) as picture:
            grey = picture.convert("L")
            levels = np.array(grey.histogram(), dtype=np.int64)
            small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
            return f"{picture.width} x {picture.height}", picture.mode, levels, small.ravel()
    except (OSError, ValueError, SyntaxError) as error:  # the first is also for what is no picture
        return str(error)


def _count(inspection: Inspection, name: str, size: str, mode: str, levels: np.ndarray) -> None:
    inspection.names.append(name)
    inspection.sizes[size] += 1
    inspection.modes[mode] += 1
    inspection.recordings[name.split(SEGMENT)[0]] += 1
    inspection.levels += levels
    if np.count_nonzero(levels) == 1:
        inspection.blank.append(name)


def _alike(names: list[str], small: np.ndarray) -> list[tuple[str, str, float]]:
    """Returns pictures with the one that they are most like, each pair once, the most alike first."""
    centred = small - small.mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    rows = np.flatnonzero(lengths > 0)
    if len(rows) < 2:
        return []
    unit = centred[rows] / lengths[rows, None]
    distances, nearest = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(unit).kneighbors()
    correlations = 1 - distances[:, 0] ** 2 / 2
    pairs = {
        (min(a, b), max(a, b)): float(r)
        for a, (b, r) in enumerate(zip(nearest[:, 0].tolist(), correlations, strict=True))
        if r >= ALIKE
    }
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(names[rows[a]], names[rows[b]], r) for (a, b), r in ordered]


def _some(items: list[str], most: int = 5) -> str:
    """Returns the first items, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
