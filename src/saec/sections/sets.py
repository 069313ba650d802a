"""Sets of features: read from files of the same samples, with labels; sections leave results in them."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from saec.config import Config
from saec.data.audio import Recordings
from saec.data.packed import file_of
from saec.evaluation.base import Scores
from saec.evaluation.folds import given_split, require_two_groups
from saec.evaluation.probes import CLASSIFIERS
from saec.extraction.outputs import read_about_file
from saec.extraction.sources.base import recipe_of
from saec.faults import Fault, MissingFault, collect_faults, first_lines, listing, number_of
from saec.features import SettledPooling
from saec.reduction import MAP, n_neighbors_used, possible_dims, reduce_dims
from saec.registry import Component, Strict, as_list
from saec.runs import TIMESTAMP
from saec.runs.find import LATEST, find_run
from saec.samples import Samples, recording_of
from saec.sections.labels import (
    GivenLabels,
    Labels,
    as_file,
    label_samples,
    matching_files,
    picture_folder,
    recordings_of,
    word_for_samples,
)
from saec.session import SessionError
from saec.tables import Table, read_layout, read_table, refuse_alike, table_per_recording

LOG = logging.getLogger(__name__)
PIXELS = "pixels 32 x 32"  # small pictures, as a method
N_NEIGHBORS = 10  # of a map that is made here
Per = Literal["sample", "recording"]


class FeatureFile(Strict):
    """Names a file of features, or a pattern of several: NPZ (X or X_red, and N), CSV or Parquet.

    `name` is what the method is called; `columns` is a pattern of the columns that are features, `names` and
    `label` are columns of a table; `pooling` makes one row a sample of latents.
    """

    file: str
    name: str | None = None
    key: str | None = None
    columns: str = "Feature_*"
    names: str = "file"
    label: str = "Label"
    pooling: SettledPooling | None = None


def _as_files(raw: Any) -> Any:
    """Takes a file, a list of files, or files by the names of methods."""
    if isinstance(raw, dict) and "file" not in raw:
        named = {str(name): as_file(one) for name, one in raw.items()}
        return [{"name": name} | one if isinstance(one, dict) else one for name, one in named.items()]
    return [as_file(one) for one in (raw if isinstance(raw, list | tuple) else [raw])]


SoundPaths = Annotated[tuple[str, ...] | None, BeforeValidator(as_list)]  # folders, or one table
Files = Annotated[tuple[FeatureFile, ...], BeforeValidator(_as_files), Field(min_length=1)]


class EvaluatedSet(Strict):
    """Names features of the same samples, and where the labels of these come from.

    `sounds`: the recordings that they are of, whose folders or table say labels, too. `per`: a row is a
    sample, or the mean over a recording. `by`: a column of the samples, each value of which is a set.
    """

    images: str | None = None
    sounds: SoundPaths = None
    features: Files
    per: Per = "sample"
    labels: GivenLabels = Labels()
    by: str | None = None


@dataclass(frozen=True)
class Result:
    """Holds the scores that one evaluation gives to one method's features of a set."""

    set: str
    method: str
    evaluation: str
    scores: Scores
    labels: np.ndarray  # of the set's samples, "" where unknown

    @property
    def is_probe(self) -> bool:
        return self.evaluation.split()[0] in CLASSIFIERS

    @property
    def words(self) -> str:
        return f"{self.evaluation} of {self.method}"

    @property
    def key(self) -> dict[str, str]:
        return {"set": self.set, "method": self.method, "evaluation": self.evaluation}


@dataclass(frozen=True)
class Combination:
    """Names methods whose features, each reduced to `pca` components, are one more method called `name`."""

    name: str
    methods: list[str]
    pca: int


