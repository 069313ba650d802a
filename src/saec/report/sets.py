"""Feature files of the same samples, read and joined with what is known of these."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from saec.config import Config
from saec.data.decoding import list_pictures
from saec.data.kinds import absolute, paths_of
from saec.faults import Fault, MissingFault, collect_faults, listing
from saec.files import as_file_name
from saec.report.labelling import Known, known
from saec.runs import TIMESTAMP
from saec.runs.find import LATEST, find_run
from saec.session import EvaluatedSet, FeatureFile, SessionError
from saec.sound.listed import Place, list_sound
from saec.tables import Table, per_recording, read_table

LOG = logging.getLogger(__name__)
MAGIC = "*?["  # what makes a name a pattern


@dataclass(frozen=True)
class JudgedSet:
    """Tables of features by method, all of the same samples in the same order."""

    name: str
    tables: dict[str, Table]
    known: Known
    images: Path | None = None
    remarks: list[str] = field(default_factory=list)
    per: str = "sample"

    @property
    def names(self) -> np.ndarray:
        return next(iter(self.tables.values())).names

    def __str__(self) -> str:
        methods = "\n".join(
            f"  {method}: {table.rows.shape[1]:,} features of {table.file}"
            for method, table in self.tables.items()
        )
        told = int((self.known.labels != "").sum())
        return (
            f"{self.name}: {len(self.names):,} pictures, {told:,} with labels of {len(self.known.classes)} "
            f"classes, {len(np.unique(self.known.groups)):,} groups\n{methods}"
        )


def read_set(name: str, asked: EvaluatedSet, config: Config) -> JudgedSet:
    """Raises a `SessionError` with every fault of its files, folder and labels."""
    faults: list[str] = []
    images = asked.images and collect_faults(faults, "images", _folder, asked.images, config)
    sounds = asked.sounds and collect_faults(faults, "sounds", _sounds, asked.sounds, config)
    tables: dict[str, Table] = {}
    for method, file, options in collect_faults(faults, "features", _found, asked, config) or ():
        table = collect_faults(faults, f"features.{method}", _read, file, options)
        if table is not None:
            tables[method] = table if asked.per == "sample" else per_recording(table)
    collect_faults(faults, "features", _refuse_other_pictures, tables)
    if images and tables and asked.per == "sample" and not faults:
        collect_faults(faults, "images", _refuse_missing, images, next(iter(tables.values())).names)
    found = None
    if tables and not faults:
        found = collect_faults(
            faults, "labels", known, tables, asked.labels, images, config, sounds, asked.per
        )
    if faults:
        raise SessionError(f"set {name}", faults)
    shown = images if asked.per == "sample" else None  # a recording has no picture of its own
    return JudgedSet(name, tables, found, shown, [*_remarks(tables), *found.remarks], asked.per)


def _folder(place: str, config: Config) -> Path:
    folder = config.data_path(place)
    list_pictures(folder)
    return folder


def _sounds(places: tuple[str, ...], config: Config) -> Place:
    found = paths_of(absolute(places[0] if len(places) == 1 else places, config))
    list_sound(found)
    return found


def _found(asked: EvaluatedSet, config: Config) -> list[tuple[str, Path, FeatureFile]]:
    """Methods with their files; a pattern, or a run, may stand for several.

    Raises:
        Fault: a pattern matches nothing, a run has no features here, or two methods have one name.
    """
    found = []
    for options in asked.features:
        files = _files(options.file, asked.images, config)
        for name, file in files.items():
            method = f"{options.name}, {name}" if options.name and len(files) > 1 else options.name or name
            found.append((method, file, options))
    refuse_alike("methods", [method for method, _, _ in found])
    return found


def refuse_alike(what: str, names: list[str]) -> None:
    """Raises a `Fault` where two names would be one as part of a file's name."""
    as_files = [as_file_name(name).casefold() for name in names]
    twice = sorted({name for name, one in zip(names, as_files, strict=True) if as_files.count(one) > 1})
    if len(set(as_files)) < len(as_files):
        raise Fault(f"{what} need names that differ in letters or digits (`name: file`):\n{listing(twice)}")


def _files(named: str, images: str | None, config: Config) -> dict[str, Path]:
    """Files, by what each is called where the session gives no name."""
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
    """Pooled features that a run has made of the folder of pictures, by session, pooling and variant."""
    if images is None:
        raise Fault(f"{named} needs `images`: features lie beside the folder of pictures")
    run = find_run(named, config.models)
    beside = config.data_path(images).parent
    id = f"_saec_{run.timestamp}"
    found = sorted(beside.glob(f"pooled_*{id}*.npz"))
    if not found:
        raise MissingFault(f"{beside} has no features of {run.folder.name}: extract them first")
    words = [file.stem.removeprefix("pooled_").replace(id, "").replace("_", " ") for file in found]
    return {f"{run.name} {word}": file for word, file in zip(words, found, strict=True)}


def _read(file: Path, options: FeatureFile) -> Table:
    return read_table(file, options.key, options.columns, options.names, options.label, options.pooling)


def _refuse_other_pictures(tables: dict[str, Table]) -> None:
    if len(tables) < 2:
        return
    (first, one), *others = tables.items()
    for method, other in others:
        if len(one.names) == len(other.names) and (one.names == other.names).all():
            continue
        here, there = set(one.names.tolist()), set(other.names.tolist())
        raise Fault(
            f"{first} is of {len(here):,} pictures, {method} of {len(there):,}: features that are compared "
            f"must be of the same pictures\nonly in {first}: {len(here - there):,}\n"
            f"{listing(sorted(here - there), 5)}\nonly in {method}: {len(there - here):,}\n"
            f"{listing(sorted(there - here), 5)}"
        )


def _refuse_missing(images: Path, names: np.ndarray) -> None:
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
        f"(`names: COLUMN` says it; there are {', '.join(table.facts) or 'no other columns'})"
        for method, table in tables.items()
        if not table.named
    ]
    for remark in remarks:
        LOG.warning("%s", remark)
    return remarks
