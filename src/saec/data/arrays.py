"""Defines the data kind `arrays`: traces, each an array of frames x columns with a length of its own."""

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from saec.data.batch import Dataset
from saec.data.cutting import Cutting
from saec.data.kind import DATA, Kind, Sizes
from saec.data.listed import Location, Pattern
from saec.data.npy import Columns, Traces, chosen_columns, read_array
from saec.data.store import Cache, n_bytes_of
from saec.data.stored import Windows
from saec.data.traces import ArrayFront, Scale, ScaleBy, scaling
from saec.faults import Fault, Unusable, listing
from saec.files import fingerprint
from saec.samples import SEGMENT, Samples, Several

LOG = logging.getLogger(__name__)
VERSION = 1  # raise it when the same arrays would be stored otherwise: it makes other fingerprints


@DATA.register("arrays")
class Arrays(Kind[Traces]):
    """Reads traces, arrays of frames x columns, of NPY and NPZ files: of a folder, class folders, or a table.

    `key`: which array of an NPZ (null: the only one). `names`: of all columns that files have. `columns` or
    `drop`: which of them to take, or to leave out, by numbers from 0 or by names. `scale`: each column as it
    is (none), or scaled over its file, or over the training set (set), by `scale_by`: z_score to mean 0 and
    deviation 1, min_max to [0, 1]. `rate_hz`: frames a second. `window_frames`: a training takes windows of
    so many frames, one after the other. `group`: a regular expression with one group, that finds in a path
    what groups files (a speaker). `several: first` takes the first of the rows that a table has of one file.
    `limit`: take so many files. `skip_bad`: leave out those that cannot be used.
    """

    samples_are = "traces"  # or windows of them
    items_are = "arrays"
    session_key = "arrays"
    suffixes = Traces.suffixes
    from_training_set: ClassVar = {"scale": ("set",)}
    only_in_training: ClassVar = ("limit", "window_frames")
    dtype = np.dtype(np.float32)

    def __init__(
        self,
        location: Location,
        cache: Cache,
        *,
        key: str | None = None,
        names: tuple[str, ...] = (),
        columns: Columns | None = None,
        drop: Columns = (),
        scale: Scale = "set",
        scale_by: ScaleBy = "z_score",
        rate_hz: PositiveFloat | None = None,
        window_frames: PositiveInt | None = None,
        group: Pattern | None = None,
        several: Several = "none",
        limit: PositiveInt | None = None,
        skip_bad: bool = False,
    ):
        super().__init__(Traces(location, key, limit, group, several), cache, skip_bad)
        self.key, self.names, self.columns, self.drop = key, names, columns, drop
        self.scale, self.scale_by, self.rate_hz = scale, scale_by, rate_hz
        self.cutting = Cutting(1, window_frames, None, least=1)
        self.window_frames = window_frames
        self.samples_are = "traces" if window_frames is None else "windows"
        self._scalings: dict[int, tuple[np.ndarray, ...]] = {}  # of files that have been read

    @cached_property
    def _item_of(self) -> dict[str, int]:
        return {file: item for item, file in enumerate(self.listed.paths)}

    @property
    def ids(self) -> list[str]:
        """Returns the names of the files' traces, which stand for one thing wherever they lie."""
        return self.listed.listed.names.tolist()

    @cached_property
    def n_steps(self) -> list[int]:
        """Returns the frames of each file, as headers say; 0 where it cannot be used."""
        headers = self.listed.headers[0]
        return [headers[file].n_frames if file in headers else 0 for file in self.listed.paths]

    @property
    def shape(self) -> tuple[int]:
        return (len(self.chosen),)

    @property
    def samples(self) -> Samples:
        """Returns the samples that headers promise, without those of files that cannot be used."""
        return self._promised[0]

    @cached_property
    def fingerprint(self) -> str:
        """Returns the fingerprint of the arrays in the store, however they are cut."""
        how = (self.key, self.chosen, self.scale_by if self.scale == "file" else None)
        return fingerprint("arrays", VERSION, self.cache.name_of(self.folder), self.files, how)

    def sizes(self) -> Sizes:
        """Counts samples and their frames from headers alone.

        Raises:
            Fault: headers that cannot be read, columns that are not there.
        """
        self.refuse_early(self.listed.headers[1])
        front, (samples, (_, _, n_frames)) = self._front, self._promised
        if self.window_frames and self.window_frames > n_frames.max():
            words = "data.window_frames: %d is more than any array has, so each is one window"
            LOG.warning(words, self.window_frames)
        return self.sized(len(samples), n_bytes_of(self), front, mean_frames=float(n_frames.mean()))

    def open(self) -> Dataset:
        """Reads the arrays, or finds them stored; checks those that the cache has no room for.

        Raises:
            Fault: arrays that cannot be used.
        """
        items, facts, bad = self.opened()
        n_there = zip(self.listed.paths, facts["n_steps"], strict=True)
        samples, windows = self._cut({file: n for file, n in n_there if file not in bad})
        self.refuse_bad(bad)
        left_out = self.leave_out(bad)
        if facts["constant"]:
            lines = [f"{name} in {n:,} of {len(self.files):,}" for name, n in facts["constant"]]
            words = "%s: columns have one value in a whole file, where they are not divided:\n%s"
            LOG.warning(words, self.folder, listing(lines))
        return Dataset(
            samples,
            items.cut(windows),
            np.arange(len(samples)),
            self._front,
            fingerprint(self.fingerprint, self.window_frames, samples.names.tolist()),
            {"left_out": left_out, "columns": list(self._names)},
            self.samples_are,
        )

    def read(self, item: int, first: int = 0, n: int | None = None) -> Iterator[np.ndarray]:
        """Yields (frames, columns) float32 of a file, scaled where each file has a scale of its own.

        Raises:
            Unusable: it cannot be read, or is not what was listed.
        """
        values = self._values(item)
        if self.scale == "file":
            if item not in self._scalings:
                self._scalings[item] = scaling([values], self.scale_by)
            offset, factor, _ = self._scalings[item]
            values = ((values - offset) / factor).astype(np.float32)
        yield values[first : None if n is None else first + n]

    def facts(self, unusable: dict[int, str]) -> dict[str, Any]:
        """Returns the columns that have one value in whole files, and in how many."""
        own = [constant for item, (*_, constant) in self._scalings.items() if item not in unusable]
        counts = np.sum([np.zeros(self.shape, dtype=int), *own], axis=0).tolist()
        return {"constant": [pair for pair in zip(self._names, counts, strict=True) if pair[1]]}

    @cached_property
    def chosen(self) -> list[int]:
        """Returns the numbers of the columns that are taken."""
        headers, bad = self.listed.headers
        if not headers:
            self.refuse_early(bad)
        n_columns = next(iter(headers.values())).n_columns
        return chosen_columns(n_columns, self.names, self.columns, self.drop)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.names[one] if self.names else f"column {one}" for one in self.chosen)

    @property
    def _front(self) -> ArrayFront:
        if not isinstance(self.scale, str) and len(self.scale[0]) != len(self.chosen):
            raise Fault(
                f"data.scale is of {len(self.scale[0])} columns, {len(self.chosen)} are taken of each array: "
                "take the columns that it was made of, by a run those that it was trained on"
            )
        own = self._scaling_of if self.scale == "file" else None
        return ArrayFront(self._names, self.scale, self.scale_by, self.rate_hz, own)

    @cached_property
    def _promised(self) -> tuple[Samples, Windows]:
        """Returns the samples that headers promise, and where they lie in their files."""
        return self._cut({file: header.n_frames for file, header in self.listed.headers[0].items()})

    def _cut(self, n_there: Mapping[str, int]) -> tuple[Samples, Windows]:
        """Returns the samples of files with so many frames, and where they lie in them."""
        samples, windows, _ = self.cutting.cut(
            self.listed, n_there, lambda name, file, first: f"{name}{SEGMENT}{first:07d}"
        )
        if self.window_frames is None or self.rate_hz is None:
            return samples, windows
        first, n = windows.first, windows.n_steps
        return samples.but(start_s=first / self.rate_hz, end_s=(first + n) / self.rate_hz), windows

    def _values(self, item: int) -> np.ndarray:
        """Returns the columns that are taken of a file, (frames, columns) float32; or raises `Unusable`."""
        source, path = self.files[item], self.paths[item]
        bad = self.listed.headers[1].get(source.name)
        if bad:
            raise Unusable(bad)
        try:
            array = read_array(path, self.key)[:, self.chosen]
        finally:
            source.require_unchanged(path)
        with np.errstate(all="ignore"):
            values = array.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            frame, column = (int(one[0]) for one in np.nonzero(~finite))
            what = (
                "a number too large for float32" if np.isfinite(array[frame, column]) else "NaN or infinity"
            )
            n = int((~finite.all(axis=1)).sum())
            where = f"first in frame {frame}, {self._names[column]}: mend these frames, or cut them out"
            raise Unusable(f"has {what} in {n:,} of {len(array):,} frames, {where}")
        return values

    def _scaling_of(self, file: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns offset and factor of the columns of a file, which is read for them unless it has been."""
        item = self._item_of[file]
        try:
            if item not in self._scalings:
                next(self.read(item))
        except Unusable as reason:
            raise Fault(f"{self.paths[item]} {reason}") from reason
        offset, factor, *_ = self._scalings[item]
        return offset, factor