@dataclass
class FeatureSet:
    """Holds tables of features by method, all of the same samples in the same order.

    A section leaves in it what those after it use: evaluations, combination, pixels, results.
    """

    name: str
    tables: dict[str, Table]
    samples: Samples
    images: Path | None = None
    recordings: Recordings | None = None  # that the samples are of, where the session names them
    remarks: list[str] = field(default_factory=list)
    per: Per = "sample"
    samples_are: str = "samples"  # the word for them
    clock_is: str = ""  # in words, of which clock times are
    evaluations: list[Component] = field(default_factory=list)
    combination: Combination | None = None
    pixels: dict[str, Table] = field(default_factory=dict)  # small pictures as one more method
    results: list[Result] = field(default_factory=list)

    @property
    def names(self) -> np.ndarray:
        return self.samples.names

    @property
    def n_labelled(self) -> int:
        return int((self.samples.labels != "").sum())

    @property
    def has_groups(self) -> bool:
        """Returns whether some samples share a group; where none do, nobody has named any."""
        return len(np.unique(self.samples.groups)) < len(self.samples)

    @property
    def scored(self) -> dict[str, Table]:
        """Returns the tables that are scored: those of the session, and pixels."""
        return self.tables | self.pixels

    @property
    def split(self) -> np.ndarray | None:
        """Returns the samples' splits, (n,) str; None where no table gives any."""
        return splits if ((splits := self.samples.splits) != "").any() else None

    @cached_property
    def layouts(self) -> dict[str, np.ndarray]:
        """Returns a 2-D map (n, 2) of each method: that of the extraction, if there is one, else a new."""
        return {method: _layout(table) for method, table in self.scored.items()}

    def blocks(self, methods: list[str]) -> dict[str, np.ndarray]:
        """Returns the features of some methods, (n, features) float32 each."""
        return {method: np.asarray(self.scored[method].rows, dtype=np.float32) for method in methods}

    @property
    def counts(self) -> str:
        """Returns in words how many samples, groups, labels and classes there are."""
        n_groups, classes = len(np.unique(self.samples.groups)), self.samples.classes
        of = f" of {n_groups:,} groups (recordings)" if self.has_groups else ""
        labels = f", {self.n_labelled:,} with labels of {len(classes):,} classes" if classes else ""
        return f"{number_of(len(self.samples), self.samples_are)}{of}{labels}"

    def describe(self) -> str:
        methods = [f"{name}: {of.rows.shape[1]:,} features of {of.file}" for name, of in self.tables.items()]
        return "\n  ".join([f"{self.name}: {self.counts}", *methods])

    def about(self) -> dict[str, Any]:
        """Returns what `report.json` says of the set."""
        return {
            "n_pictures": len(self.samples),
            "classes": self.samples.classes,
            "n_labelled": self.n_labelled,
            "images": self.images and str(self.images),
            "methods": {method: str(table.file) for method, table in self.tables.items()},
        }


def require_probes(one: FeatureSet, keep_groups: bool = True) -> None:
    """Raises a `Fault` where labels are missing, of one class, or of classes in one group that is kept."""
    samples = one.samples.subset(one.samples.labels != "")
    if len(samples.classes) < 2:
        got = f"one class, {samples.classes[0]}" if samples.classes else "no labels"
        raise Fault(f"{one.name}: probes need labels of two classes at least, got {got}")
    if one.split is None:
        require_two_groups(samples.labels, samples.groups if keep_groups else samples.names)
    else:
        given_split(samples.splits)


def recipe_for(table: Table) -> dict[str, Any]:
    """Returns how such features of other samples are made; a `Fault` where no extraction made these."""
    recipe = recipe_of(read_about_file(table.file))
    return recipe | ({"pooling": table.pooling.model_dump(mode="json")} if table.pooling else {})


def about_of(file: Path) -> dict[str, Any] | None:
    """Returns what an extraction of ours says of its features, None of those of others, and of reductions."""
    with suppress(Fault):
        return read_about_file(file)
    return None


def reductions_of(file: Path) -> list[Path]:
    """Returns the reductions that the same extraction has made, the fewest dimensions first."""
    roles = (about_of(file) or {"roles": {}})["roles"]
    reduced = [role for role in roles if role.startswith("reduced_")]
    return [file.parent / roles[role] for role in sorted(reduced, key=lambda role: int(role.split("_")[1]))]


def _layout(table: Table) -> np.ndarray:
    for file in (table.file, *reductions_of(table.file)[:1]):
        if (layout := read_layout(file, table.names)) is not None:
            return layout
    if possible_dims((MAP,), n := len(table.rows)):
        used = n_neighbors_used(N_NEIGHBORS, n)
        return reduce_dims(np.asarray(table.rows), (MAP,), used, 0, "cosine")[MAP]
    return np.column_stack([np.arange(n), np.zeros(n)])  # too few for a map: in a row


