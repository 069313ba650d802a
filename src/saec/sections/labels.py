"""Finds what a session names: files, folders, and the labels, groups and splits of samples."""

import math
import re
from collections.abc import Iterable
from datetime import tzinfo
from glob import glob
from pathlib import Path
from posixpath import basename, splitext
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BeforeValidator, model_validator

from saec.config import Config
from saec.data import DATA
from saec.data.audio import Recordings
from saec.data.bucket import Bucket
from saec.data.kind import absolute, is_remote, paths_of
from saec.data.listed import by_folders
from saec.data.npy import SUFFIXES as ARRAYS
from saec.data.packed import labels_beside
from saec.data.photos import SUFFIXES, pictures_below
from saec.data.png import Pictures
from saec.data.shards import SHARDS
from saec.evaluation.folds import TEST, TRAIN, classes_of_few_groups
from saec.faults import Fault, MissingFault, counted, listing
from saec.folders import files_below
from saec.registry import Strict
from saec.runs import Run
from saec.samples import (
    COLUMNS,
    PREPARED,
    Samples,
    Several,
    annotation_table,
    clock_columns,
    join,
    read_annotations,
    recording_of,
    with_clock,
    zone_of,
)
from saec.sections.findings import remarks_on
from saec.session import Count
from saec.tables import Table, column_of

CLOCK = ("site", "date", "time")  # groups of a pattern that say where and when
SPAN = ["file", "start_s", "end_s"]
MAGIC = "*?["  # what makes a name a pattern


def as_file(raw: Any) -> Any:
    """Takes a text alone as the file of a mapping."""
    return {"file": raw} if isinstance(raw, str) else raw


def matching_files(named: str, config: Config) -> list[Path]:
    """Returns the files of a pattern, sorted, or the one file that is named; those of an address are fetched,
    with the reductions beside them.
    """
    if is_remote(named):
        url, _, pattern = named.rpartition("/")
        return Bucket(url, config).copies(pattern)
    path = config.data_path(named)
    if path.exists() or not set(MAGIC) & set(named):
        return [path]
    matching = sorted(config.data / file for file in glob(named, root_dir=config.data, recursive=True))
    if not matching:
        raise MissingFault(f"no file matches {path}")
    return matching


def picture_folder(path: str, config: Config) -> Path:
    """Returns a folder of pictures; raises a `MissingFault` where there are none."""
    folder = paths_of(absolute(path, config), config, (*SUFFIXES, *SHARDS))
    assert isinstance(folder, Path)  # of one
    pictures_below(folder)
    return folder


def recordings_of(
    paths: tuple[str, ...], config: Config, abouts: Iterable[dict[str, Any]] = (), several: Several = "none"
) -> Recordings:
    """Lists a folder of recordings, class folders, a table or a recording.

    Groups are found in paths as by the first training that did so, of those that features come from; where
    one took several labels of a sound, the first counts, as it does where the session says so.
    """
    runs = [run for about in abouts if (run := Run.at(Path(about["model"])))]
    group = next(filter(None, (getattr(run.data, "group", None) for run in runs)), None)
    taken = {several, *(getattr(run.data, "several", "none") for run in runs)} - {"none"}
    location = absolute(paths[0] if len(paths) == 1 else paths, config)
    there = paths_of(location, config, Recordings.suffixes)
    return Recordings(there, group=group, several="first" if taken else "none")


def _existing(zone: str) -> str:
    try:
        zone_of(zone)
    except Fault as fault:
        raise ValueError(str(fault)) from fault
    return zone


Zone = Annotated[str, AfterValidator(_existing)]


