"""Reads feature files of any maker, one row a sample, and writes tables, for other programs, too."""

import csv
import logging
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np
import pandas as pd
import torch

from saec.config import require_short_name
from saec.faults import Fault, MissingFault, listing
from saec.features import Features
from saec.files import DAMAGE, appearing, as_file_name, map_npz, require_whole
from saec.registry import Component
from saec.samples import COLUMNS, FREQUENCIES, Samples, means_per_recording, per_recording, read_separated

LOG = logging.getLogger(__name__)
TABLES = (".csv", ".tsv", ".txt", ".parquet")
PLACES = ("site", "date", "time")  # columns that are text, whatever they are made of: site 001 is not 1
MISSING = ["", "NA", "NaN", "nan", "null", "None"]  # in columns of numbers
FORMULA = re.compile(r"(?![+-][\d.]+(e[+-]?\d+)?$)[=+@\t\r-]", re.IGNORECASE)  # and no number
AT_ONCE = 512  # latents that are pooled together
Form = Literal["csv", "raven", "audacity"]
SPACES = str.maketrans("\t\r\n", "   ")
SELECTIONS = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", *FREQUENCIES]
SELECTIONS += ["Begin File", "Annotation"]


@dataclass(frozen=True)
class Table:
    """Holds rows (n, features) of samples, sorted by name."""

    file: Path
    rows: np.ndarray
    samples: Samples  # with the labels and further columns of the file
    columns: tuple[str, ...] = ()  # what features are called, where they have names
    n_constant: int = 0  # features that are the same for all samples
    named: bool = True  # whether the file says which samples the rows are of
    pooling: Component | None = None  # the component that has made rows of the file's latents, if one has

    @property
    def names(self) -> np.ndarray:
        return self.samples.names


def read_table(
    file: Path,
    key: str | None = None,
    columns: str = "Feature_*",
    names: str = "file",
    label: str = "Label",
    pooling: Component | None = None,
) -> Table:
    """Reads features as numbers that can be scored; raises a `Fault` where there are none.

    Of an NPZ the arrays `key` (else X, else X_red) and N; of a table the `columns` of that pattern, and the
    columns `names` and `label` where it has them.
    """
    suffix = file.suffix.lower()
    if suffix == ".npz":
        table = _from_npz(file, key, pooling)
    elif suffix in TABLES:
        table = _from_columns(file, columns, names, label)
    else:
        raise Fault(f"{file}: features are read from .npz, .csv or .parquet, got {suffix or 'no suffix'!r}")
    return _checked(table)


def table_per_recording(table: Table) -> Table:
    """Returns means over the samples of each recording; a label where all of them have the same."""
    _, rows = means_per_recording(table.names, table.rows)
    samples = per_recording(Samples.of(table.names, label=table.samples.labels))
    return _checked(replace(table, rows=rows, samples=samples))


def _checked(table: Table) -> Table:
    """Counts constant features; raises a `Fault` where the rows cannot be compared."""
    pieces = range(0, len(table.rows), AT_ONCE)
    largest = np.finfo(np.float32).max  # scores are computed in it
    finite = np.concatenate([(abs(table.rows[at : at + AT_ONCE]) <= largest).all(axis=1) for at in pieces])
    if not finite.all():
        bad = table.names[~finite].tolist()
        raise Fault(
            f"{table.file}: {len(bad)} of {len(finite)} rows hold what is no finite number (NaN or "
            f"infinite, or beyond float32), extract or repair them:\n{listing(bad)}"
        )
    if len(finite) == 1:
        raise Fault(f"{table.file} has one sample, there is nothing to compare it with")
    constant = np.ptp(table.rows, axis=0) == 0
    if constant.all():
        raise Fault(f"{table.file}: every feature is the same for all samples, so they tell nothing apart")
    return replace(table, n_constant=int(constant.sum()))


def _from_npz(file: Path, key: str | None, pooling: Component | None) -> Table:
    features = Features.load(file, key or _key_of(file))
    try:
        require_whole(file)
    except DAMAGE as error:
        raise Fault(f"{file} is damaged ({error}): extract its features again") from error
    names, rows, by = features.N, features.X, None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise Fault(f"{file}: N must hold names (text), got {names.dtype} of shape {names.shape}")
    if rows.dtype.kind not in "fiu":
        raise Fault(f"{file}: features must be numbers, got {rows.dtype}")
    if rows.ndim not in (2, 3) or not rows.size:
        raise Fault(f"{file}: features are (samples, features), got an array of shape {rows.shape}")
    if rows.ndim == 3:
        if pooling is None:
            raise Fault(
                f"{file} holds latents {rows.shape}, not one row a sample: name a pooled file, or a `pooling`"
            )
        if getattr(pooling, "axes", "time") == "both":
            raise Fault(f"{file} does not say how many rows a channel has: pool over both axes in extraction")
        pieces = (np.array(rows[at : at + AT_ONCE], np.float32) for at in range(0, len(rows), AT_ONCE))
        rows, by = np.concatenate([pooling(torch.from_numpy(piece)).numpy() for piece in pieces]), pooling
    order = np.argsort(names, kind="stable")
    if (order[1:] < order[:-1]).any():  # a mapped file stays one where it is sorted
        rows = rows[order]
    return Table(file, rows, Samples.of(names), pooling=by)


