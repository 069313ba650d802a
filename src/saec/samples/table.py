"""The table of samples: one row a sample, with fixed columns and whatever else a user's table says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from saec.faults import Fault, listing

if TYPE_CHECKING:  # pandas takes a third of a second to import, which a training need not wait for
    import pandas as pd

TEXTS = ("file", "label", "group", "split")  # missing ones are ""
SECONDS = ("start_s", "end_s")  # missing ones are NaN
COLUMNS = ("file", "start_s", "end_s", "label", "group", "split")
SEGMENT = "_segm_"  # stands between a recording's name and the start of a segment of it


@dataclass(frozen=True)
class Samples:
    """A pandas DataFrame whose index is the samples' names: unique, sorted by code point.

    Columns: `file` (the recording or picture that the sample is of), `start_s` and `end_s` (where in it, in
    seconds), `label`, `group` (the recording where no table names one: a split keeps groups whole), `split`
    (train, valid, test), and whatever else a table says. Missing text is "", a missing number is NaN.
    """

    table: pd.DataFrame

    @classmethod
    def of(cls, names: Iterable[str], **columns: Any) -> Samples:
        """Makes the table of samples by these names; columns that are not given are empty.

        `file` is the name itself where it is not given, `group` the recording that the name says.

        Raises:
            Fault: a name stands twice.
        """
        import pandas as pd

        names = np.array(list(names), dtype=object)
        given = {key: _plain(key, values, len(names)) for key, values in columns.items()}
        given.setdefault("file", names)
        empty = {key: np.full(len(names), "", dtype=object) for key in TEXTS}
        empty |= {key: np.full(len(names), np.nan) for key in SECONDS}
        table = pd.DataFrame({key: given.get(key, empty[key]) for key in COLUMNS} | given, index=names)
        table.index.name = "name"
        missing = table["group"] == ""
        if missing.any():
            table.loc[missing, "group"] = [file.split(SEGMENT)[0] for file in table.loc[missing, "file"]]
        twice = table.index[table.index.duplicated()]
        if len(twice):
            raise Fault(f"{len(twice):,} samples share a name:\n{listing(sorted(set(twice)))}")
        order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
        return cls(table.iloc[order] if (order[1:] < order[:-1]).any() else table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def names(self) -> np.ndarray:
        """Names of the samples, (n,) str, sorted by code point."""
        return np.array(self.table.index.to_list(), dtype=str)

    @property
    def files(self) -> np.ndarray:
        return self.texts("file")

    @property
    def labels(self) -> np.ndarray:
        """Labels, (n,) str; "" where none is known."""
        return self.texts("label")

    @property
    def groups(self) -> np.ndarray:
        """Groups, (n,) str; the recording where a table names none."""
        return self.texts("group")

    @property
    def splits(self) -> np.ndarray:
        return self.texts("split")

    @property
    def times(self) -> np.ndarray:
        """Start and end within the file in seconds, (n, 2) float; NaN where unknown."""
        return self.table[list(SECONDS)].to_numpy(dtype=float)

    @property
    def classes(self) -> list[str]:
        """The labels that occur, each once, sorted."""
        return sorted(set(self.labels.tolist()) - {""})

    @property
    def others(self) -> list[str]:
        """The names of the columns that a user's table has beside the fixed ones."""
        return [column for column in self.table.columns if column not in COLUMNS]

    def texts(self, column: str) -> np.ndarray:
        """A column of text, (n,) str."""
        return np.array(self.table[column].to_list(), dtype=str)

    def subset(self, rows: np.ndarray | Sequence[int]) -> Samples:
        """Returns the samples of these row numbers (or of this mask), in the order of the table."""
        rows = np.asarray(rows)
        chosen = np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows)
        return Samples(self.table.iloc[chosen])

    def but(self, **columns: Any) -> Samples:
        """Returns the same samples with other values in these columns, or with further columns."""
        plain = {key: _plain(key, values, len(self)) for key, values in columns.items()}
        return Samples(self.table.assign(**plain))

    def as_written(self) -> pd.DataFrame:
        """Returns the table with the name as its first column, as it is written to files."""
        return self.table.reset_index(names="sample" if "name" in self.table else "name")


def recording_of(name: str) -> str:
    """Returns the recording that a sample is of, without a suffix: what stands before `_segm_`."""
    path = PurePosixPath(name)
    return name.split(SEGMENT)[0] if SEGMENT in name else str(path.with_suffix("")) if path.suffix else name


def _plain(key: str, values: Any, n: int) -> np.ndarray:
    """A column as the table keeps it: text in object arrays, seconds as floats."""
    if isinstance(values, str | float | int) or values is None:
        values = [values] * n
    if key in SECONDS:
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    values = list(values)
    if key in TEXTS:
        return np.array(["" if value is None else str(value) for value in values], dtype=object)
    return np.array(values, dtype=object if any(isinstance(value, str) for value in values) else None)
