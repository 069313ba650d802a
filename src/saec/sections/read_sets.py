"""A set is read: the feature files that a session names, of the same samples, joined with their labels."""

import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from saec.config import Config
from saec.data.kind import absolute, paths_of
from saec.data.png import list_pictures
from saec.faults import Fault, MissingFault, collect_faults, listing
from saec.features import POOLINGS
from saec.files import as_file_name
from saec.registry import Strict
from saec.runs import TIMESTAMP
from saec.runs.find import LATEST, find_run
from saec.sections.labels import GivenLabels, Labels, label_samples
from saec.sections.sets import FeatureSet, Per
from saec.session import SessionError
from saec.sound.listed import Place, list_sound
from saec.tables import Table, read_table, table_per_recording

LOG = logging.getLogger(__name__)
MAGIC = "*?["  # what makes a name a pattern


def as_file(raw: Any) -> Any:
    """Takes a text alone as the file of a mapping."""
    return {"file": raw} if isinstance(raw, str) else raw


def as_list(raw: Any) -> Any:
    return [raw] if isinstance(raw, str | dict) else raw


class FeatureFile(Strict):
    """A file of features, or a pattern of several: NPZ (X or X_red, and N), CSV or Parquet.

    `name` is what the method is called; `columns` is a pattern of the columns that are features, `names` and
    `label` are columns of a table; `pooling` makes one row a sample of latents.
    """

    file: str
    name: str | None = None
    key: str | None = None
    columns: str = "Feature_*"
    names: str = "file"
    label: str = "Label"
    pooling: POOLINGS.field | None = None


def _as_files(raw: Any) -> Any:
    """Takes a file, a list of files, or files by the names of methods."""
    if isinstance(raw, dict) and "file" not in raw:
        return [
            one if isinstance(one, FeatureFile) else {"name": str(name)} | as_file(one)
            for name, one in raw.items()
        ]
    return [as_file(one) for one in (raw if isinstance(raw, list | tuple) else [raw])]


SoundPaths = Annotated[tuple[str, ...] | None, BeforeValidator(as_list)]  # folders, or one table
Files = Annotated[tuple[FeatureFile, ...], BeforeValidator(_as_files), Field(min_length=1)]


class EvaluatedSet(Strict):
    """Features of the same samples, and where the labels of these come from.

    `sounds`: the recordings that they are of, whose folders or table say labels, too. `per`: a row is a
    sample, or the mean over the samples of a recording.
    """

    images: str | None = None
    sounds: SoundPaths = None
    features: Files
    per: Per = "sample"
    labels: GivenLabels = Labels()


def read_set(name: str, given: EvaluatedSet, config: Config) -> FeatureSet:
    """Raises a `SessionError` with every fault of its files, folder and labels."""
    faults: list[str] = []
    images = given.images and collect_faults(faults, "images", _folder, given.images, config)
    sounds = given.sounds and collect_faults(faults, "sounds", _sounds, given.sounds, config)
    tables: dict[str, Table] = {}
    for method, file, options in collect_faults(faults, "features", _methods, given, config) or ():
        table = collect_faults(faults, f"features.{method}", _read, file, options)
        if table is not None:
            tables[method] = table if given.per == "sample" else table_per_recording(table)
    collect_faults(faults, "features", _require_same_samples, tables)
    if images and tables and given.per == "sample" and not faults:
        collect_faults(faults, "images", _require_pictures, images, next(iter(tables.values())).names)
    labelled = None
    if tables and not faults:
        source = (given.labels, images, config, sounds)
        labelled = collect_faults(faults, "labels", label_samples, list(tables.items()), *source)
    if faults:
        raise SessionError(f"set {name}", faults)
    samples, remarks = labelled
    shown = images if given.per == "sample" else None  # a recording has no picture of its own
    return FeatureSet(name, tables, samples, shown, [*_remarks(tables), *remarks], given.per)


def _folder(path: str, config: Config) -> Path:
    folder = config.data_path(path)
    list_pictures(folder)
    return folder


def _sounds(paths: tuple[str, ...], config: Config) -> Place:
    place = paths_of(absolute(paths[0] if len(paths) == 1 else paths, config))
    list_sound(place)
    return place


