"""Results of the digits as tables: means over seeds, the least and the largest beside them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]
PLACES = {
    "classify": ("recipe", "Unseen speakers, macro-F1"),
    "combine": ("method", "Features of new speakers, svm, macro-F1"),
    "transfer": ("start", "A sixth speaker from few labels, macro-F1"),
}


def tables(rows: Sequence[Row]) -> str:
    parts = []
    for job, (key, title) in PLACES.items():
        result = pd.DataFrame([row for row in rows if row["job"] == job])
        if len(result):
            by = [key, "labels"] if "labels" in result else [key]
            parts.append(f"{title}\n{_with_range(result, by)}")
    parts += [_along_time(row) for row in rows if row["job"] == "tracks"]
    return "\n\n".join(parts)


def _with_range(result: pd.DataFrame, by: list[str]) -> str:
    scores = result.groupby(by, sort=False)["macro_f1"].agg(["mean", "min", "max", "count"])
    return scores.round(3).to_string()


def _along_time(row: Row) -> str:
    scores = pd.DataFrame(row["scores"])
    title = f"A stitched recording, seed {row['seed']} ({row['report']})"
    return f"{title}\n{scores.round(3).to_string(index=False)}"