def read_set(name: str, given: EvaluatedSet, config: Config) -> FeatureSet:
    """Raises a `SessionError` with every fault of its files, folder and labels."""
    faults: list[str] = []
    images = collect_faults(faults, "images", picture_folder, given.images, config) if given.images else None
    tables: dict[str, Table] = {}
    for method, file, how in collect_faults(faults, "features", _methods, given, config) or ():
        columns = (how.key, how.columns, how.names, how.label, how.pooling)
        table = collect_faults(faults, f"features.{method}", read_table, file, *columns)
        if table is not None:
            tables[method] = table if given.per == "sample" else table_per_recording(table)
    collect_faults(faults, "features", _require_same_samples, tables)
    shown = images if given.per == "sample" else None  # a recording has no picture of its own
    if shown and tables and not faults:
        collect_faults(faults, "images", _require_pictures, images, next(iter(tables.values())).names)
    labelled, abouts = None, [about for table in tables.values() if (about := about_of(table.file))]
    options = (config, abouts, given.labels.several)
    sounds = None
    if given.sounds:
        sounds = collect_faults(faults, "sounds", recordings_of, given.sounds, *options)
    named = [about["session"]["data"] for about in abouts] + [given.model_dump()]
    what = "recordings" if given.per == "recording" else word_for_samples(named)
    if tables and not faults:
        by = tables, given.labels, images, config, sounds, what
        labelled = collect_faults(faults, "labels", label_samples, *by)
    if faults or labelled is None:
        raise SessionError(f"set {name}", faults)
    samples, remarks = labelled
    remarks = _remarks(tables) + remarks
    for remark in remarks:
        LOG.warning("%s", first_lines(remark))
    return FeatureSet(name, tables, samples, shown, sounds, remarks, given.per, what, given.labels.clock_is)


def _methods(given: EvaluatedSet, config: Config) -> list[tuple[str, Path, FeatureFile]]:
    """Returns the methods with their files; a pattern, or a run, may stand for several."""
    methods = []
    for options in given.features:
        files = _files(options.file, given.images, config)
        for name, file in files.items():
            method = f"{options.name}, {name}" if options.name and len(files) > 1 else options.name or name
            methods.append((method, file, options))
    refuse_alike("methods", [method for method, _, _ in methods])
    return methods


def _files(named: str, images: str | None, config: Config) -> dict[str, Path]:
    """Returns the files, by what each is called where the session gives no name."""
    if named.startswith(LATEST) or TIMESTAMP.fullmatch(named):
        return _of_run(named, images, config)
    return {file.stem: file for file in matching_files(named, config)}


def _of_run(named: str, images: str | None, config: Config) -> dict[str, Path]:
    """Returns the pooled features that a run has made of the folder of pictures."""
    if images is None:
        raise Fault(f"{named} needs `images`, beside which they lie: or name files, traces/pooled_*.npz")
    run = find_run(named, config.models)
    folder, id = config.data_path(images), f"_saec_{run.timestamp}"
    made = {file: about_of(file) for file in sorted(folder.parent.glob(f"pooled_*{id}*.npz"))}
    of = {file: Path(str(about["settings"].get("images"))) for file, about in made.items() if about}
    same = str(folder) if folder in of.values() else folder.name  # it may have moved since
    files = [file for file, images in of.items() if same in (str(images), images.name)]
    if not files:
        raise MissingFault(f"{folder.parent} has no features of {folder} by {run.folder.name}: extract them")
    words = [file.stem.removeprefix("pooled_").replace(id, "").replace("_", " ") for file in files]
    return {f"{run.name} {word}": file for word, file in zip(words, files, strict=True)}


def _require_same_samples(tables: dict[str, Table]) -> None:
    names = {method: {*table.names.tolist()} for method, table in tables.items()}
    first, those = next(iter(names.items()), ("", set()))
    for method, others in names.items():
        if others != those:
            only = {first: sorted(those - others), method: sorted(others - those)}
            lines = [f"only in {one}: {len(of):,}\n{listing(of, 5)}" for one, of in only.items() if of]
            words = f"{first} is of {len(those):,} samples, {method} of {len(others):,}: features that are "
            words += "compared must be of the same samples"
            if {*map(recording_of, those)} == {*map(recording_of, others)}:
                words += ", or of the same recordings, as these are, with `per: recording`"
            raise Fault("\n".join([words, *lines]))


def _require_pictures(images: Path, names: np.ndarray) -> None:
    missing = [name for name in names.tolist() if not file_of(images / name).is_file()]
    if missing:
        raise Fault(
            f"{len(missing):,} of {len(names):,} pictures of the features are not in {images}: name the "
            f"folder they were extracted from, or leave `images` out for numbers alone\n{listing(missing)}"
        )


def _remarks(tables: dict[str, Table]) -> list[str]:
    remarks, words = [], "features are the same for all samples and tell nothing"
    for method, table in tables.items():
        if table.n_constant:
            remarks.append(f"{method}: {number_of(table.n_constant, words)}")
        if not table.named:
            others = ", ".join(table.samples.others) or "no other columns"
            remarks.append(
                f"{method}: {table.file.name} does not say which samples its rows are of: rows are numbered "
                f"(`names: COLUMN` says it; there are {others})"
            )
    return remarks