def _read(file: Path, options: FeatureFile) -> Table:
    return read_table(file, options.key, options.columns, options.names, options.label, options.pooling)


def _methods(given: EvaluatedSet, config: Config) -> list[tuple[str, Path, FeatureFile]]:
    """Returns the methods with their files; a pattern, or a run, may stand for several.

    Raises:
        Fault: a pattern matches nothing, a run has no features here, or two methods have one name.
    """
    methods = []
    for options in given.features:
        files = _files(options.file, given.images, config)
        for name, file in files.items():
            method = f"{options.name}, {name}" if options.name and len(files) > 1 else options.name or name
            methods.append((method, file, options))
    refuse_alike("methods", [method for method, _, _ in methods])
    return methods


def refuse_alike(what: str, names: list[str]) -> None:
    """Raises a `Fault` where two names would be one as part of a file's name."""
    as_files = [as_file_name(name).casefold() for name in names]
    twice = sorted({name for name, one in zip(names, as_files, strict=True) if as_files.count(one) > 1})
    if len(set(as_files)) < len(as_files):
        raise Fault(f"{what} need names that differ in letters or digits (`name: file`):\n{listing(twice)}")


def _files(named: str, images: str | None, config: Config) -> dict[str, Path]:
    """Returns the files, by what each is called where the session gives no name."""
    if named.startswith(LATEST) or TIMESTAMP.fullmatch(named):
        return _of_run(named, images, config)
    path = config.data_path(named)
    if path.exists() or not set(MAGIC) & set(named):
        return {path.stem: path}
    below = config.data if not Path(named).is_absolute() else Path(path.anchor)
    matching = sorted(below.glob(named if below == config.data else str(path.relative_to(below))))
    if not matching:
        raise MissingFault(f"no file matches {path}")
    return {file.stem: file for file in matching}


def _of_run(named: str, images: str | None, config: Config) -> dict[str, Path]:
    """Returns the pooled features that a run has made of the folder of pictures."""
    if images is None:
        raise Fault(f"{named} needs `images`: features lie beside the folder of pictures")
    run = find_run(named, config.models)
    beside = config.data_path(images).parent
    id = f"_saec_{run.timestamp}"
    files = sorted(beside.glob(f"pooled_*{id}*.npz"))
    if not files:
        raise MissingFault(f"{beside} has no features of {run.folder.name}: extract them first")
    words = [file.stem.removeprefix("pooled_").replace(id, "").replace("_", " ") for file in files]
    return {f"{run.name} {word}": file for word, file in zip(words, files, strict=True)}


def _require_same_samples(tables: dict[str, Table]) -> None:
    (first, one), *others = tables.items() or [("", None)]
    for method, other in others:
        if np.array_equal(one.names, other.names):
            continue
        here, there = set(one.names.tolist()), set(other.names.tolist())
        raise Fault(
            f"{first} is of {len(here):,} pictures, {method} of {len(there):,}: features that are compared "
            f"must be of the same pictures\nonly in {first}: {len(here - there):,}\n"
            f"{listing(sorted(here - there), 5)}\nonly in {method}: {len(there - here):,}\n"
            f"{listing(sorted(there - here), 5)}"
        )


def _require_pictures(images: Path, names: np.ndarray) -> None:
    missing = sorted(set(names.tolist()) - {file.name for file in list_pictures(images)})
    if missing:
        raise Fault(
            f"{len(missing):,} of {len(names):,} pictures of the features are not in {images}: name the "
            f"folder they were extracted from, or leave `images` out for numbers alone\n{listing(missing)}"
        )


def _remarks(tables: dict[str, Table]) -> list[str]:
    remarks = [
        f"{method}: {table.n_constant} features are the same for all pictures and tell nothing"
        for method, table in tables.items()
        if table.n_constant
    ]
    remarks += [
        f"{method}: {table.file.name} does not say which pictures its rows are of: rows are numbered "
        f"(`names: COLUMN` says it; there are {', '.join(table.samples.others) or 'no other columns'})"
        for method, table in tables.items()
        if not table.named
    ]
    for remark in remarks:
        LOG.warning("%s", remark)
    return remarks
