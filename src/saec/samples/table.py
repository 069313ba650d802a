"""Defines the table of samples: one row a sample, with fixed columns and any others of a user's table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from posixpath import splitext
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
    """Wraps a pandas DataFrame whose index is the samples' names, which are unique and sorted by code point.

    Columns: `file` (the recording or picture that the sample is of), `start_s` and `end_s` (where in it, in
    seconds), `label`, `group` (the recording where no table names one: a split keeps groups whole), `split`
    (train, valid, test), and whatever else a table says. Missing text is "", a missing number is NaN.
    """

    table: pd.DataFrame

    @classmethod
    def of(cls, names: Iterable[str], /, **columns: Any) -> Samples:
        """Makes the table of samples by these names; columns that are not given are empty.

        `file` is the name itself where it is not given, `group` the recording that the name says.

        Raises:
            Fault: a name stands twice.
        """
        import pandas as pd

        names = [str(name) for name in names]
        index = pd.Index(names, dtype=object, name="name")  # object: not every file name is UTF-8
        twice = index[index.duplicated()]
        if len(twice):
            raise Fault(f"{len(twice):,} samples share a name:\n{listing(sorted(set(twice)))}")
        columns = dict.fromkeys(COLUMNS) | {"file": index} | columns
        table = pd.DataFrame({key: _column(key, values, index) for key, values in columns.items()})
        groups = zip(table["group"], table["file"], strict=True)
        table["group"] = _column("group", [group or file.split(SEGMENT)[0] for group, file in groups], index)
        order = np.array(sorted(range(len(index)), key=names.__getitem__), dtype=np.int64)
        return cls(table.iloc[order] if (order[1:] < order[:-1]).any() else table)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def names(self) -> np.ndarray:
        """Returns the names of the samples, (n,) str, sorted by code point."""
        return np.array(self.table.index.to_list(), dtype=str)

    @property
    def files(self) -> np.ndarray:
        """Returns the recordings or pictures that samples are of, (n,) str."""
        return self.texts("file")

    @cached_property
    def labels(self) -> np.ndarray:
        """Returns the labels, (n,) str; "" where there is none."""
        return self.texts("label")

    @cached_property
    def groups(self) -> np.ndarray:
        """Returns the groups, (n,) str; the recording where a table names none."""
        return self.texts("group")

    @property
    def splits(self) -> np.ndarray:
        return self.texts("split")

    @property
    def times(self) -> np.ndarray:
        """Returns start and end within the file in seconds, (n, 2) float; NaN where there are none."""
        return self.table[list(SECONDS)].to_numpy(dtype=float)

    @property
    def begins(self) -> np.ndarray:
        """Returns where samples begin in seconds, (n,) float, by their names if need be; NaN: whole files."""
        begins = np.where(self.table.index == self.table["file"], np.nan, self.times[:, 0])
        by_name = [start_of(name) for name in self.table.index]
        return np.where(np.isnan(begins), by_name, begins)

    @property
    def classes(self) -> list[str]:
        """Returns the labels that occur, each once, sorted."""
        return sorted(set(self.labels.tolist()) - {""})

    @property
    def others(self) -> list[str]:
        """Returns the names of the columns that a user's table has beside the fixed ones."""
        return [column for column in self.table.columns if column not in COLUMNS]

    def texts(self, column: str) -> np.ndarray:
        """Returns a column of text, (n,) str."""
        return np.array(self.table[column].to_list(), dtype=str)

    def subset(self, rows: np.ndarray | Sequence[int]) -> Samples:
        """Returns the samples of these row numbers (or of this mask), in the order of the table."""
        rows = np.asarray(rows)
        chosen = np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows)
        return Samples(self.table.iloc[chosen])

    def but(self, /, **columns: Any) -> Samples:
        """Returns the same samples with other values in these columns, or with further columns."""
        index = self.table.index
        table = self.table.copy()
        for key, values in columns.items():
            table[key] = _column(key, values, index)
        return Samples(table)


def numbered(names: Iterable[str]) -> list[str]:
    """Returns names that are unique: a second `a.wav` is `a.wav#2`, which no picture or sound is called."""
    counts: Counter[str] = Counter()
    unique = []
    for name in names:
        counts[name] += 1
        unique.append(f"{name}#{counts[name]}" if counts[name] > 1 else name)
    return unique


def recording_of(name: str) -> str:
    """Returns the recording that a sample is of, without a suffix: what stands before `_segm_`."""
    return name.split(SEGMENT)[0] if SEGMENT in name else splitext(name)[0]


def start_of(name: str) -> float:
    """Returns the second at which a segment begins by its name, what follows `_segm_`; NaN if it is none."""
    found = re.search(rf"{SEGMENT}(\d+(\.\d+)?)", name)
    return float(found[1]) if found else np.nan


def _column(key: str, values: Any, index: pd.Index) -> pd.Series:
    """Makes a column as the table keeps it: text as objects, seconds as floats; one value is of all rows."""
    import pandas as pd

    alone = values is None or isinstance(values, str | float | int)
    values = [values] * len(index) if alone else list(values)
    if key in SECONDS:
        return pd.Series([np.nan if value is None else value for value in values], index, dtype=float)
    if key in TEXTS:
        return pd.Series(["" if value is None else str(value) for value in values], index, dtype=object)
    text = any(isinstance(value, str) for value in values)
    return pd.Series(values, index, dtype=object if text else None)


def per_recording(samples: Samples) -> Samples:
    """Returns one sample a recording: label, group, split and the rest where all its samples agree."""
    recordings, first, of = np.unique(
        [recording_of(name) for name in samples.names.tolist()], return_index=True, return_inverse=True
    )
    columns = {}
    for column in ("label", "group", "split", *samples.others):
        values = samples.table[column].to_numpy()
        agreed = values[first]
        agreed[np.unique(of[values != agreed[of]])] = "" if agreed.dtype == object else np.nan
        columns[column] = agreed
    return Samples.of(recordings.tolist(), **columns)


def means_per_recording(names: Sequence[str] | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the recordings of samples, sorted, and (recordings, columns) float32: means over the rows."""
    recordings, means = means_by([recording_of(str(name)) for name in names], rows)
    return recordings, means.astype(np.float32)


def means_by(keys: Sequence[str] | np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys, sorted and each once, and (keys, columns): means of the rows (n, columns) of each."""
    names, of = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, of, rows)
    return names, sums / np.bincount(of)[:, None]
