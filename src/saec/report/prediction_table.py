"""The table that an extraction writes of a model's predictions: one row a segment, or a whole picture."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec.extraction.predictions import PROBABILITY
from saec.faults import Fault, MissingFault, listing
from saec.frames import read_frame

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
