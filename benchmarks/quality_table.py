"""Results of the quality benchmark: a table a set, a line a contender, mean and spread over the seeds."""

from collections.abc import Sequence
from statistics import mean, pstdev
from typing import Any

AGREEMENT = {
    "v_measure": "V",
    "adjusted_rand": "ARI",
    "homogeneity": "homogeneity",
    "completeness": "completeness",
}
SCORES = {
    **{
        f"{clusters} {score}": f"{short} {who}"
        for score, short in AGREEMENT.items()
        for clusters, who in (("kmeans", "k-means"), ("hdbscan", "HDBSCAN"))
    },
    "linear 5": "linear 5",
    "linear 20": "linear 20",
    "linear all": "linear all",
    "knn 5": "k-NN 5",
    "knn 20": "k-NN 20",
    "knn all": "k-NN all",
    "unexplained": "unexplained",
    "rgb mse": "RGB MSE",
    "epochs": "epochs",
    "extracted pictures/s": "pictures/s",
}
Row = dict[str, Any]


def tables(rows: Sequence[Row]) -> str:
    """Markdown, one table a set."""
    names = list(dict.fromkeys(row["set"] for row in rows))
    return "\n\n".join(_table(name, [row for row in rows if row["set"] == name]) for name in names)


def _table(name: str, rows: Sequence[Row]) -> str:
    contenders: dict[str, list[Row]] = {}
    for row in rows:
        words = (row["contender"], row["state"], row["pooling"])
        contenders.setdefault(" ".join(filter(None, words)), []).append(row)
    lines = [[name, *SCORES.values()], ["---"] * (len(SCORES) + 1)]
    lines += [[who, *(_with_range(own, score) for score in SCORES)] for who, own in contenders.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_range(rows: Sequence[Row], score: str) -> str:
    values = [row[score] for row in rows if score in row]
    if not values:
        return ""
    digits = 0 if mean(values) >= 10 else 3
    return f"{mean(values):.{digits}f} ± {pstdev(values):.{digits}f}"
