"""What was found, as tidy tables: one row an observation, one column a variable."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from saec.evaluation.agreement import purity
from saec.evaluation.base import Found
from saec.evaluation.probes import CLASSIFIERS
from saec.evaluation.significance import compared, holm
from saec.report.known import Known

MAIN_SCORE = "macro_f1"


@dataclass(frozen=True)
class Result:
    """What one evaluation found of one method's features of a set."""

    set: str
    method: str
    evaluation: str
    found: Found
    labels: np.ndarray  # of the set's pictures, "" where unknown

    @property
    def is_probe(self) -> bool:
        return self.evaluation.split()[0] in CLASSIFIERS

    @property
    def place(self) -> dict[str, str]:
        return {"set": self.set, "method": self.method, "evaluation": self.evaluation}


def score_table(results: list[Result]) -> pd.DataFrame:
    """set, method, evaluation, score, value, spread."""
    return pd.DataFrame(
        [
            result.place | {"score": name, "value": value, "spread": result.found.spreads.get(name)}
            for result in results
            for name, value in result.found.scores.items()
        ]
    )


def part_table(results: list[Result], part: str) -> pd.DataFrame:
    """Of `folds`, `classes` or `sweep`: their rows, with the place that each is of."""
    return pd.DataFrame([result.place | row for result in results for row in getattr(result.found, part)])


def comparison_table(results: list[Result]) -> pd.DataFrame:
    """Every pair of methods on the same folds: difference of macro-F1, p-value, and p-value by Holm."""
    rows = []
    probes = {(one.set, one.evaluation): [] for one in results if one.is_probe}
    for one in results:
        if one.is_probe:
            probes[one.set, one.evaluation].append(one)
    for (name, evaluation), of_methods in probes.items():
        folds = {
            one.method: [f for f in one.found.folds if f["labels_per_class"] == "all"] for one in of_methods
        }
        scores = {method: np.array([f[MAIN_SCORE] for f in rows]) for method, rows in folds.items()}
        if len(scores) < 2 or len(next(iter(scores.values()))) < 2:
            continue
        first = next(iter(folds.values()))
        share = float(np.mean([f["n_asked"] / f["n_learnt"] for f in first]))
        rows += [{"set": name, "evaluation": evaluation} | row for row in compared(scores, share)]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return pd.DataFrame(rows)


def answer_table(results: list[Result], names: np.ndarray, known: Known) -> pd.DataFrame:
    """One row a picture of a set: file, label, group, what else is known, and what each evaluation said."""
    said = {
        f"{one.method}: {one.evaluation}": one.found.answers
        for one in results
        if one.found.answers is not None
    }
    return pd.DataFrame({"file": names, "label": known.labels, "group": known.groups} | known.columns | said)


def size_table(results: list[Result]) -> pd.DataFrame:
    """Each cluster's size, its commonest label, and the share of it: its purity."""
    rows = []
    for one in results:
        if one.is_probe or one.found.answers is None:
            continue
        for cluster in np.unique(one.found.answers[one.found.answers != ""]):
            inside = one.found.answers == cluster
            top = purity(one.labels[inside])
            said = {"label": top[0], "purity": top[1]} if top else {}
            rows.append(one.place | {"cluster": str(cluster), "size": int(inside.sum())} | said)
    return pd.DataFrame(rows)


def pivoted(scores: pd.DataFrame) -> pd.DataFrame:
    """One score: methods down, sets and evaluations across."""
    places = scores["set"] + ", " + scores["evaluation"]
    table = scores.assign(place=places).pivot(index="method", columns="place", values="value")
    order = list(dict.fromkeys(places))
    return table.loc[list(dict.fromkeys(scores["method"])), order].reset_index().rename_axis(None, axis=1)