class Labels(Strict):
    """Says where labels come from: a table, the folders of the pictures, or a pattern on file names.

    `pattern` is a regular expression with groups named `label`, `group` and `split`, or without `label`,
    which comes from elsewhere then, but perhaps `site`, `date` and `time`. `least` leaves out classes that
    fewer groups (recordings) have. `several: first` takes the first of several labels that a table gives one
    sample. `clock` is the time zone of times that state none, `shown_in` that in which all are shown.
    """

    file: str | None = None
    columns: dict[Literal["file", "label", "group", "split"], str] = {}
    folders: str | None = None
    pattern: str | None = None
    least: Count | None = None
    several: Several = "none"
    clock: Zone | None = None
    shown_in: Zone | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Labels":
        try:
            groups = {*re.compile(self.pattern or "(?P<label>)").groupindex}
        except re.error as error:
            raise ValueError(f"pattern is no regular expression ({error}), got {self.pattern!r}") from error
        if self.several == "all":
            remedy = "choose `several: first`, or prepare or train with `several: all`"
            raise ValueError(f"rows of features have one label each, got `several: all`: {remedy}")
        given = [name for name in ("file", "folders", "pattern") if getattr(self, name) is not None]
        if len(given) > 1 and ("label" in groups or self.file and self.folders):
            raise ValueError(f"labels come from one source, got {' and '.join(given)}")
        if not groups or groups - {"label", "group", "split", *CLOCK}:
            raise ValueError(
                "pattern names groups `(?P<label>...)` and perhaps group and split, or site, date and time, "
                f"got {self.pattern!r}"
            )
        return self

    @property
    def zones(self) -> dict[str, tzinfo | None]:
        """Returns the time zones that are stated, as `with_clock` takes them."""
        stated = {"clock": self.clock, "shown_in": self.shown_in}
        return {key: zone_of(zone) if zone else None for key, zone in stated.items()}

    @property
    def clock_is(self) -> str:
        """Returns in words of which clock times are."""
        return f"time of {zone}" if (zone := self.shown_in or self.clock) else "clock as written"

    def has_groups(self, *names: str) -> bool:
        """Returns whether the pattern has one of these groups."""
        return bool({*names} & {*re.compile(self.pattern or "").groupindex})


GivenLabels = Annotated[Labels, BeforeValidator(lambda raw: {} if raw is None else as_file(raw))]


def word_for_samples(named: Iterable[dict[str, Any]]) -> str:
    """Returns the word of the data kind by whose key the first of these sessions names samples."""
    kinds = [DATA[name].target for name in DATA.names()]
    words = (kind.samples_are for keys in named for kind in kinds if keys.get(kind.session_key))
    return next(words, "samples")


def label_samples(
    tables: dict[str, Table],
    given: Labels,
    images: Path | None,
    config: Config,
    sounds: Recordings | None,
    what: str = "samples",
) -> tuple[Samples, list[str]]:
    """Returns the samples that these tables (by method) are of, and remarks on their labels.

    Labels are those that the session gives; without them those of the nearest `labels.csv`, then those of
    the recordings `sounds`, then those in the feature files themselves, then class folders of `images`.
    """
    plain = Samples.of(next(iter(tables.values())).names)
    plain = by_folders(plain, Pictures.group_of) if images else plain
    samples, remarks = plain, list[str]()
    options: dict[str, Any] = {"what": what, "several": given.several}
    if given.file or given.folders or given.has_groups("label"):
        rows = given_annotations(given, plain.names, config)
        samples, remarks = join(plain.but(label=""), *rows, **options)
        if {*samples.splits.tolist()} - {""} == {TEST}:
            samples, more = with_whole_split(samples, rows[1])
            remarks = remarks + more
    elif images:
        bare = plain.but(label="")  # folders are no classes where a table gives labels
        samples, remarks = labels_beside(bare, images, **options)
        if not samples.classes:
            samples = plain if samples is bare else samples.but(label=plain.labels)
    if samples is plain and sounds:
        samples, remarks = _of_sounds(plain, sounds, what)
    elif samples is plain:
        samples = plain.but(label=_own_labels(tables, plain.labels, what))
    if given.has_groups("group", "split") and not given.has_groups("label"):
        by_pattern = given_annotations(Labels(pattern=given.pattern), plain.names, config)
        samples, more = join(samples, *by_pattern, what=what)
        remarks = remarks + more
    further = {column: one.samples.table[column] for one in tables.values() for column in one.samples.others}
    further = clock_columns(plain.but(**further).table, "the feature files")[0].drop(columns=list(COLUMNS))
    further = further.to_dict("series") | {one: column_of(samples.table[one]) for one in samples.others}
    pattern = given.pattern if given.has_groups(*CLOCK) else None
    samples = _located(samples.but(**further), images, sounds)
    samples, unknown = with_clock(samples, pattern, samples.files.tolist(), **given.zones)
    samples, rare = without_rare(samples, given.least)
    return samples, [*remarks, *rare, *unknown, *remarks_on(samples, what)]


