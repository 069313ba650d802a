"""A table of predictions is read, with what is known of its files: labels, and what is true when."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from saec.config import Config
from saec.extraction.predictions import PROBABILITY
from saec.faults import Fault, MissingFault, collect_faults, listing
from saec.report.labelling import COLUMNS, Facts, from_pattern, from_table
from saec.report.sets import MAGIC
from saec.report.truth import Stretches, matched, read_truth, such_as, truth_of
from saec.session import Labels, Predictions
from saec.tables import read_frame


@dataclass(frozen=True)
class Predicted:
    """One row a segment: its file, start and end in seconds (NaN of a whole picture), what was answered.

    Labels and splits are "" where unknown; `probabilities` are (segments, classes); `truth` is what is true
    when in each file.
    """

    source: Path
    files: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    answers: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray
    grid_s: float
    truth: dict[str, Stretches] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        n_files, told = len(np.unique(self.files)), int((self.labels != "").sum())
        truth = f", {len(self.truth):,} files with a truth in time" if self.truth else ""
        return (
            f"{self.source.name}: {len(self.files):,} predictions of {n_files:,} files and "
            f"{len(self.classes)} classes, {told:,} with labels{truth}"
        )

    def unlearnt(self, labels: np.ndarray, what: str) -> list[str]:
        """A remark on labels that are no class of the model, counted in words of what they are of."""
        odd = labels[(labels != "") & ~np.isin(labels, self.classes)]
        if not len(odd):
            return []
        lines = [f"{name}: {n:,} {what}" for name, n in zip(*np.unique(odd, return_counts=True), strict=True)]
        return [
            f"{len(lines)} classes of the labels were never learnt, so that every answer to them counts as "
            f"wrong:\n{listing(lines)}"
        ]


def read_predictions(asked: Predictions, config: Config, faults: list[str]) -> Predicted | None:
    """Nothing, with every fault noted, where the table, its labels or its truth cannot be used."""
    before = len(faults)
    key = "predictions"
    file = collect_faults(faults, f"{key}.file", _newest, asked.file, config)
    frame = file and collect_faults(faults, f"{key}.file", read_prediction_table, file)
    facts = collect_faults(faults, f"{key}.labels", _facts, asked.labels, frame, config)
    truth = {}
    if asked.truth is not None:
        place = collect_faults(faults, f"{key}.truth", config.data_path, asked.truth)
        truth = place and collect_faults(faults, f"{key}.truth", read_truth, place)
    if len(faults) > before:
        return None
    remarks: list[str] = []
    labels = collect_faults(faults, f"{key}.labels", _labels, frame, facts, remarks)
    if truth:
        truth = collect_faults(faults, f"{key}.truth", truth_of, truth, frame, asked, remarks)
    if len(faults) == before and not truth and not (labels != "").any():
        faults.append(
            f"{key}.labels: {file} has no labels in a column `label`, and neither `labels` nor `truth` is "
            "given: name one of them to judge the predictions by"
        )
    if len(faults) > before:
        return None
    columns = class_columns(frame)
    return Predicted(
        source=file,
        files=np.array(frame["file"], dtype=str),
        starts=frame["start"].to_numpy(),
        ends=frame["end"].to_numpy(),
        labels=labels,
        splits=_words(frame, "split"),
        answers=np.array(frame["predicted"], dtype=str),
        probabilities=frame[columns].to_numpy(),
        classes=np.array(classes_of(frame)),
        grid_s=asked.grid_s,
        truth=truth,
        remarks=remarks,
    )


def _newest(named: str, config: Config) -> Path:
    """A file, or of those that match a pattern the last by name: the one of the newest run.

    Raises:
        MissingFault: none matches.
    """
    file = config.data_path(named)
    if file.exists() or not set(MAGIC) & set(named):
        return file
    found = sorted(file.parent.glob(file.name))
    if not found:
        raise MissingFault(f"no predictions match {file}: extract with a classifier first")
    return found[-1]


def _facts(asked: Labels, frame: pd.DataFrame | None, config: Config) -> tuple[Facts, str] | None:
    """What the session says of files, and where it says so; None where the predictions' own labels count."""
    if asked.file is not None:
        return from_table(config.data_path(asked.file), COLUMNS | asked.columns)
    if asked.pattern is None or frame is None:
        return None
    names = np.unique(np.array(frame["file"], dtype=str))
    return from_pattern(names, re.compile(asked.pattern)), f"pattern {asked.pattern}"


