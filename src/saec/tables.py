"""Feature files of any maker, one row a picture, from NPZ, CSV or Parquet; and tables that are written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from saec.faults import Fault, MissingFault, listing
from saec.features import Features
from saec.files import appearing, map_npz

KEYS = ("X", "X_red")
MAP_KEY = "X_2D"
TABLES = (".csv", ".parquet")
AT_ONCE = 512  # latents that are pooled together
Pooling = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Table:
    """Rows (n, features) by the names of their pictures, sorted; labels and a 2-D map where it has them."""

    file: Path
    rows: np.ndarray
    names: np.ndarray
    labels: np.ndarray | None = None
    layout: np.ndarray | None = None
    columns: tuple[str, ...] = ()  # what features are called, where they have names
    varies: np.ndarray | None = None  # which columns of the file these are, where some are constant
    named: bool = True  # whether the file says which pictures the rows are of


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
        Fault: the file is missing, damaged, of another kind, names a picture twice, holds what is no number.
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
    return _without_constant(_sorted(table))


def beside(file: Path) -> list[Path]:
    """The reductions `dimred_<d>_neigh_<n>_<id>.npz` that lie beside a feature file of the same id."""
    _, mark, rest = file.name.partition("_saec_")
    if not mark or file.name.startswith("dimred_") or not file.is_file():
        return []
    found = [path for path in file.parent.glob("dimred_*") if path.name.endswith(f"{mark}{rest}")]
    return sorted(found, key=lambda path: int(path.name.split("_")[1]))


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
    if found.N.dtype.kind != "U":
        raise Fault(f"{file}: N must hold names (text), got {found.N.dtype}")
    return Table(file, _pooled(found.X, file, pooling), found.N, layout=read_layout(file, found.N))


def _pooled(rows: np.ndarray, file: Path, pooling: Pooling | None) -> np.ndarray:
    if rows.dtype.kind not in "fiu":
        raise Fault(f"{file}: features must be numbers, got {rows.dtype}")
    if rows.ndim == 2:
        return rows
    if rows.ndim != 3:
        raise Fault(f"{file}: features are (pictures, features), got an array of shape {rows.shape}")
    if pooling is None:
        raise Fault(
            f"{file} holds latents {rows.shape}, not one row a picture: name a pooled file, or a `pooling`"
        )
    pieces = range(0, len(rows), AT_ONCE)
    arrays = [np.array(rows[start : start + AT_ONCE], dtype=np.float32) for start in pieces]
    return np.concatenate([pooling(torch.from_numpy(piece)).numpy() for piece in arrays])


def read_layout(file: Path, names: np.ndarray) -> np.ndarray | None:
    """The 2-D map (n, 2) that an NPZ has of the pictures by these names, if it has one."""
    try:
        layout, theirs = np.array(map_npz(file, MAP_KEY)), np.array(map_npz(file, "N"))
    except (KeyError, ValueError, OSError, BadZipFile):
        return None
    same = len(theirs) == len(names) and (theirs == names).all()
    return layout[:, :2] if same and layout.ndim == 2 and layout.shape[1] >= 2 else None


def _from_columns(file: Path, columns: str, names: str, label: str) -> Table:
    frame = _read_frame(file)
    chosen = [column for column in frame.columns if fnmatchcase(str(column), columns)]
    if not chosen:
        there = listing([str(column) for column in frame.columns])
        raise Fault(f"{file} has no column {columns!r} (say `columns: PATTERN`), it has\n{there}")
    odd = [column for column in chosen if not pd.api.types.is_numeric_dtype(frame[column])]
    if odd:
        raise Fault(f"{file}: these feature columns are no numbers:\n{listing(odd)}")
    named = names in frame
    called = frame[names].astype(str) if named else [f"row {row + 1:06d}" for row in range(len(frame))]
    labels = frame[label].fillna("").astype(str).to_numpy(dtype=str) if label in frame else None
    rows = frame[chosen].to_numpy(dtype=np.float32)
    return Table(file, rows, np.array(called, dtype=str), labels, columns=tuple(chosen), named=named)


def _read_frame(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise MissingFault(f"no such feature file: {file}")
    if file.suffix.lower() == ".parquet":
        require_parquet()
    try:
        frame = pd.read_parquet(file) if file.suffix.lower() == ".parquet" else pd.read_csv(file)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own faults are of these kinds
        raise Fault(f"{file} cannot be read as a table: {error}") from error
    if frame.empty:
        raise Fault(f"{file} has no rows")
    return frame


def _refuse_twice(table: Table) -> None:
    names, counts = np.unique(table.names, return_counts=True)
    if (counts > 1).any():
        raise Fault(f"{table.file} has pictures twice:\n{listing(names[counts > 1].tolist())}")


def _refuse_not_finite(table: Table) -> None:
    whole = np.array([np.isfinite(row).all() for row in table.rows])
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
    return replace(table, **parts)


def _without_constant(table: Table) -> Table:
    varies = np.ptp(table.rows, axis=0) > 0
    if varies.all():
        return table
    if not varies.any():
        raise Fault(f"{table.file}: every feature is the same for all pictures, so they tell nothing apart")
    columns = tuple(name for name, kept in zip(table.columns, varies, strict=False) if kept)
    return replace(table, rows=table.rows[:, varies], columns=columns, varies=varies)
