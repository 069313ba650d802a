"""Features and reductions as one wide table a method: one row a picture, for R, pandas or a spreadsheet."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec.files import as_file_name, map_npz
from saec.frames import write_table
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.tables import Table, beside


def export_features(judged: JudgedSet, kind: str, section: Section, folder: Path) -> None:
    """`features_<set>_<method>.<kind>`: file, label, group, features, and the reductions made with them."""
    for method, table in judged.tables.items():
        name = as_file_name(f"features_{judged.name}_{method}") + f".{kind}"
        facts = {"file": judged.names, "label": judged.known.labels, "group": judged.known.groups}
        parts = [pd.DataFrame(facts), _features(table), *_reductions(table)]
        write_table(folder / name, pd.concat(parts, axis=1))
        section.files[name] = f"features and reductions of {method}, one row a picture"


def _features(table: Table) -> pd.DataFrame:
    names = table.columns or [f"Feature_{place + 1}" for place in range(table.rows.shape[1])]
    return pd.DataFrame(np.asarray(table.rows, dtype=np.float32), columns=list(names))


def _reductions(table: Table) -> list[pd.DataFrame]:
    """Of the files that the same extraction has made of the same pictures."""
    found = []
    for file in beside(table.file):
        if not np.array_equal(map_npz(file, "N"), table.names):
            continue
        rows = np.array(map_npz(file, "X_red"))
        columns = [f"UMAP{rows.shape[1]}_{place + 1}" for place in range(rows.shape[1])]
        found.append(pd.DataFrame(rows, columns=columns))
    return found
