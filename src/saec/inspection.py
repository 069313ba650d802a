"""Inspects a folder of pictures: sizes, modes, intensities, blank pictures and pairs that are alike."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from posixpath import basename

import numpy as np
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from saec.data.ahead import ahead
from saec.data.kind import evenly
from saec.data.packed import state_of
from saec.data.photos import picture_of, pictures_below
from saec.data.png import USUAL, decode, possible_maps, sidecar_map, to_intensity
from saec.faults import Unusable, counted
from saec.progress import progress
from saec.samples import SEGMENT

LOOKED_AT = (512, 512)  # height and width that are enough to look at a photograph
MODES = {2: "L", 3: "RGB"}  # of decoded spectrograms, by their axes
MOST_SIZES = 5  # that are named
MEASURED = ["mean", "std", "contrast", "sharpness", "colourfulness", "noise"]  # of each picture
SIDE = 16  # pixels of the small pictures that are compared
ALIKE = 0.995  # correlation of small pictures from which two are alike
MOST_COMPARED = 20_000  # pictures, evenly spaced: all are compared with all


@dataclass
class Inspection:
    """Holds what is in a folder of pictures."""

    n_bytes: int
    are_photos: bool = False  # of any size and format
    names: list[str] = field(default_factory=list)  # of those that can be read
    unreadable: dict[str, str] = field(default_factory=dict)  # reasons by name
    sizes: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    recordings: Counter = field(default_factory=Counter)
    levels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    levels_are: str = "intensity"  # or the luminance, of pictures that are in no colour map
    blank: list[str] = field(default_factory=list)
    alike: list[tuple[str, str, float]] = field(default_factory=list)  # with their correlation
    rows: list[dict[str, str | int | float]] = field(default_factory=list)  # of the table, one a picture
    splits: dict[str, str] = field(default_factory=dict)  # the sides of a split (train, valid), by name
    levels_by_split: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def doubtful(self) -> dict[str, list[str]]:
        """Returns pictures that a user should look at before training, by what is the matter."""
        sides = [{self.splits.get(name, "") for name in pair[:2]} - {""} for pair in self.alike]
        pairs = [f"{one} = {other}" for one, other, _ in self.alike]
        across = [pair for pair, of in zip(pairs, sides, strict=True) if len(of) > 1]
        small = f"correlation of small pictures {ALIKE} and more"
        return {
            f"are all but the same as one on the other side of the split: {small}": across,
            "cannot be read": [f"{name} {reason}" for name, reason in self.unreadable.items()],
            "are blank: one colour everywhere": self.blank,
            f"are all but the same as another: {small}": pairs,
        }

    def remarks(self) -> list[str]:
        """Returns what a user should look at before training."""
        remarks = [one for what, of in self.doubtful.items() for one in counted(of, f"pictures {what}")]
        if len(self.names) > MOST_COMPARED:
            remarks.append(f"{MOST_COMPARED:,} pictures, evenly spaced, were compared with each other")
        for what, counts in (("sizes", self.sizes), ("modes", self.modes)):
            if len(counts) > 1 and not self.are_photos:
                remarks.append(f"pictures have {len(counts)} {what}: {in_words(counts, MOST_SIZES)}")
        return remarks


def in_words(counts: Counter, most: int | None = None) -> str:
    """Returns each value with how often it is there, the most frequent first."""
    words = {one: f"{one:,}" if isinstance(one, int) else one for one in counts}
    more = f" and {len(counts) - most:,} more" if most and len(counts) > most else ""
    return ", ".join(f"{words[one]} ({n:,})" for one, n in counts.most_common(most)) + more


def inspect(
    folder: Path, n_workers: int = 0, splits: dict[str, str] | None = None, valid: Path | None = None
) -> Inspection:
    """Decodes every picture once, keeps a small one of those that it compares, and returns what it saw.

    `splits` are the sides of a split by name; or those of the folder `valid`, called by their whole paths,
    are one side of it, and those of `folder` the other.

    Raises:
        MissingFault: there is no such folder, or no picture in it.
    """
    names, as_they_are = pictures_below(folder)
    if valid:
        others, are_too = pictures_below(valid)
        others, as_they_are = [(valid / name).as_posix() for name in others], as_they_are and are_too
        splits = dict.fromkeys(names, "train") | dict.fromkeys(others, "valid")
        names = [*names, *others]
    compared, small = set(evenly(names, MOST_COMPARED)), {}
    n_bytes = sum(state_of(folder / name)[0] for name in names)
    inspection = Inspection(n_bytes, not as_they_are, splits=splits or {})
    colormap = _likely_map(folder, names) if as_they_are else None
    pictures = ahead(partial(_read, folder, colormap), names, 2 * n_workers, max(1, n_workers))
    for name, picture in zip(names, progress(pictures, "looking through", len(names)), strict=True):
        if isinstance(picture, str):
            inspection.unreadable[name] = picture
            continue
        row, mode, in_map, levels, pixels = picture
        size = f"{row['width']} x {row['height']}"
        side = inspection.splits.get(name, "")
        inspection.rows.append({"file": name} | row | ({"split": side} if inspection.splits else {}))
        if side:
            inspection.levels_by_split[side] = inspection.levels_by_split.get(side, 0) + levels
        if not in_map:
            inspection.levels_are = "luminance"
        inspection.names.append(name)
        inspection.sizes[size] += 1
        inspection.modes[mode] += 1
        inspection.recordings[basename(name.split(SEGMENT)[0])] += 1
        inspection.levels += levels
        if np.count_nonzero(levels) == 1:
            inspection.blank.append(name)
        elif name in compared and np.ptp(pixels):
            small[name] = pixels
    sides = np.array([inspection.splits.get(name, "") for name in small])
    inspection.alike = _alike(list(small), np.array(list(small.values())), sides)
    return inspection


def _likely_map(folder: Path, names: list[str]) -> str:
    """Returns the colour map that the first picture is in which can be read, else grey."""
    for name in names:
        with suppress(Unusable):
            pixels = decode(folder / name)
            maps = possible_maps(sidecar_map(folder))
            return next((one for one in maps if to_intensity(pixels, one) is not None), USUAL[0])
    return USUAL[0]


def statistics(pixels: np.ndarray) -> dict[str, float]:
    """Returns what can be measured of one picture (height, width) or (height, width, 3), in levels of 255.

    Contrast is the range of 98 of 100 pixels, sharpness the variance of the Laplacian, noise the deviation
    that J. Immerkaer 1996 estimates ("Fast noise variance estimation"), colourfulness that of D. Hasler and
    S. Suesstrunk 2003 ("Measuring colorfulness in natural images"). Of grey values: the luminance.
    """
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)
    low, high = np.percentile(grey, (1, 99))
    measured = {"mean": grey.mean(), "std": grey.std(), "contrast": (high - low) / 255}
    measured |= dict.fromkeys(MEASURED[3:], np.nan)
    if min(grey.shape) >= 3:
        down = grey[:-2] - 2 * grey[1:-1] + grey[2:]  # second differences, down and across
        across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
        measured["sharpness"] = (down[:, 1:-1] + across[1:-1]).var()
        both = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
        measured["noise"] = np.sqrt(np.pi / 2) / 6 * np.abs(both).mean()
    if pixels.ndim == 3:
        red, green, blue = np.moveaxis(pixels.astype(np.float32), -1, 0)
        opposed = np.stack([red - green, (red + green) / 2 - blue]).reshape(2, -1)
        deviation, mean = (np.linalg.norm(of) for of in (opposed.std(1), opposed.mean(1)))
        measured["colourfulness"] = deviation + 0.3 * mean
    else:
        measured["colourfulness"] = 0.0
    return {name: round(float(value), 4) for name, value in measured.items()}


def _read(
    folder: Path, colormap: str | None, name: str
) -> tuple[dict[str, str | int | float], str, bool, np.ndarray, np.ndarray] | str:
    """Returns its row, mode, whether it is in the map, counts of levels, small pixels; or why it is unusable.

    Without a map it is a photograph: a large one is looked at in a half, third, ... of its size.
    """
    try:
        photo = picture_of(folder / name, LOOKED_AT) if colormap is None else None
        pixels = photo.pixels if photo else decode(folder / name)
    except Unusable as reason:
        return str(reason)
    if photo and (step := max(pixels.shape[:2]) // max(LOOKED_AT)) > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(step))
    intensity = to_intensity(pixels, colormap) if colormap is not None else None
    grey = Image.fromarray(pixels).convert("L")
    size, mode = (photo.size, f"{photo.mode} {photo.form}") if photo else (pixels.shape, MODES[pixels.ndim])
    row = {"width": size[1], "height": size[0], "format": photo.form if photo else "PNG"}
    row |= {"mode": mode.split()[0], "bytes": state_of(folder / name)[0]} | statistics(pixels)
    levels = np.bincount(np.ravel(np.asarray(grey) if intensity is None else intensity), minlength=256)
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32).ravel()
    return row, mode, intensity is not None, levels, small


def _alike(names: list[str], small: np.ndarray, sides: np.ndarray) -> list[tuple[str, str, float]]:
    """Returns pictures with the one that they are most like, and with that on the other side of a split, each
    pair once, the most alike first.
    """
    if len(names) < 2:
        return []
    centred = small - small.mean(1, keepdims=True)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    pairs = _pairs(unit, np.arange(len(names)))
    train, valid = (np.flatnonzero(sides == side) for side in ("train", "valid"))
    if len(train) and len(valid):
        pairs |= _pairs(unit, valid, train)
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(names[a], names[b], r) for (a, b), r in ordered]


def _pairs(
    unit: np.ndarray, rows: np.ndarray, others: np.ndarray | None = None
) -> dict[tuple[int, int], float]:
    """Returns the correlation of each row with the one that it is most like, of the others or the other rows,
    where the two are all but the same.
    """
    fitted = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(unit[rows if others is None else others])
    distances, nearest = fitted.kneighbors(None if others is None else unit[rows])
    nearest = (rows if others is None else others)[nearest[:, 0]]
    each = zip(rows.tolist(), nearest.tolist(), (1 - distances[:, 0] ** 2 / 2).tolist(), strict=True)
    return {(min(a, b), max(a, b)): r for a, b, r in each if r >= ALIKE}
