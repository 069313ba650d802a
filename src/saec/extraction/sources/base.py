"""Defines what a source of features is: it turns samples into named arrays, one row a sample."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from saec.config import Config
from saec.data import Dataset, Raw, chunks
from saec.data.ahead import ahead
from saec.data.kind import Kind, Location, Sizes, is_remote
from saec.extraction.data import ExtractionData
from saec.extraction.outputs import Outputs
from saec.extraction.parts import PLAN, OtherShard, Part, Shapes, Shard, Work
from saec.extraction.rows import Earlier, rows_of
from saec.faults import Fault, KeptFault
from saec.features import CODES
from saec.files import fingerprint, map_npz, remove
from saec.progress import progress
from saec.registry import Registry, sentences
from saec.samples import Samples

T = TypeVar("T")
LOG = logging.getLogger(__name__)
N_AHEAD = 2  # batches on the device before they are encoded
N_BEHIND = 8  # batches that are encoded before the first of them is written
FITTED = ("run", "combiner")  # sources for which samples are brought to a size, by `data.fit`
SOURCES = Registry("source", given="value data config faults")
"""Functions (value, data, config, faults, *, options) -> Source, or None with what is wrong in the faults.

The name is a key of an extraction session, the first parameter's type that of its value; the options are keys
of the session, too, with the same default in all sources that have them.
"""


@dataclass
class Computed:
    """Holds the arrays that a source has computed, (samples, ...) each, by what they are."""

    samples: Samples
    arrays: dict[str, np.ndarray]
    data: Dataset
    shared: dict[str, Path] = field(default_factory=dict)  # earlier files that hold an array as it is
    offsets: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))  # of samples in that of codes

    def named(self, array: str) -> dict[str, np.ndarray]:
        """Returns an array as it is named in its file."""
        values = self.arrays[array]
        return {"values": values, "offsets": self.offsets} if array == CODES else {"X": values}

    @property
    def band(self) -> tuple[float, float] | None:
        """Returns the lowest and highest Hz that samples show, None where nothing says it."""
        rate = self.data.about.get("sample_rate")
        return self.data.axes.band or ((0.0, rate / 2) if isinstance(rate, int | float) else None)


Fill = Callable[["Source", Part, Dataset], None]


@dataclass
class Source:
    """Computes named arrays of samples. `X` are latents, `pooled` is (samples, features), `probabilities`
    (samples, classes); latents of samples with lengths of their own are `codes`, (steps, channels).
    """

    name: str  # stands in the names of files
    path: Path  # of the model
    data: ExtractionData
    kind: Kind  # the samples
    sizes: Sizes  # of the samples, and of what comes out of their front end
    settings: dict[str, Any]  # what must be equal for features to be the same
    npz: dict[str, str]  # what the name of each array's file begins with
    classes: tuple[str, ...] = field(default=(), kw_only=True)
    device: torch.device = field(default=torch.device("cpu"), kw_only=True)
    always_anew = False  # whether files that are there are replaced, whatever their settings

    @property
    def shapes(self) -> Shapes:
        """Returns shape and type of one row of each array."""
        raise NotImplementedError

    @property
    def derived(self) -> dict[str, str]:
        """Returns the arrays that `derive` gives, each with the setting that it depends on."""
        return {}

    def derive(self, latents: Tensor, n_steps: Tensor | None = None) -> dict[str, Tensor]:
        """Returns rows of the derived arrays from rows of `X`, or of codes with so many own steps."""
        return {}

    def offsets(self, data: Dataset) -> np.ndarray:
        """Returns where samples begin in the array of codes, (samples + 1,), which may have no steps."""
        return np.zeros(len(data) + 1, dtype=np.int64)

    def n_bytes(self, earlier: Earlier | None = None) -> int:
        """Returns the bytes of all arrays, but those that unchanged files hold."""
        there = earlier.npz if earlier and not earlier.changed else ()
        n_steps = {CODES: self.sizes.mean_frames or 1}
        sizes = [
            int(np.prod(shape)) * np.dtype(kind).itemsize * n_steps.get(name, 1)
            for name, (shape, kind) in self.shapes.items()
            if name not in there
        ]
        return round(self.sizes.n_samples * sum(sizes))

    def describe(self) -> str:
        """Returns what computes, in words."""
        raise NotImplementedError

    def seconds(self) -> float | None:
        """Measures how long all samples take; None where that is not known."""
        return None

    def folder_beside(self, id: str, config: Config) -> Path:
        """Returns the folder above that of the samples; a table's, or that of class folders, holds no samples
        itself, or holds the features that version 0.1.0 put there. Raises a `Fault` for a remote one.
        """
        if is_remote(self.data.location):
            words = "name a folder of this machine, or an address"
            raise Fault(f"features cannot lie beside a remote folder: {words}")
        folder, wanted = self.kind.folder, self.data.model_dump(mode="json")
        if self.data.location == str(folder):
            return folder.parent
        among = folder != config.data and any("/" not in file for file in self.kind.samples.files)
        there = Outputs(folder).of(id, wanted, self.data.key).about.is_file()
        return folder.parent if among and not there else folder

    def sized(self, data: Dataset) -> Dataset:
        """Returns the samples in a size that the source can take."""
        return data

    def batch_size(self, data: Dataset) -> int:
        raise NotImplementedError

    def pieces(self, rows: np.ndarray, data: Dataset) -> Iterable[np.ndarray]:
        """Returns the rows batch by batch."""
        return chunks(rows, self.batch_size(data))

    def rows(self, data: Dataset, stored: Raw, n: int) -> dict[str, Tensor]:
        """Returns the rows of the first n samples of a batch, as the store holds them."""
        raise NotImplementedError

    def draw(self, computed: Computed, file: Path) -> None:
        """Draws what the source makes of some samples, where it has something to show."""

    def compute(
        self,
        folder: Path,
        earlier: Earlier | None,
        shards: Mapping[Shard, Path] | None = None,
        fill: Fill | None = None,
    ) -> Computed:
        """Computes all rows, in the part folder, on from where an interrupted call was; rows that are there
        are taken from shards. `fill` computes batches elsewhere.

        Raises:
            Fault: samples cannot be read, what comes out is not finite, or a shard does not belong to it.
        """

        def compute(data: Dataset) -> Computed:
            pairs, shared = _unchanged(data, earlier)
            work = self._work(data, pairs, shared)
            part = work.begin(folder)
            for shard, lies in (shards or {}).items():
                part.take(shard, work.find(lies, shard))
            self._take(part, earlier.npz if earlier else {}, pairs, self.batch_size(data))
            (fill or Source.fill)(self, part, data)
            keys = {name: "values" if name == CODES else "X" for name in shared}
            arrays = part.arrays | {name: map_npz(file, keys[name]) for name, file in shared.items()}
            arrays = {name: arrays[name] for name in self.shapes}
            return Computed(data.samples, arrays, data, shared, work.offsets)

        return self._with_samples(compute, folder)

    def compute_shard(self, shard: Shard, folders: Mapping[Shard, Path], earlier: Earlier | None) -> bool:
        """Computes the rows of one shard, in its folder; returns whether those of all shards are there.

        Raises:
            Fault: samples cannot be read, or what comes out is not finite.
        """

        def compute(data: Dataset) -> bool:
            work = self._work(data, *_unchanged(data, earlier))
            self.fill(work.begin(folders[shard], shard), data)
            begun = {other: folder for other, folder in folders.items() if (folder / PLAN).is_file()}
            try:
                done = [bool(work.find(folder, other).done.all()) for other, folder in begun.items()]
            except OtherShard as fault:
                LOG.warning("%s", fault)
                return False
            return len(done) == shard.n and all(done)

        return self._with_samples(compute, folders[shard])

    def _with_samples(self, compute: Callable[[Dataset], T], folder: Path) -> T:
        """Opens the samples, of which all must turn out good: if some do not, the rest is of no use; where
        a disk is full or gone, it is.
        """
        try:
            return compute(self.sized(self.kind.open()))
        except Fault as fault:
            if not (isinstance(fault, KeptFault) and (folder / PLAN).is_file()):
                remove(folder)
            raise

    def _work(self, data: Dataset, pairs: np.ndarray, shared: dict[str, Path]) -> Work:
        facts: dict[str, Any] = {"settings": (self.settings, self.data.changes), "samples": data.fingerprint}
        facts["colour map"] = data.about.get("colormap")
        shapes = {name: shape for name, shape in self.shapes.items() if name not in shared}
        batches = list(self.pieces(np.setdiff1d(np.arange(len(data)), pairs[:, 0]), data))
        prints = {name: fingerprint(fact) for name, fact in facts.items()}
        return Work(batches, len(data), shapes, self.offsets(data), prints)

    def _take(self, part: Part, npz: dict[str, Path], pairs: np.ndarray, size: int) -> None:
        """Takes rows over from files, and derives what those do not hold; not all need fit into memory."""
        for name, file in npz.items():
            missing = self.shapes.keys() - npz.keys() if name in ("X", CODES) else ()
            for some in chunks(pairs, size) if name in part.arrays or missing else ():
                before, n_steps = rows_of(file, name, some[:, 1])
                latents = torch.from_numpy(np.array(before))
                derived = self.derive(latents, n_steps) if missing else {}
                part.write(some[:, 0], {name: latents} | {one: derived[one] for one in missing})

    def gather(self, samples: np.ndarray, data: Dataset) -> Raw:
        """Returns a batch as it is stored, the last one filled up to the size of all."""
        if CODES not in self.shapes:  # so that a row does not depend on the others
            samples = np.pad(samples, (0, self.batch_size(data) - len(samples)), mode="edge")
        return data.gather(samples, self.device)

    def fill(self, part: Part, data: Dataset) -> None:
        """Gathers batches ahead of the encoder, and writes rows behind it."""
        missing = np.flatnonzero(~part.done).tolist()
        if part.done.any():
            n_missing = sum(len(part.batches[batch]) for batch in missing)
            n_all = sum(map(len, part.batches))
            LOG.info("going on: %d of %d %s are done", n_all - n_missing, n_all, data.samples_are)

        batches = {batch: part.batches[batch] for batch in missing}
        with closing(ahead(part.add, self._encoded(batches, data), N_BEHIND, finish=True)) as written:
            for _ in written:
                pass
        part.settle()

    def _encoded(
        self, batches: dict[int, np.ndarray], data: Dataset
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yields the rows of batches with their numbers."""
        with closing(ahead(partial(self.gather, data=data), batches.values(), N_AHEAD)) as gathered:
            for batch in progress(batches, "extracting", len(batches), " batches"):
                yield batch, self.rows(data, next(gathered), len(batches[batch]))


