"""Tables that are read and written with pandas: CSV and Parquet."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec.faults import Fault, MissingFault
from saec.files import appearing

MISSING = ["", "NA", "NaN", "nan", "null", "None"]  # in columns of numbers


def read_frame(file: Path, words: tuple[str, ...]) -> pd.DataFrame:
    """The columns `words` are taken as they are written: `NA` is a word, 001 is not 1."""
    if not file.is_file():
        raise MissingFault(f"no such feature file: {file}")
    if file.suffix.lower() == ".parquet":
        require_parquet()
    try:
        if file.suffix.lower() == ".parquet":
            frame = pd.read_parquet(file)
            frame = frame.assign(
                **{word: frame[word].fillna("").astype(str) for word in words if word in frame}
            )
        else:
            there = pd.read_csv(file, nrows=0).columns
            missing = {column: MISSING for column in there if column not in words}
            kinds = {word: str for word in words if word in there}
            frame = pd.read_csv(file, dtype=kinds, na_values=missing, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own faults are of these kinds
        raise Fault(f"{file} cannot be read as a table: {error}") from error
    if frame.empty:
        raise Fault(f"{file} has no rows")
    return frame


def column_of(values: pd.Series) -> np.ndarray:
    """Numbers where all are numbers, else words."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all():
        return numbers.to_numpy(dtype=float)
    return np.array(values.fillna("").astype(str).tolist(), dtype=str)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """As CSV or Parquet, by its suffix; whole or not at all.

    Raises:
        Fault: Parquet is asked for, and pyarrow is not installed.
    """
    with appearing(path) as temporary:
        if path.suffix == ".parquet":
            require_parquet()
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def require_parquet() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise Fault('Parquet needs pyarrow: pip install -e ".[parquet]"') from error
