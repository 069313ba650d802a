"""Feature files of any maker: one row a sample, from NPZ, CSV or Parquet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from saec.data.labels import recording_of
from saec.faults import Fault, MissingFault, listing
from saec.features import DAMAGE, Features
from saec.files import appearing, map_npz

KEYS = ("X", "X_red")
MAP_KEY = "X_2D"
TABLES = (".csv", ".parquet")
AT_ONCE = 512  # latents that are pooled together
Pooling = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Table:
    """Rows (n, features) by the names of their samples, sorted; labels and a 2-D map where it has them."""

    file: Path
    rows: np.ndarray
    names: np.ndarray
    labels: np.ndarray | None = None
    layout: np.ndarray | None = None
    columns: tuple[str, ...] = ()  # what features are called, where they have names
    n_constant: int = 0  # features that are the same for all samples
    named: bool = True  # whether the file says which samples the rows are of
    pooling: Pooling | None = None  # what has made rows of the file's latents
    facts: dict[str, np.ndarray] = field(default_factory=dict)  # further columns of a table


def read_table(
    file: Path,
    key: str | None = None,
    columns: str = "Feature_*",
    names: str = "file",
    label: str = "Label",
    pooling: Pooling | None = None,
) -> Table:
    """Reads features as numbers that can be judged.

    Of an NPZ the arrays `key` (else X, else X_red) and N; of a table the `columns` of that pattern, and the
    columns `names` and `label` where it has them.

    Raises:
        Fault: the file is missing, damaged, of another kind, names a sample twice, holds what is no number.
    """
    suffix = file.suffix.lower()
    if suffix == ".npz":
        table = _from_npz(file, key, pooling)
    elif suffix in TABLES:
        table = _from_columns(file, columns, names, label)
    else:
        raise Fault(f"{file}: features are read from .npz, .csv or .parquet, got {suffix or 'no suffix'!r}")
    _refuse_twice(table)
    _refuse_not_finite(table)
    return replace(_sorted(table), n_constant=n_constant(table))


def n_constant(table: Table) -> int:
    """How many features are the same for all.

    Raises:
        Fault: there is one row, or all features are.
    """
    if len(table.rows) == 1:
        raise Fault(f"{table.file} has one picture, there is nothing to compare it with")
    constant = np.ptp(table.rows, axis=0) == 0
    if constant.all():
        raise Fault(f"{table.file}: every feature is the same for all pictures, so they tell nothing apart")
    return int(constant.sum())


def beside(file: Path) -> list[Path]:
    """The reductions `dimred_<d>_neigh_<n>_<id>.npz` that lie beside a feature file of the same id."""
    _, mark, rest = file.name.partition("_saec_")
    if not mark or file.name.startswith("dimred_") or not file.is_file():
        return []
    found = [path for path in file.parent.glob("dimred_*") if path.name.endswith(f"{mark}{rest}")]
    return sorted(found, key=lambda path: int(path.name.split("_")[1]))


def _from_npz(file: Path, key: str | None, pooling: Pooling | None) -> Table:
    faults = []
    for one in (key,) if key else KEYS:
        try:
            found = Features.load(file, one)
            break
        except MissingFault:
            raise
        except Fault as fault:
            faults.append(str(fault))
    else:
        raise Fault(faults[0])
    if found.N.dtype.kind != "U" or found.N.ndim != 1:
        raise Fault(f"{file}: N must hold names (text), got {found.N.dtype} of shape {found.N.shape}")
    rows = _pooled(found.X, file, pooling)
    by = pooling if found.X.ndim == 3 else None
    return Table(file, rows, found.N, layout=read_layout(file, found.N), pooling=by)


def _pooled(rows: np.ndarray, file: Path, pooling: Pooling | None) -> np.ndarray:
    if rows.dtype.kind not in "fiu":
        raise Fault(f"{file}: features must be numbers, got {rows.dtype}")
    if rows.ndim == 2 and rows.size:
        return rows
    if rows.ndim != 3 or not rows.size:
        raise Fault(f"{file}: features are (pictures, features), got an array of shape {rows.shape}")
    if pooling is None:
        raise Fault(
            f"{file} holds latents {rows.shape}, not one row a picture: name a pooled file, or a `pooling`"
        )
    pieces = range(0, len(rows), AT_ONCE)
    arrays = [np.array(rows[start : start + AT_ONCE], dtype=np.float32) for start in pieces]
    return np.concatenate([pooling(torch.from_numpy(piece)).numpy() for piece in arrays])


def read_layout(file: Path, names: np.ndarray) -> np.ndarray | None:
    """The 2-D map (n, 2) that an NPZ has of the samples by these names, if it has one."""
    try:
        layout, theirs = np.array(map_npz(file, MAP_KEY)), np.array(map_npz(file, "N"))
    except (KeyError, *DAMAGE):
        return None
    fits = theirs.shape == names.shape and (theirs == names).all() and layout.dtype.kind in "fiu"
    fits = fits and layout.ndim == 2 and len(layout) == len(names) and layout.shape[1] >= 2
    return layout[:, :2] if fits and np.isfinite(layout).all() else None


def _from_columns(file: Path, columns: str, names: str, label: str) -> Table:
    frame = read_frame(file, (names, label))
    chosen = [column for column in frame.columns if fnmatchcase(str(column), columns)]
    if not chosen:
        there = listing([str(column) for column in frame.columns])
        if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
            raise Fault(f"{file} has its columns separated by semicolons: save it with commas")
        raise Fault(f"{file} has no column {columns!r} (say `columns: PATTERN`), it has\n{there}")
    odd = [column for column in chosen if not pd.api.types.is_numeric_dtype(frame[column])]
    if odd:
        raise Fault(f"{file}: these feature columns are no numbers:\n{listing(odd)}")
    named = names in frame
    called = frame[names].astype(str) if named else [f"row {row + 1:06d}" for row in range(len(frame))]
    if "" in set(called):
        raise Fault(f"{file}: {int((frame[names] == '').sum())} rows have no name in the column {names}")
    labels = np.array(frame[label].astype(str).tolist(), dtype=str) if label in frame else None
    rows = frame[chosen].to_numpy(dtype=np.float32)
    others = [column for column in frame if column not in (*chosen, names, label)]
    facts = {str(column): column_of(frame[column]) for column in others}
    known = {"columns": tuple(chosen), "named": named, "facts": facts}
    return Table(file, rows, np.array(called, dtype=str), labels, **known)


def _refuse_twice(table: Table) -> None:
    names, counts = np.unique(table.names, return_counts=True)
    if (counts > 1).any():
        raise Fault(f"{table.file} has pictures twice:\n{listing(names[counts > 1].tolist())}")


def _refuse_not_finite(table: Table) -> None:
    pieces = range(0, len(table.rows), AT_ONCE)
    whole = np.concatenate([np.isfinite(table.rows[at : at + AT_ONCE]).all(axis=1) for at in pieces])
    if not whole.all():
        odd = table.names[~whole].tolist()
        raise Fault(
            f"{table.file}: {len(odd)} of {len(whole)} rows hold what is no finite number (NaN or infinite), "
            f"extract or repair them:\n{listing(odd)}"
        )


def _sorted(table: Table) -> Table:
    order = np.argsort(table.names, kind="stable")
    if (order == np.arange(len(order))).all():
        return table
    parts = {
        part: getattr(table, part)[order]
        for part in ("rows", "names", "labels", "layout")
        if getattr(table, part) is not None
    }
    return replace(table, **parts, facts={name: values[order] for name, values in table.facts.items()})


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


def per_recording(table: Table) -> Table:
    """Means over the samples of each recording; a label where all of them have the same."""
    names, rows = means_per_recording(table.names, table.rows)
    labels = None if table.labels is None else _agreed(table.names, table.labels)
    known = {"rows": rows, "names": names, "labels": labels, "layout": None, "facts": {}}
    return replace(table, **known, n_constant=n_constant(replace(table, rows=rows)))


def means_per_recording(names: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recordings, sorted, and (recordings, features) float32: means over the rows of each."""
    recordings, means = means_by(_recordings(names), rows)
    return recordings, means.astype(np.float32)


def means_by(keys: Sequence[str] | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys, sorted and each once, and (keys, columns): means over the rows (n, columns) of each."""
    names, of = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, of, rows)
    return names, sums / np.bincount(of)[:, None]


def _agreed(names: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label that all samples of a recording have, "" where they differ; recordings are sorted."""
    _, first, of = np.unique(_recordings(names), return_index=True, return_inverse=True)
    firsts = labels[first]
    odd = np.unique(of[labels != firsts[of]])
    firsts[odd] = ""
    return firsts


def _recordings(names: np.ndarray) -> list[str]:
    return [recording_of(name) for name in names.tolist()]