def _words(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Of a column that may be missing."""
    return np.char.strip(np.array(frame[column] if column in frame else [""] * len(frame), dtype=str))


def _labels(frame: pd.DataFrame, facts: tuple[Facts, str] | None, remarks: list[str]) -> np.ndarray:
    if facts is None:
        return _words(frame, "label")
    said, source = facts
    files = np.array(frame["file"], dtype=str)
    found, others = matched(said, files)
    if not found:
        raise Fault(f"{source} labels none of the {len(np.unique(files)):,} files{such_as(said, files)}")
    if others:
        remarks.append(
            f"{len(others):,} labels of {source} are of files without predictions:\n{listing(others)}"
        )
    return np.array([found[file]["label"] if file in found else "" for file in files.tolist()], dtype=str)


WORDS = ("file", "label", "split", "predicted")
TIMES = ["start", "end"]
NEEDED = ("file", "start", "end", "predicted")


def read_prediction_table(file: Path) -> pd.DataFrame:
    """One row a segment: file, start and end in seconds (NaN of a whole picture), predicted, `p <class>`.

    There may be label and split, too.

    Raises:
        Fault: columns are missing, or some rows are not right: all of them are listed.
    """
    if not file.is_file():
        raise MissingFault(f"no such file: {file} (predictions_<timestamp>.csv of an extraction is expected)")
    given = read_frame(file, WORDS)
    missing = [column for column in NEEDED if column not in given]
    missing += [] if class_columns(given) else [f"{PROBABILITY}<class>"]
    if missing:
        raise Fault(
            f"{file} needs the columns file,start,end[,label],predicted and for each class `p <class>`, its "
            f"probability; it lacks {', '.join(missing)}: name predictions_<timestamp>.csv of an extraction"
        )
    numbers = {one: _numbers(given[one]) for one in [*TIMES, *class_columns(given)]}
    table = given.assign(**numbers)
    faults = {**_odd_probabilities(given, table), **_odd_times(given, table), **_odd_words(table)}
    if faults:
        lines = [f"line {place + 2}: {faults[place]}" for place in sorted(faults)]
        raise Fault(f"{file}: {len(lines)} rows are not right, correct or delete them:\n{listing(lines)}")
    return table


def class_columns(table: pd.DataFrame) -> list[str]:
    return [column for column in table.columns if column.startswith(PROBABILITY)]


def classes_of(table: pd.DataFrame) -> list[str]:
    return [column.removeprefix(PROBABILITY) for column in class_columns(table)]


def _numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype(float)


def _odd_probabilities(given: pd.DataFrame, table: pd.DataFrame) -> dict[int, str]:
    """What is wrong, by row."""
    finite = np.isfinite(table[class_columns(table)].to_numpy())
    found = {}
    for place in np.flatnonzero(~finite.all(1)).tolist():
        column = class_columns(table)[int(finite[place].argmin())]
        found[place] = f"{column!r} must be a finite number, got {_said(given, column, place)}"
    return found


def _odd_times(given: pd.DataFrame, table: pd.DataFrame) -> dict[int, str]:
    start, end = table["start"], table["end"]
    in_order = (start >= 0) & (start <= end) & (end < np.inf)  # false for what is no number
    wrong = ~(in_order | given[TIMES].isna().all(axis=1))
    return {
        place: "needs seconds with 0 <= start <= end, or neither of them, got "
        + " and ".join(_said(given, one, place) for one in TIMES)
        for place in np.flatnonzero(wrong).tolist()
    }


def _odd_words(table: pd.DataFrame) -> dict[int, str]:
    unknown = ~table["predicted"].isin(classes_of(table))
    found = {
        place: f"predicted must be a class that has a column `p <class>`, got {table['predicted'][place]!r}"
        for place in np.flatnonzero(unknown).tolist()
    }
    return found | {place: "names no file" for place in np.flatnonzero(table["file"] == "").tolist()}


def _said(given: pd.DataFrame, column: str, place: int) -> str:
    value = given[column][place]
    return "nothing" if pd.isna(value) else repr(value) if isinstance(value, str) else f"{value:g}"
