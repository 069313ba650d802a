"""Results of the digits as tables: means over seeds, the least and the largest beside them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]
PLACES = {
    "classify": ("recipe", "Unseen speakers, macro-F1"),
    "combine": ("method", "Features of speakers never heard, svm, macro-F1"),
    "transfer": ("start", "A sixth speaker from few labels, macro-F1"),
}


def tables(rows: Sequence[Row]) -> str:
    parts = []
    for job, (key, title) in PLACES.items():
        found = pd.DataFrame([row for row in rows if row["job"] == job])
        if len(found):
            by = [key, "labels"] if "labels" in found else [key]
            parts.append(f"{title}\n{_spread(found, by)}")
    parts += [_along_time(row) for row in rows if row["job"] == "tracks"]
    return "\n\n".join(parts)


def _spread(found: pd.DataFrame, by: list[str]) -> str:
    scores = found.groupby(by, sort=False)["macro_f1"].agg(["mean", "min", "max", "count"])
    return scores.round(3).to_string()


def _along_time(row: Row) -> str:
    scores = pd.DataFrame(row["scores"])
    title = f"A stitched recording, seed {row['seed']} ({row['report']})"
    return f"{title}\n{scores.round(3).to_string(index=False)}"