def _key_of(file: Path) -> str:
    """Returns X_red for a file of reductions, else X, which a file of features must have."""
    with suppress(*DAMAGE), ZipFile(file) as archive:
        if {"X.npy", "X_red.npy"} & set(archive.namelist()) == {"X_red.npy"}:
            return "X_red"
    return "X"


def read_layout(file: Path, names: np.ndarray) -> np.ndarray | None:
    """Returns the 2-D map (n, 2) that an NPZ has of the samples by these sorted names, if it has one."""
    if file.suffix.lower() != ".npz":
        return None
    try:
        layout, theirs = np.array(map_npz(file, "X_2D")), np.array(map_npz(file, "N")).ravel()
    except KeyError:
        return None
    except DAMAGE as error:
        LOG.warning("%s cannot be read (%s): its map is made anew", file, error)
        return None
    if not np.array_equal(np.sort(theirs), names):
        return None  # of other samples, or of means over these
    fits = layout.ndim == 2 and len(layout) == len(theirs) and layout.shape[1] >= 2
    if not fits or layout.dtype.kind not in "fiu" or not np.isfinite(layout).all():
        LOG.warning("%s: X_2D is no map of finite numbers, (samples, 2): it is made anew", file)
        return None
    return layout[np.argsort(theirs), :2]


def _from_columns(file: Path, columns: str, names: str, label: str) -> Table:
    places = [one for one in PLACES if not fnmatchcase(one, columns)]
    frame = _read_frame(file, (names, label, *places))
    names, label = (_as_written(one, frame) for one in (names, label))
    chosen = [column for column in frame.columns if fnmatchcase(str(column), columns)]
    if not chosen:
        there = listing([str(column) for column in frame.columns])
        raise Fault(f"{file} has no column {columns!r} (say `columns: PATTERN`), it has\n{there}")
    kinds = frame[chosen].dtypes.items()
    texts = [column for column, kind in kinds if not pd.api.types.is_numeric_dtype(kind)]
    if texts:
        raise Fault(f"{file}: these feature columns are no numbers:\n{listing(texts)}")
    named = names in frame
    called = frame[names] if named else [f"row {row + 1:06d}" for row in range(len(frame))]
    called = np.array(called, dtype=str)
    if (called == "").any():
        raise Fault(f"{file}: {(called == '').sum()} rows have no name in the column {names}")
    order = np.argsort(called, kind="stable")
    frame = frame.iloc[order]
    own = {*chosen, names, label, *COLUMNS}
    others = [one for one in frame if one not in own]
    given = {str(one): column_of(frame[one]) for one in others}
    given |= {"label": frame[label]} if label in frame else {}
    with np.errstate(over="ignore"):  # what is beyond float32 is found below
        rows = frame[chosen].to_numpy(dtype=np.float32)
    return Table(file, rows, Samples.of(called[order]).but(**given), columns=tuple(chosen), named=named)


def _read_frame(file: Path, words: tuple[str, ...]) -> pd.DataFrame:
    """Reads a table; columns in `words` are kept as they are written: `NA` is a word, 001 is not 1."""
    if not file.is_file():
        raise MissingFault(f"no such feature file: {file}")
    try:
        if file.suffix.lower() == ".parquet":
            require_parquet()
            frame = pd.read_parquet(file)
            for word in {_as_written(one, frame) for one in words} & {*frame}:
                frame[word] = frame[word].astype(object).where(frame[word].notna(), "").astype(str)
        else:
            frame = _of_text(file, {word.casefold() for word in words})
    except (ValueError, OverflowError, TypeError, LookupError, OSError) as error:  # of pandas and pyarrow
        raise Fault(f"{file} cannot be read as a table: {error}") from error
    if frame.empty:
        raise Fault(f"{file} has no rows")
    return frame


