"""A list of PNG files becomes arrays of bytes; what cannot be used is found in one go and said at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from saec.data.ahead import ahead
from saec.data.arriving import Take
from saec.data.colormaps import USUAL, to_intensity
from saec.data.folder import File, evenly
from saec.data.png import Unusable, decode
from saec.faults import Fault, listing
from saec.files import write_text
from saec.progress import progress

N_TRIED = 16  # pictures on which the colour maps are tried before all are decoded
N_AHEAD = 256  # pictures decoded before the first of them must be taken


class NotInMap(Exception):
    """A picture with a colour that is not in the map."""


@dataclass(frozen=True)
class Listed:
    """The pictures of a folder as they were listed, and how they are read."""

    folder: Path
    files: Sequence[File]
    skip_bad: bool = False
    n_workers: int = 0

    def read(self, file: File, colormap: str | None) -> np.ndarray:
        """Intensity (height, width) uint8, or without a map RGB (height, width, 3).

        Raises:
            Unusable: it cannot be read, or is not what was listed.
            NotInMap: it has colours that the map has not; its name.
        """
        picture = self._decoded(file)
        if colormap is None:
            return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
        levels = to_intensity(picture, colormap)
        if levels is None:
            raise NotInMap(file.name)
        return levels

    def read_all(self, colormap: str | None) -> Iterator[np.ndarray | Unusable]:
        """Each picture as `read` gives it, or why it cannot be used, in the order of the list."""

        def one(file: File) -> np.ndarray | Unusable:
            try:
                return self.read(file, colormap)
            except Unusable as reason:
                return reason

        if self.n_workers == 0:
            return map(one, self.files)
        return ahead(one, self.files, N_AHEAD, self.n_workers)

    def likely_map(self, maps: list[str]) -> str | None:
        """The colour map, of `maps` or the usual ones, that explains most pictures of a sample."""
        pictures = []
        for file in evenly(self.files, N_TRIED):
            with suppress(Unusable):
                pictures.append(self._decoded(file))
        known = [name for name in maps if name in matplotlib.colormaps]
        n_explained = {
            name: sum(to_intensity(picture, name) is not None for picture in pictures)
            for name in dict.fromkeys([*known, *USUAL])
        }
        best = max(n_explained, key=n_explained.get)  # of equals the first
        return None if pictures and not n_explained[best] else best

    def _decoded(self, file: File) -> np.ndarray:
        path = self.folder / file.name
        picture = decode(path)
        if file.has_changed(path):
            raise Unusable("was changed after the folder was listed: call again")
        return picture


def go_through(
    listed: Listed, size: tuple[int, int], colormap: str | None, take: Take, doing: str
) -> dict[str, Any]:
    """Reads every picture, hands it to `take` with its row, and returns what is known of them all.

    Raises:
        NotInMap: a picture has colours that the map has not.
        Fault: pictures are of several sizes, or cannot be read and `skip_bad` is not set.
    """
    bad: dict[str, str] = {}
    sizes: dict[tuple[int, ...], list[str]] = defaultdict(list)
    with closing(progress(listed.read_all(colormap), doing, len(listed.files), " pictures")) as pictures:
        for row, (file, picture) in enumerate(zip(listed.files, pictures, strict=True)):
            if isinstance(picture, Unusable):
                bad[file.name] = str(picture)
                continue
            sizes[picture.shape[:2]].append(file.name)
            if picture.shape[:2] == size:
                take(row, picture)
    refuse_bad(bad, listed.folder, len(listed.files), listed.skip_bad, "pictures")
    _refuse_mixed(sizes, listed.folder)
    good = [(row, file.name) for row, file in enumerate(listed.files) if file.name not in bad]
    rows, names = ([pair[place] for pair in good] for place in (0, 1))
    return {"colormap": colormap, "rows": rows, "names": names, "left_out": list(bad)}


def refuse_bad(
    bad: dict[str, str], folder: Path, n_all: int, skip_bad: bool, what: str, listed: bool = True
) -> None:
    """Raises a `Fault` where some, or with `skip_bad` all, cannot be used.

    Ten are in the message, and all of them (`listed`) in a file beside the folder.
    """
    if not bad or (skip_bad and len(bad) < n_all):
        return
    lines = [f"{name} {reason}" for name, reason in bad.items()]
    place = _write_list(folder, lines) if listed else "the first of them"
    remedy = "mend or remove them" + ("" if skip_bad else ", or leave them out with `data.skip_bad: true`")
    raise Fault(
        f"{len(bad)} of {n_all} {what} in {folder} cannot be used, {remedy}; {place}:\n{listing(lines)}"
    )


def _write_list(folder: Path, lines: list[str]) -> str:
    """Where it is, in words."""
    file = folder.parent / f"unusable_{folder.name}.txt"
    try:
        write_text(file, "\n".join(lines) + "\n")
    except OSError:
        return f"{file} for all of them could not be written"
    return f"all are listed in {file}"


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
