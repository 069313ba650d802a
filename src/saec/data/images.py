"""The data kind `images`: PNG spectrograms, one byte a pixel wherever a colour map explains them."""

import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from saec.data.batch import DATA, Dataset, Survey
from saec.data.colormaps import USUAL, table
from saec.data.decoding import NotInMap, fill, likely_map
from saec.data.fit import Fit, PictureFront
from saec.data.folder import list_pictures, sidecar_map
from saec.data.labels import known_of
from saec.data.png import Unusable, decode, size_of
from saec.data.store import Cache
from saec.faults import Fault, listing
from saec.files import GB, fingerprint

LOG = logging.getLogger(__name__)
VERSION = 1  # of the store's contents: raise it when the same pictures would be stored otherwise


@DATA.register("images")
class Images:
    """PNG files directly in a folder, all of one size: grey, RGB or palette, 8 bits.

    `channels`: intensity (one channel, the colour map inverted) or rgb. `fit`: what to do with a size that
    does not suit the model (none: refuse; pad, crop: change the right end; resize). `limit`: take so many
    pictures, evenly over the sorted list. `skip_bad`: leave out pictures that cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        cache: Cache,
        *,
        channels: Literal["intensity", "rgb"] = "intensity",
        fit: Fit = "none",
        limit: PositiveInt | None = None,
        skip_bad: bool = False,
    ):
        self.folder = folder
        self.cache = cache
        self.channels = channels
        self.fit = fit
        self.skip_bad = skip_bad
        self.files = list_pictures(folder, limit)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(VERSION, str(self.folder), self.files, self.skip_bad, sidecar_map(self.folder))

    def survey(self) -> Survey:
        """Count and size, from the listing and one good header.

        Raises:
            Fault: no header can be read, or the decoded pictures would not fit into the cache.
        """
        size = self._size()
        n_bytes = len(self.files) * size[0] * size[1]
        if self.cache.find(self.fingerprint) is None:
            self.cache.require_room(n_bytes)
        return Survey(len(self.files), n_bytes, PictureFront(size, self.channels, self.fit))

    def open(self) -> Dataset:
        """The pictures, decoded now or on an earlier day.

        Raises:
            Fault: pictures that cannot be read, of several sizes, or in no map where intensity is asked.
        """
        stored, about = self.cache.find(self.fingerprint) or self._build()
        colormap = about["colormap"]
        if self.channels == "intensity" and colormap is None:
            raise Fault(
                f"{self.folder / about['odd']} is in no colour map that is known (the sidecar's, "
                f"{', '.join(USUAL)}), so it has no intensity: use `data.channels: rgb`, or leave it out"
            )
        if about["left_out"]:
            LOG.warning("%s: left out, unusable:\n%s", self.folder, listing(about["left_out"]))
        names = np.array(about["names"], dtype=str)
        front = PictureFront(
            stored.shape[1:3], self.channels, self.fit, table(colormap) if colormap else None
        )
        facts = {"colormap": colormap or "none", "left_out": about["left_out"]}
        rows = np.array(about["rows"], dtype=np.int64)
        return Dataset(names, *known_of(names, self.folder), stored, rows, front, self.fingerprint, facts)

    def _size(self) -> tuple[int, int]:
        """Of the first picture whose header can be read; that can be decoded, where bad ones are left out."""
        reasons = []
        for file in self.files:
            try:
                path = self.folder / file.name
                return decode(path).shape[:2] if self.skip_bad else size_of(path)
            except Unusable as reason:
                reasons.append(f"{file.name} {reason}")
        raise Fault(f"{self.folder}: none of its pictures can be used:\n{listing(reasons)}")

    def _build(self) -> tuple[np.ndarray, dict[str, Any]]:
        """One byte a pixel if a colour map explains all pictures, else three."""
        names = [file.name for file in self.files]
        shape = (len(names), *self._size())
        LOG.info("decoding %s pictures of %s (%.2f GB)", f"{len(names):,}", self.folder, np.prod(shape) / GB)
        put = partial(
            fill, folder=self.folder, names=names, skip_bad=self.skip_bad, n_workers=self.cache.n_workers
        )
        colormap = likely_map(self.folder, names, sidecar_map(self.folder))
        odd = names[0]
        if colormap is not None:
            try:
                return self.cache.build(self.fingerprint, shape, np.uint8, partial(put, colormap=colormap))
            except NotInMap as error:
                odd = str(error)

        def put_rgb(array: np.ndarray) -> dict[str, Any]:
            return put(array, colormap=None) | {"odd": odd}

        return self.cache.build(self.fingerprint, (*shape, 3), np.uint8, put_rgb)