def _located(samples: Samples, images: Path | None, recordings: Recordings | None) -> Samples:
    """Returns samples with the file that each is of, its start and its end, as the listed recordings say it,
    or the table of a preparation beside pictures.
    """
    spans: dict[str, tuple] = {}
    if recordings:
        spans = {name: tuple(span) for name, *span in recordings.labelled.table[SPAN].itertuples()}
    if images and (images / PREPARED).is_file():
        table = read_annotations(images / PREPARED, ("file",))
        columns = table.get("recording", table["file"]), table["start_s"], table["end_s"]
        rows = list(zip(table["file"], zip(*columns, strict=True), strict=True))
        spans |= {recording_of(name): (file, math.nan, math.nan) for name, (file, *_) in rows} | dict(rows)
    own = [spans.get(name, (name, math.nan, math.nan)) for name in samples.names.tolist()]
    return samples.but(**dict(zip(SPAN, zip(*own, strict=True), strict=True)))


def given_annotations(given: Labels, names: Iterable[str], config: Config) -> tuple[pd.DataFrame, str]:
    """Returns what the session gives (a table, folders, or a pattern on names), and what messages call it."""
    if given.file is not None:
        file = config.data_path(given.file)
        return read_annotations(
            file, columns={str(key): called for key, called in given.columns.items()}
        ), str(file)
    if given.folders is not None:
        parent = config.data_path(given.folders)
        there = files_below(parent, SUFFIXES + ARRAYS) if parent.is_dir() else {}
        files, own = [file for file in there if "/" in file], set(names)
        if not files:
            raise MissingFault(f"no picture or array in a folder of {parent}: one folder a label is expected")
        names = [next((n for n in (file, splitext(file)[0]) if n in own), basename(file)) for file in files]
        rows = [{"file": n, "label": f.partition("/")[0]} for n, f in zip(names, files, strict=True)]
        return annotation_table(rows, [str(parent / file) for file in files]), str(parent)
    matches = ((str(name), re.search(given.pattern or "", str(name))) for name in names)
    rows = [
        {"file": name} | {key: text for key, text in match.groupdict(default="").items() if key not in CLOCK}
        for name, match in matches
        if match
    ]
    return annotation_table(rows), f"pattern {given.pattern}"


def _of_sounds(samples: Samples, recordings: Recordings, what: str) -> tuple[Samples, list[str]]:
    """Joins what the folders or the table that recordings are listed by say of them.

    What chose among trainings is no test, so `valid` counts as `train`.
    """
    rows = recordings.labelled.table
    samples, remarks = join(samples, rows, str(recordings.folder), what=what, clock=False)
    splits = np.where(samples.splits == "valid", TRAIN, samples.splits)
    samples, more = with_whole_split(samples.but(split=splits), str(recordings.folder))
    return samples, remarks + more


def with_whole_split(samples: Samples, source: str) -> tuple[Samples, list[str]]:
    """Returns samples without a split of one side, which parts nothing, and a remark on it."""
    sides = sorted({*samples.splits.tolist()} - {""})
    if not sides or {TRAIN, TEST} <= {*sides}:
        return samples, []
    remark = f"all of {source} is of the split {sides[0]}, which parts nothing and is not used"
    return samples.but(split=""), [remark]


def _own_labels(tables: dict[str, Table], otherwise: np.ndarray, what: str) -> np.ndarray:
    """Returns the labels that the feature files themselves have; raises a `Fault` where they contradict."""
    labels = {method: table.samples.labels for method, table in tables.items() if table.samples.classes}
    if not labels:
        return otherwise
    first = next(iter(labels))
    for method, other in labels.items():
        different = tables[first].names[labels[first] != other].tolist()
        if different:
            words = f"{first} and {method} label {len(different)} {what} differently"
            raise Fault(f"{words}:\n{listing(different)}")
    return labels[first]


def without_rare(samples: Samples, least: int | None) -> tuple[Samples, list[str]]:
    """Leaves out the labels of classes that fewer groups have, where a least number is given."""
    labels = samples.labels
    has_label = labels != ""
    rare = classes_of_few_groups(labels[has_label], samples.groups[has_label], least or 0)
    lines = [f"{label}: {n}" for label, n in rare.items()]
    remarks = counted(lines, f"classes have fewer than {least} groups and are left out")
    return samples.but(label=np.where(np.isin(labels, list(rare)), "", labels)), remarks
