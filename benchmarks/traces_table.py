"""Results of the traces as tables: means over seeds, the least and the largest beside them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]
ORDER = ["recovery", "worst", "f1", "mse", "times", "sparsity", "macro_f1"]
TITLES = {
    "Gestures by scikit-learn, the best settings for each seed, on frames and on windows": ("baselines",),
    "Gestures by codes, along the path": ("gestures", "unpenalised"),
    "Trajectories of digits, along the path": ("digits",),
}
CHOSEN_BY = "valid"  # the score on validation files that settings are chosen by


def tables(rows: Sequence[Row]) -> str:
    parts = []
    for title, jobs in TITLES.items():
        result = pd.DataFrame([row for row in rows if row["job"] in jobs])
        if len(result):
            result, by = _prepared(jobs, result)
            parts.append(f"{title}\n{_with_range(result, by)}")
    return "\n\n".join(parts)


def _prepared(jobs: tuple[str, ...], result: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Returns the rows to show, and what groups them."""
    if "baselines" in jobs:
        result = result.assign(on=["frames" if n == 1 else "windows" for n in result["window"]])
        best = result.groupby(["contender", "on", "seed"], sort=False)[CHOSEN_BY].idxmax()
        return result.loc[best], ["contender", "on"]
    plain = result[result["contender"] == "unpenalised"].set_index("seed")["mse"]
    result = result.assign(times=result["mse"] / result["seed"].map(plain))
    return result.assign(alpha=result["alpha"].round(2).fillna("")), ["contender", "alpha"]


def _with_range(result: pd.DataFrame, by: list[str]) -> str:
    shown = [name for name in ORDER if name in result]
    groups = result.groupby(by, sort=False)[shown]
    least, mean, most = (getattr(groups, how)() for how in ("min", "mean", "max"))
    cells = {
        name: [
            f"{middle:.3g} ({low:.3g} to {high:.3g})" if pd.notna(middle) else ""
            for middle, low, high in zip(mean[name], least[name], most[name], strict=True)
        ]
        for name in shown
    }
    return pd.DataFrame(cells, index=mean.index).to_string()
