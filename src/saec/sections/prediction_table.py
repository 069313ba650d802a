"""Tables of predictions are read: one row a segment, with the probability of each class."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec.extraction.predictions import PROBABILITY
from saec.faults import Fault, MissingFault, listing
from saec.samples import read_annotations


def classes_of(table: pd.DataFrame) -> list[str]:
    """Returns the classes that a table of predictions has a column `p <class>` of."""
    return [one.removeprefix(PROBABILITY) for one in table.columns if one.startswith(PROBABILITY)]


def read_predictions(file: Path) -> pd.DataFrame:
    """Reads predictions: file, start_s, end_s, label, split, predicted, and `p <class>` as numbers.

    Raises:
        Fault: columns are missing, or some rows are not right: all of them are listed.
    """
    if not file.is_file():
        raise MissingFault(f"no such file: {file} (predictions_<timestamp>.csv of an extraction is expected)")
    table = read_annotations(file, required=("file",))
    if table.empty:
        raise Fault(f"{file} has no rows")
    columns = [column for column in table.columns if column.startswith(PROBABILITY)]
    missing = [] if "predicted" in table else ["predicted"]
    missing += [] if columns else [f"{PROBABILITY}<class>"]
    if missing:
        raise Fault(
            f"{file} needs the columns file,start,end[,label],predicted and for each class `p <class>`, its "
            f"probability; it lacks {', '.join(missing)}: name predictions_<timestamp>.csv of an extraction"
        )
    numbers = table.assign(
        **{one: pd.to_numeric(table[one], errors="coerce").astype(float) for one in columns}
    )
    faults = []
    bad = ~np.isfinite(numbers[columns].to_numpy()).all(1)
    bad |= (numbers["start_s"].isna() != numbers["end_s"].isna()).to_numpy()
    bad |= ~numbers["predicted"].isin(classes_of(numbers)).to_numpy()
    for row in np.flatnonzero(bad):
        faults.append(f"{table.index[row]}: {_problem(table.iloc[row], numbers.iloc[row], columns)}")
    if faults:
        raise Fault(f"{file}: {len(faults)} rows are not right, correct or delete them:\n{listing(faults)}")
    return numbers.reset_index(drop=True)


def _problem(written: pd.Series, row: pd.Series, columns: list[str]) -> str:
    for column in columns:
        if not np.isfinite(row[column]):
            got = repr(written[column]) if written[column] else "nothing"
            return f"{column!r} must be a finite number, got {got}"
    if np.isnan(row["start_s"]) != np.isnan(row["end_s"]):
        return "needs start and end, or neither of them"
    return f"predicted must be a class that has a column `p <class>`, got {row['predicted']!r}"
