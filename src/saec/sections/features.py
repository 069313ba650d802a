"""Features go out as wide tables: one row a sample, with label, group, and the reductions made of them."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from saec.files import as_file_name, map_npz
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.sets import reductions_of
from saec.tables import Table, require_parquet


@SECTIONS.register("features")
class FeatureTables:
    """Writes `features_<set>_<method>`: file, label, group, features, and reductions."""

    position = 40

    def __init__(self, inputs: Inputs, *, table: Literal["csv", "parquet"] | None = "csv"):
        self.suffix = table
        self.sets = list(inputs.sets.values()) if table else []
        if table == "parquet":
            inputs.check("table", require_parquet)

    def describe(self) -> list[str]:
        return [f"{one.name}: features as {self.suffix}" for one in self.sets]

    def write(self, folder: Path) -> list[Content]:
        content = Content("Features as tables", folder)
        for one in self.sets:
            samples = {"file": one.names, "label": one.samples.labels, "group": one.samples.groups}
            for method, table in one.tables.items():
                name = as_file_name(f"features_{one.name}_{method}") + f".{self.suffix}"
                parts = [pd.DataFrame(samples), _features(table), *_reductions(table)]
                what = f"features and reductions of {method}, one row a picture"
                content.write(name, pd.concat(parts, axis=1), what)
        return [content] if self.sets else []


def _features(table: Table) -> pd.DataFrame:
    names = table.columns or [f"Feature_{column + 1}" for column in range(table.rows.shape[1])]
    return pd.DataFrame(np.asarray(table.rows, dtype=np.float32), columns=list(names))


def _reductions(table: Table) -> list[pd.DataFrame]:
    """Reads the reductions that the same extraction has made of the same samples."""
    reductions = []
    for file in reductions_of(table.file):
        if np.array_equal(map_npz(file, "N"), table.names):
            rows = np.array(map_npz(file, "X_red"))
            columns = [f"UMAP{rows.shape[1]}_{column + 1}" for column in range(rows.shape[1])]
            reductions.append(pd.DataFrame(rows, columns=columns))
    return reductions