def _of_text(file: Path, words: set[str]) -> pd.DataFrame:
    """Reads CSV, also with tabs or semicolons; without commas between columns, numbers may have them."""
    text, separator, _ = read_separated(file)
    counts = Counter(next(csv.reader(StringIO(text, newline=""), delimiter=separator), []))
    heads = [f"{head}.{i}" if i else head for head, n in counts.items() for i in range(n)]  # as in pandas
    kinds = {head: str for head in heads if head.strip().casefold() in words}
    missing = {head: MISSING for head in heads if head not in kinds}
    options = {"dtype": kinds, "na_values": missing, "keep_default_na": False}
    frame = pd.read_csv(StringIO(text), sep=separator, low_memory=False, **options)
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(f"its rows have more cells than the {len(heads)} columns of its head")
    texts = frame.select_dtypes(exclude="number")  # there may be thousands of columns of numbers
    empty = texts.isna() | (texts == "")  # as Excel leaves rows and columns
    no_number = frame.select_dtypes("number").isna()
    unnamed = [of[head] for of in (empty, no_number) for head in of if head.startswith("Unnamed: ")]
    unnamed = [column.name for column in unnamed if column.all()]
    frame = frame[~(empty.all(axis=1) & no_number.all(axis=1))].drop(columns=unnamed)
    for head in frame.columns.difference([*kinds]) if separator != "," else ():
        if not pd.api.types.is_numeric_dtype(frame[head]):
            numbers = pd.to_numeric(frame[head].str.replace(",", "."), errors="coerce")
            frame[head] = numbers if numbers.notna().equals(frame[head].notna()) else frame[head]
    return frame


def _as_written(column: str, frame: pd.DataFrame) -> str:
    """Returns a column's name as the table writes it: capitals do not matter."""
    alike = [one for one in map(str, frame) if one.strip().casefold() == column.casefold()]
    return column if column in frame or not alike else alike[0]


def column_of(values: pd.Series) -> np.ndarray:
    """Returns numbers where all are numbers, else text; sites, dates and times are text."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all() and str(values.name).casefold() not in PLACES:
        return numbers.to_numpy(dtype=float)
    return np.array(["" if value != value or value is None else str(value) for value in values], dtype=str)


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table, an apostrophe before text that spreadsheets would run; reading drops it again."""

    def quoted(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell

    table = table.rename(columns=quoted)
    for at, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            table.isetitem(at, table.iloc[:, at].map(quoted))
    return table


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes CSV or Parquet, by the suffix, whole or not at all."""
    with appearing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            without_formulas(table).to_csv(temporary, index=False, lineterminator="\n")


def refuse_alike(what: str, names: list[str]) -> None:
    """Raises a `Fault` where two names would be one as part of a file's name, or one is too long for that."""
    for name in names:
        require_short_name(as_file_name(name))
    counts = Counter(as_file_name(name).casefold() for name in names)
    twice = sorted({name for name in names if counts[as_file_name(name).casefold()] > 1})
    if twice:
        raise Fault(f"{what} need names that differ in letters or digits (`name: file`):\n{listing(twice)}")


def require_parquet() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise Fault("Parquet needs a package: pip install pyarrow") from error


def texts_per_file(
    table: pd.DataFrame, form: Form, band: tuple[float, float] | None = None
) -> dict[str, str]:
    """Returns for each file of a table (file, start, end, label) its rows as the text of such a table.

    Rows without a start and an end are left out. Those without frequencies have the `band`, if any.
    """
    rows = table.dropna(subset=["start", "end"]).sort_values(["file", "start"], kind="stable")
    write = {"raven": _raven, "audacity": _audacity}[form]
    return {str(file): write(part.to_dict("records"), band) for file, part in rows.groupby("file")}


def _raven(rows: list[dict[str, Any]], band: tuple[float, float] | None) -> str:
    lines = [SELECTIONS]
    for number, row in enumerate(rows, start=1):
        bounds = [f"{hertz:.10g}" for hertz in frequencies_of(row) or band or ()] or ["", ""]
        span = f"{row['start']:.6f}", f"{row['end']:.6f}"
        text = _plain(row["file"].replace("\\", "/").rpartition("/")[2]), _plain(row["label"])
        lines.append([str(number), "Spectrogram 1", "1", *span, *bounds, *text])
    return "".join("\t".join(line) + "\n" for line in lines)


def _audacity(rows: list[dict[str, Any]], band: tuple[float, float] | None) -> str:
    text = ""
    for row in rows:
        text += f"{row['start']:.6f}\t{row['end']:.6f}\t{_plain(row['label'])}\n"
        if bounds := frequencies_of(row) or band:
            text += "\\\t{:.6f}\t{:.6f}\n".format(*bounds)
    return text


def frequencies_of(row: dict[str, Any]) -> tuple[float, float] | None:
    """Returns the lowest and highest Hz of a row, None where it has none."""
    try:
        low, high = (float(str(row[key]).replace(",", ".")) for key in FREQUENCIES)
    except (KeyError, ValueError):
        return None
    return (low, high) if low <= high else None


def _plain(text: str) -> str:
    """Returns the text without what would end its cell."""
    return str(text).translate(SPACES)
