"""Defines the data kind `images`: PNG spectrograms, one byte a pixel where a colour map explains them."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveInt

from saec.data.batch import Dataset
from saec.data.fronts import Fit, PictureFront
from saec.data.kind import DATA, Kind, Sizes, evenly
from saec.data.listed import Location, Pattern
from saec.data.png import (
    USUAL,
    Pictures,
    decode,
    possible_maps,
    sidecar_axes,
    sidecar_map,
    size_of,
    table,
    to_intensity,
)
from saec.data.shards import SHARDS
from saec.data.store import Cache
from saec.data.stored import StartAgain
from saec.faults import Fault, Unusable, counted, listing
from saec.files import fingerprint
from saec.samples import Several

LOG = logging.getLogger(__name__)
VERSION = 1  # raise it when the same pictures would be stored otherwise: it makes other fingerprints
N_TRIED = 16  # pictures on which the colour maps are tried before all are decoded


@DATA.register("images")
class Images(Kind[Pictures]):
    """Reads PNG files of one size: grey, RGB or palette, 8 bits; of a folder, class folders, or a table.

    `channels`: intensity (one channel, the colour map inverted) or rgb. `fit`: what to do with a size that
    does not suit the model (none: refuse; pad, crop: change the right end; resize). `recursive`: take folders
    below, too. `group`: a regular expression with one group, which finds in a picture's path what groups it
    where no table does. `several: first` takes the first of the rows that a table has of one picture, `all`
    makes a sample of each label. `limit`: take so many pictures, evenly over the sorted list. `skip_bad`:
    leave out those that cannot be read.
    """

    samples_are = items_are = "pictures"
    session_key = "images"
    suffixes: ClassVar[tuple[str, ...]] = (*Pictures.suffixes, *SHARDS)
    dtype = np.dtype(np.uint8)
    n_steps = None  # a picture is one step

    def __init__(
        self,
        location: Location,
        cache: Cache,
        *,
        channels: Literal["intensity", "rgb"] = "intensity",
        fit: Fit = "none",
        recursive: bool = False,
        group: Pattern | None = None,
        several: Several = "none",
        limit: PositiveInt | None = None,
        skip_bad: bool = False,
    ):
        listed = Pictures(location, recursive, Pictures.suffixes, limit, group, several)
        super().__init__(listed, cache, skip_bad)
        self.channels, self.recursive = channels, recursive
        self.fit = fit
        self.colormap: str | None = None  # of all pictures, where they are stored as intensity
        self.not_in_map: str | None = None  # the first picture that has been read and is in no map
        self._sizes: dict[int, tuple[int, int]] = {}  # of pictures that have been read
        self._blank: set[str] = set()  # those of them that are of one colour

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(VERSION, self.cache.name_of(self.folder), self.files, self.skip_bad, self._maps)

    @cached_property
    def _maps(self) -> list[str]:
        """Returns the colour maps that the sidecars of all folders name."""
        folders = [self.folder, *sorted({path.parent for path in self.paths})]
        return list(dict.fromkeys(name for folder in folders for name in sidecar_map(folder)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the shape of a stored picture: a byte a pixel if a colour map explains all, else three."""
        return self._size if self.colormap else (*self._size, 3)

    def sizes(self) -> Sizes:
        """Counts pictures from the listing and one good header, and says whether the cache will keep them.

        Raises:
            Fault: no header can be read.
        """
        facts = self.cache.facts(self.fingerprint)
        depth = 3 if facts and facts["colormap"] is None else 1
        n_bytes = len(self.files) * math.prod(self._size) * depth
        return self.sized(len(self.samples), n_bytes, PictureFront(self._size, self.channels, self.fit))

    def open(self) -> Dataset:
        """Decodes the pictures, or finds them decoded; checks those that the cache has no room for.

        Raises:
            Fault: pictures that cannot be read, of several sizes, or in no map where intensity is wanted.
        """
        if facts := self.cache.facts(self.fingerprint):
            self.colormap, self.not_in_map = facts["colormap"], facts["not_in_map"]
        elif not self.not_in_map:
            self.colormap = self._likely_map()
            self.not_in_map = None if self.colormap else self.files[0].name
        try:
            stored, facts, bad = self.opened()
        except StartAgain as reason:
            LOG.info("%s", reason)
            self.colormap = None
            stored, facts, bad = self.opened()
        if self.channels == "intensity" and facts["colormap"] is None:
            raise Fault(
                f"{self.folder / facts['not_in_map']} is in no colour map that is known (the sidecar's, "
                f"{', '.join(USUAL)}), so without intensity: train with `data.channels: rgb`, or leave it out"
            )
        colours = table(facts["colormap"]) if facts["colormap"] else None
        axes = sidecar_axes(self.paths[0].parent, self._size)
        front = PictureFront(self._size, self.channels, self.fit, colours, stored_axes=axes)
        for remark in counted(facts.get("blank", ()), f"of {len(self.files):,} pictures are of one colour"):
            LOG.warning("%s: %s", self.folder, remark)
        return self.of_whole_files(stored, bad, front, colormap=facts["colormap"] or "none")

    def read(self, item: int, first: int = 0, n: int | None = None) -> Iterator[np.ndarray]:
        """Yields (1, height, width) of intensity, or without a map (1, height, width, 3).

        Raises:
            Unusable: it cannot be read, or is not what was listed.
            StartAgain: it has colours that the map has not.
        """
        picture = self._decoded(item)
        self._sizes[item] = picture.shape[:2]
        if (picture == picture[:1, :1]).all():
            self._blank.add(self.files[item].name)
        if self.colormap is None:
            yield (picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1))[None]
            return
        levels = to_intensity(picture, self.colormap)
        if levels is None:
            name = self.files[item].name
            self.not_in_map = min(self.not_in_map or name, name)  # several are read at once
            raise StartAgain(f"{name} is in no colour map with the others: all are taken as RGB")
        yield levels[None]

    def facts(self, unusable: dict[int, str]) -> dict[str, Any]:
        """Returns the colour map.

        Raises:
            Fault: pictures are of several sizes, or cannot be read and `skip_bad` is not set.
        """
        bad = {self.files[item].name: reason for item, reason in unusable.items()}
        self.refuse_bad(bad)
        names: dict[tuple[int, int], list[str]] = defaultdict(list)
        for item, size in sorted(self._sizes.items()):
            if item not in unusable:
                names[size].append(self.files[item].name)
        if len(names) > 1:
            lines = [
                f"{width} x {height}: {len(some)}, {', '.join(some[:3])}{', ...' if len(some) > 3 else ''}"
                for (height, width), some in sorted(names.items(), key=lambda pair: -len(pair[1]))
            ]
            raise Fault(
                f"{self.folder} holds pictures of {len(names)} sizes (width x height), one is expected; "
                f"put each size into a folder of its own:\n{listing(lines)}"
            )
        return {"colormap": self.colormap, "not_in_map": self.not_in_map, "blank": sorted(self._blank)}

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Returns the size of the first readable header, or decodable picture if bad ones are left out."""
        reasons = []
        for file, path in zip(self.files, self.paths, strict=True):
            try:
                return decode(path).shape[:2] if self.skip_bad else size_of(path)
            except Unusable as reason:
                reasons.append(f"{file.name} {reason}")
        raise Fault(f"{self.folder}: none of its pictures can be used:\n{listing(reasons)}")

    def _likely_map(self) -> str | None:
        """Returns the colour map, of the sidecar or a usual one, that explains most pictures of a few."""
        pictures = []
        for item in evenly(range(len(self.files)), N_TRIED):
            with suppress(Unusable):
                pictures.append(self._decoded(item))
        n_explained = {
            name: sum(to_intensity(picture, name) is not None for picture in pictures)
            for name in possible_maps(self._maps)
        }
        best = max(n_explained, key=n_explained.__getitem__)  # of equals the first
        return None if pictures and not n_explained[best] else best

    def _decoded(self, item: int) -> np.ndarray:
        picture = decode(self.paths[item])
        self.files[item].require_unchanged(self.paths[item])
        return picture
