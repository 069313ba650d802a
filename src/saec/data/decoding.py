"""A list of PNG files becomes one array of bytes; what cannot be used is found in one go and said at once."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from saec.data.colormaps import USUAL, to_intensity
from saec.data.folder import evenly
from saec.data.png import Unusable, decode
from saec.faults import Fault, listing
from saec.files import write_text
from saec.progress import progress

N_TRIED = 16  # pictures on which the colour maps are tried before all are decoded
N_AHEAD = 256  # pictures decoded before the first of them must be taken


class NotInMap(Exception):
    """A picture with a colour that is not in the map."""


def likely_map(folder: Path, names: list[str], maps: list[str]) -> str | None:
    """The colour map, of `maps` or the usual ones, that explains most pictures of a sample."""
    tried = [picture for _, picture in _decoded(folder, evenly(names, N_TRIED), 0)]
    pictures = [picture for picture in tried if not isinstance(picture, Unusable)]
    known = [name for name in maps if name in matplotlib.colormaps]
    n_explained = {
        name: sum(to_intensity(picture, name) is not None for picture in pictures)
        for name in dict.fromkeys([*known, *USUAL])
    }
    best = max(n_explained, key=n_explained.get)  # of equals the first
    return None if pictures and not n_explained[best] else best


def fill(
    array: np.ndarray, folder: Path, names: list[str], colormap: str | None, skip_bad: bool, n_workers: int
) -> dict[str, Any]:
    """Decodes every picture into its row: intensity (n, height, width), or without a map RGB (n, ..., 3).

    Raises:
        NotInMap: a picture has colours that the map has not.
        Fault: pictures are of several sizes, or cannot be read and `skip_bad` is not set.
    """
    bad: dict[str, str] = {}
    sizes: dict[tuple[int, ...], list[str]] = defaultdict(list)
    pictures = progress(_decoded(folder, names, n_workers), "decoding", len(names), " pictures")
    for row, (name, picture) in enumerate(pictures):
        if isinstance(picture, Unusable):
            bad[name] = str(picture)
            continue
        sizes[picture.shape[:2]].append(name)
        if picture.shape[:2] == array.shape[1:3]:
            array[row] = _stored(picture, colormap, name)
    _refuse_bad(bad, folder, skip_bad, len(names))
    _refuse_mixed(sizes, folder)
    rows = [row for row, name in enumerate(names) if name not in bad]
    return {"colormap": colormap, "rows": rows, "names": [names[row] for row in rows], "left_out": list(bad)}


def _decoded(folder: Path, names: list[str], n_workers: int) -> Iterator[tuple[str, np.ndarray | Unusable]]:
    """Each picture, or why it cannot be used, in the order of the names."""

    def one(name: str) -> tuple[str, np.ndarray | Unusable]:
        try:
            return name, decode(folder / name)
        except Unusable as reason:
            return name, reason

    if n_workers == 0:
        yield from map(one, names)
        return
    with ThreadPoolExecutor(n_workers) as threads:
        for start in range(0, len(names), N_AHEAD):
            yield from threads.map(one, names[start : start + N_AHEAD])


def _stored(picture: np.ndarray, colormap: str | None, name: str) -> np.ndarray:
    if colormap is None:
        return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    levels = to_intensity(picture, colormap)
    if levels is None:
        raise NotInMap(name)
    return levels


def _refuse_bad(bad: dict[str, str], folder: Path, skip_bad: bool, n_all: int) -> None:
    """Ten in the message, all in a file beside the folder."""
    if not bad or (skip_bad and len(bad) < n_all):
        return
    lines = [f"{name} {reason}" for name, reason in bad.items()]
    file = folder.parent / f"unusable_{folder.name}.txt"
    try:
        write_text(file, "\n".join(lines) + "\n")
        place = f"all are listed in {file}"
    except OSError:
        place = f"{file} for all of them could not be written"
    remedy = "mend or remove them" + ("" if skip_bad else ", or leave them out with `data.skip_bad: true`")
    raise Fault(
        f"{len(bad)} of {n_all} pictures in {folder} cannot be used, {remedy}; {place}:\n{listing(lines)}"
    )


def _refuse_mixed(sizes: dict[tuple[int, ...], list[str]], folder: Path) -> None:
    if len(sizes) <= 1:
        return
    lines = [
        f"{width} x {height}: {len(names)}, {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for (height, width), names in sorted(sizes.items(), key=lambda pair: -len(pair[1]))
    ]
    raise Fault(
        f"{folder} holds pictures of {len(sizes)} sizes (width x height), one is expected; "
        f"put each size into a folder of its own:\n{listing(lines)}"
    )