def _unchanged(data: Dataset, earlier: Earlier | None) -> tuple[np.ndarray, dict[str, Path]]:
    """Returns pairs (sample, row in earlier files), (n, 2), and files that hold just these samples."""
    if not earlier:
        return np.zeros((0, 2), dtype=np.int64), {}
    pairs, shared = earlier.rows(data.samples), earlier.npz if earlier.has_all(data.samples) else {}
    words = "%d of %d %s are as they were, only the rest is encoded"
    LOG.info(words, len(pairs), len(data), data.samples_are)
    return pairs, shared


def build_source(
    given: Mapping[str, Any], data: ExtractionData, config: Config, faults: list[str]
) -> Source | None:
    """Returns the source that a session, or a recipe of one, names; None with its faults in the list."""
    key = next(key for key in SOURCES.names() if given.get(key) is not None)
    component = SOURCES[key]
    options = {option: given[option] for option in component.options if option in given}
    try:
        value = TypeAdapter(value_type(key)).validate_python(given[key])
        chosen = component.model_validate(options)
    except ValidationError as error:
        faults += [f"{key}: {fault}" for fault in sentences(error)]
        return None
    return chosen(value, data, config, faults)


def value_type(source: str) -> Any:
    """Returns the type of what a session says of a source."""
    return next(iter(signature(SOURCES[source].target, eval_str=True).parameters.values())).annotation


def recipe_of(about: dict[str, Any]) -> dict[str, Any]:
    """Returns a session that makes such features of other samples (`for_samples`), without a reduction."""
    session = {key: value for key, value in about["session"].items() if value is not None}
    source = next((name for name in SOURCES.names() if name in session), "")
    if not source:
        raise Fault(f"features {about.get('id')} do not say what made them: extract them anew")
    recipe = {key: session[key] for key in (source, "data", *SOURCES[source].options) if key in session}
    if source == "run":  # the session may say `latest:`
        recipe |= {"run": about["model"], "reconstructions": 0}
    return recipe | {"reduction": None}


def for_samples(recipe: dict[str, Any], location: Location, out: Path | None = None) -> dict[str, Any]:
    """Returns the recipe as a session for other samples of the same kind of data."""
    if "run" in recipe and not Path(recipe["run"]).exists():  # of another machine, or moved since
        recipe = recipe | {"run": PureWindowsPath(recipe["run"]).name}  # which parts paths of all systems
    key = ExtractionData.model_validate(recipe["data"]).key
    return recipe | {"data": recipe["data"] | {key: location}} | ({"out": str(out)} if out else {})
