"""The data kind `images`: PNG spectrograms, one byte a pixel wherever a colour map explains them."""

import logging
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Dataset, Stored, shades
from saec.data.colormaps import USUAL, table
from saec.data.decoding import (
    Listed,
    NotInMap,
    Streamed,
    Unusable,
    decode,
    go_through,
    list_pictures,
    sidecar_map,
    size_of,
)
from saec.data.kind import DATA, Sizes
from saec.data.labels import known_of
from saec.data.store import Arriving, Cache, Take
from saec.faults import Fault, listing
from saec.files import GB, fingerprint
from saec.samples import Samples

Fit = Literal["none", "pad", "crop", "resize"]


@dataclass(frozen=True)
class PictureFront:
    """From (batch, height, width[, 3]) uint8 to (batch, channels, height, width) float."""

    stored: tuple[int, int]  # height and width of a stored picture
    channels: Literal["intensity", "rgb"]
    fit: Fit = "none"
    colours: np.ndarray | None = None  # (256, 3): the map, where intensity is stored
    size: tuple[int, int] | None = None  # height and width that come out

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1 if self.channels == "intensity" else 3, *(self.size or self.stored))

    @property
    def in_units(self) -> bool:
        return True

    def from_training_set(self, batches: Iterable[Tensor]) -> dict[str, Any]:
        return {}

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "PictureFront":
        """The same front end with the size that a model needs; `width` where it takes that one alone.

        Raises:
            Fault: the stored size does not suit the model and `fit` is none, or it is too narrow to crop.
        """
        wanted, (high, wide) = height or self.stored[0], self.stored
        if width is not None:
            return self._as_wide(wanted, width)
        if self.fit == "none" and (high != wanted or wide % time_pool):
            raise Fault(
                f"pictures are {wide} wide and {high} high, the model needs a width that is a multiple of "
                f"{time_pool} and a height of {wanted}: choose `data.fit: pad`, `crop` or `resize`, another "
                "model, or make the pictures anew"
            )
        if self.fit == "crop" and wide < time_pool:
            raise Fault(f"pictures of width {wide} cannot be cropped to {time_pool}: choose `data.fit: pad`")
        steps = {"pad": ceil(wide / time_pool), "crop": wide // time_pool}
        n_steps = steps.get(self.fit, max(1, round(wide / time_pool)))
        return replace(self, size=(wanted, n_steps * time_pool))

    def _as_wide(self, height: int, width: int) -> "PictureFront":
        high, wide = self.stored
        narrow = self.fit in ("none", "crop") and wide < width
        if (
            self.fit == "none"
            and (high, wide) != (height, width)
            or narrow
            or self.fit == "pad"
            and wide > width
        ):
            raise Fault(
                f"pictures are {wide} wide and {high} high, the model takes {width} x {height} alone: choose "
                "`data.fit: resize`, another model, or make the pictures anew"
            )
        return replace(self, size=(height, width))

    def __call__(self, raw: Tensor) -> Tensor:
        x = self._floats(raw)
        if self.size is None or x.shape[2:] == self.size:
            return x
        height, width = self.size
        resized = (height, width if self.fit == "resize" else x.shape[3])
        if x.shape[2:] != resized:
            x = F.interpolate(x, resized, mode="bilinear", antialias=True).clamp(0, 1)
        return self._padded(x[..., :width], width - x.shape[3])

    def show(self, values: Tensor, like: Tensor | None = None) -> np.ndarray:
        """Returns pictures as they are, as an array."""
        return shades(values)

    def _floats(self, raw: Tensor) -> Tensor:
        if raw.ndim == 4:  # stored as RGB
            return raw.permute(0, 3, 1, 2).float() / 255
        if self.channels == "intensity":
            return raw[:, None].float() / 255
        colours = torch.from_numpy(self.colours).to(raw.device)
        return colours[raw.long()].permute(0, 3, 1, 2).float() / 255

    def _padded(self, x: Tensor, n: int) -> Tensor:
        """The floor colour on the right, n columns of it."""
        if n <= 0:
            return x
        floor = torch.zeros(x.shape[1], device=x.device)
        if self.channels == "rgb" and self.colours is not None:
            floor = torch.from_numpy(self.colours[0]).to(x.device).float() / 255
        return torch.cat([x, floor[None, :, None, None].expand(*x.shape[:3], n)], dim=3)


LOG = logging.getLogger(__name__)
VERSION = 1  # of the store's contents: raise it when the same pictures would be stored otherwise


@DATA.register("images")
class Images:
    """PNG files directly in a folder, all of one size: grey, RGB or palette, 8 bits.

    `channels`: intensity (one channel, the colour map inverted) or rgb. `fit`: what to do with a size that
    does not suit the model (none: refuse; pad, crop: change the right end; resize). `limit`: take so many
    pictures, evenly over the sorted list. `skip_bad`: leave out pictures that cannot be read.
    """

    samples_are = "pictures"
    session_key = "images"
    from_training_set: ClassVar[dict[str, tuple[str, ...]]] = {}
    undecided = from_training_set

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
        if isinstance(folder, tuple):
            raise Fault(f"pictures lie in one folder, got {len(folder)}")
        self.folder = folder
        self.cache = cache
        self.channels = channels
        self.fit = fit
        self.files = list_pictures(folder, limit)
        self.listed = Listed(folder, self.files, skip_bad, cache.n_workers)
        self.odd: str | None = None  # a picture in no colour map, once one is met

    @property
    def state(self) -> list[tuple]:
        """Of each picture: name, bytes and time of change."""
        return self.files

    @cached_property
    def samples(self) -> Samples:
        """The pictures that are listed, those that cannot be read among them."""
        return self._samples([file.name for file in self.files])

    def _samples(self, names: list[str]) -> Samples:
        labels, groups = known_of(np.array(names, dtype=str), self.folder)
        return Samples.of(names, label=labels, group=groups)

    @property
    def labels(self) -> np.ndarray:
        return self.samples.labels

    @cached_property
    def fingerprint(self) -> str:
        maps = sidecar_map(self.folder)
        return fingerprint(VERSION, str(self.folder), self.files, self.listed.skip_bad, maps)

    def sizes(self) -> Sizes:
        """Count and size, from the listing and one good header, and whether the cache will keep them.

        Raises:
            Fault: no header can be read.
        """
        size, known = self._size, self.cache.facts(self.fingerprint)
        depth = 3 if known and known["colormap"] is None else 1
        n_bytes = len(self.files) * size[0] * size[1] * depth
        kept = self.cache.find(self.fingerprint) is not None
        front = PictureFront(size, self.channels, self.fit)
        return Sizes(len(self.files), n_bytes, front, "" if kept else self.cache.no_room(n_bytes))

    survey = sizes  # its former name

    def open(self, early: bool = False) -> Dataset:
        """The pictures, decoded now or on an earlier day; those that the cache has no room for are checked.

        Raises:
            Fault: pictures that cannot be read, of several sizes, or in no map where intensity is asked.
        """
        stored, about = self._opened(early and not self.listed.skip_bad)
        colormap = about["colormap"]
        if self.channels == "intensity" and colormap is None:
            raise Fault(
                f"{self.folder / about['odd']} is in no colour map that is known (the sidecar's, "
                f"{', '.join(USUAL)}), so it has no intensity: use `data.channels: rgb`, or leave it out"
            )
        if about["left_out"]:
            LOG.warning("%s: left out, unusable:\n%s", self.folder, listing(about["left_out"]))
        front = PictureFront(
            stored.shape[1:3], self.channels, self.fit, table(colormap) if colormap else None
        )
        facts = {"colormap": colormap or "none", "left_out": about["left_out"]}
        rows = np.array(about["rows"], dtype=np.int64)
        return Dataset(self._samples(about["names"]), stored, rows, front, self.fingerprint, facts)

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Of the first picture whose header can be read; that can be decoded, where bad ones are left out."""
        reasons = []
        for file in self.files:
            try:
                path = self.folder / file.name
                return decode(path).shape[:2] if self.listed.skip_bad else size_of(path)
            except Unusable as reason:
                reasons.append(f"{file.name} {reason}")
        raise Fault(f"{self.folder}: none of its pictures can be used:\n{listing(reasons)}")

    def _opened(self, early: bool) -> tuple[Stored, dict[str, Any]]:
        """One byte a pixel if a colour map explains all pictures, else three."""
        found = self.cache.find(self.fingerprint)
        if found:
            return found
        known = self.cache.facts(self.fingerprint)
        if known:
            self.odd = known["odd"]
            return self._decoded(known["colormap"], known, early)
        colormap = None if self.odd else self.listed.likely_map(sidecar_map(self.folder))
        if colormap:
            with suppress(NotInMap):
                return self._decoded(colormap, None, early)
        self.odd = self.odd or self.files[0].name
        return self._decoded(None, None, early and self.channels == "rgb")

    def _decoded(
        self, colormap: str | None, known: dict[str, Any] | None, early: bool
    ) -> tuple[Stored, dict[str, Any]]:
        """Into the cache where it has room; `known` is what an earlier look has found."""
        shape = (len(self.files), *self._size, *(() if colormap else (3,)))
        n_bytes = math.prod(shape)
        what = f"{len(self.files):,} pictures of {self.folder} ({n_bytes / GB:.2f} GB)"
        no_room = self.cache.no_room(n_bytes)
        if no_room:
            LOG.info("%s are decoded whenever they are used: %s", what, no_room)
            return Streamed(self.listed, shape, colormap), known or self._checked(colormap)
        LOG.info("decoding %s", what)
        build = partial(self.cache.build, self.fingerprint, shape, np.uint8)
        decode_all = partial(self._go_through, colormap, doing="decoding")
        if early and self.listed.n_workers:
            return Arriving(shape, build, decode_all), self._expected(colormap)
        return build(lambda array: decode_all(array.__setitem__))

    def _checked(self, colormap: str | None) -> dict[str, Any]:
        """Decodes every picture once, so that none is a surprise later, and keeps what was found."""
        about = self._go_through(colormap, lambda row, picture: None, "checking")
        self.cache.keep_facts(self.fingerprint, about)
        return about

    def _go_through(self, colormap: str | None, take: Take, doing: str) -> dict[str, Any]:
        try:
            return go_through(self.listed, self._size, colormap, take, doing) | {"odd": self.odd}
        except NotInMap as error:
            self.odd = str(error)
            raise

    def _expected(self, colormap: str | None) -> dict[str, Any]:
        """What is known of pictures that are still arriving."""
        names, rows = [file.name for file in self.files], np.arange(len(self.files))
        return {"colormap": colormap, "rows": rows, "names": names, "left_out": [], "odd": self.odd}
