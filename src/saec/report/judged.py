"""The sections on features: scores, learning curves, confusion, clusters, maps; all methods side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from saec import figures
from saec.evaluation.agreement import compare_methods, holm, purity
from saec.evaluation.base import Scores
from saec.evaluation.probes import CLASSIFIERS
from saec.files import as_file_name
from saec.report.labelling import Known
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.tables import write_table

MAIN_SCORE = "macro_f1"


@dataclass(frozen=True)
class Result:
    """What one evaluation found of one method's features of a set."""

    set: str
    method: str
    evaluation: str
    found: Scores
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
            result.place | {"score": name, "value": value, "spread": result.found.stds.get(name)}
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
        rows += [{"set": name, "evaluation": evaluation} | row for row in compare_methods(scores, share)]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return pd.DataFrame(rows)


def answer_table(results: list[Result], names: np.ndarray, known: Known) -> pd.DataFrame:
    """One row a picture of a set: file, label, group, what else is known, and what each evaluation said."""
    said = {
        f"{one.method}: {one.evaluation}": one.found.predicted
        for one in results
        if one.found.predicted is not None
    }
    return pd.DataFrame({"file": names, "label": known.labels, "group": known.groups} | known.columns | said)


def size_table(results: list[Result]) -> pd.DataFrame:
    """Each cluster's size, its commonest label, and the share of it: its purity."""
    rows = []
    for one in results:
        if one.is_probe or one.found.predicted is None:
            continue
        for cluster in np.unique(one.found.predicted[one.found.predicted != ""]):
            inside = one.found.predicted == cluster
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


UNITS = {"macro_f1": "macro-F1", "v_measure": "V-measure (= NMI)", "silhouette": "silhouette"}
Maps = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]  # layout and labels by set and method
PARTS = {"folds": "folds.csv", "classes": "classes.csv", "sweep": "sweeps.csv"}


def judged_section(results: list[Result], maps: Maps, folder: Path) -> tuple[Section, pd.DataFrame]:
    """Methods by sets: the scores that matter, and whether differences are more than chance."""
    scores = score_table(results)
    section = Section("Scores")
    write_table(folder / "scores.csv", scores)
    section.files["scores.csv"] = "every score: set, method, evaluation, score, value, spread over folds"
    told = scores[scores["score"] == "v_measure"]["set"].unique()
    alone = scores[~scores["set"].isin(told)]  # silhouettes of several spaces do not compare with each other
    for score, unit in UNITS.items():
        _draw_score(section, alone if score == "silhouette" else scores, score, unit, folder)
    for caption, chosen in (("Probes", True), ("Clusters", False)):
        table = _all_scores([one for one in results if one.is_probe == chosen])
        if len(table):
            section.tables[f"{caption}: all scores"] = table
    sizes = size_table(results)
    if len(sizes):
        write_table(folder / "clusters.csv", sizes)
        section.files["clusters.csv"] = "sizes of clusters, the commonest label of each and its share"
    for part, name in PARTS.items():
        table = part_table(results, part)
        if len(table):
            write_table(folder / name, table)
            section.files[name] = f"tidy table of {part}"
    figures.maps(folder / "maps.png", maps, "2-D maps by label")
    section.drawn(folder, "maps.png", "2-D maps: sets down, methods across; grey: no label")
    compared = comparison_table(results)
    if len(compared):
        write_table(folder / "comparisons.csv", compared)
        section.files["comparisons.csv"] = "pairs of methods on the same folds"
        caption = (
            "Pairs of methods on the same folds: difference of macro-F1, p-value of the corrected resampled "
            "t-test, and by Holm for all pairs together"
        )
        section.tables[caption] = compared
    return section, scores


def set_section(judged: JudgedSet, results: list[Result], folder: Path) -> Section:
    """One set: answers, learning curves, confusion of the best probe, classes, sweeps."""
    known, stem = judged.known, as_file_name(judged.name)
    section = Section(f"Set {judged.name}", judged.remarks)
    answers = answer_table(results, judged.names, known)
    write_table(folder / f"answers_{stem}.csv", answers)
    section.files[f"answers_{stem}.csv"] = (
        "one row a picture: label, group, and what each evaluation said of it"
    )
    probes = [one for one in results if one.is_probe]
    if probes:
        _draw_curves(section, probes, folder / f"learning_{stem}.png")
        top = max(probes, key=lambda one: one.found.scores["macro_f1"])
        _draw_confusion(section, top, known.labels, folder / f"confusion_{stem}.png")
    _draw_sweeps(section, [one for one in results if one.found.sweep], folder, stem)
    return section


def _all_scores(results: list[Result]) -> pd.DataFrame:
    """One row a result, one column a score; spreads over folds stand behind a plus-minus sign."""
    rows = []
    for one in results:
        spreads = one.found.stds
        said = {
            name: f"{value:.3f} ± {spreads[name]:.3f}" if name in spreads else f"{value:.3g}"
            for name, value in one.found.scores.items()
        }
        rows.append(one.place | said)
    return pd.DataFrame(rows).fillna("")


def _draw_score(section: Section, scores: pd.DataFrame, score: str, unit: str, folder: Path) -> None:
    chosen = scores[scores["score"] == score]
    if chosen.empty:
        return
    table = pivoted(chosen)
    section.tables[unit] = table
    values = {str(method): of["value"].tolist() for method, of in _by_method(chosen)}
    spreads = {str(method): of["spread"].tolist() for method, of in _by_method(chosen)}
    places = [f"{one}\n{other}" for one, other in _places(chosen)]
    figures.bars(folder / f"{score}.png", values, places, spreads, f"{unit} by set and evaluation", unit)
    whiskers = "; whiskers: standard deviation over folds" if chosen["spread"].notna().any() else ""
    section.drawn(folder, f"{score}.png", f"{unit}{whiskers}")


def _places(chosen: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(chosen["set"], chosen["evaluation"], strict=True)))


def _by_method(chosen: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each method's rows in the order of places; NaN where it was not judged."""
    index = pd.MultiIndex.from_tuples(_places(chosen), names=["set", "evaluation"])
    for method in dict.fromkeys(chosen["method"]):
        of = chosen[chosen["method"] == method].set_index(["set", "evaluation"])
        yield method, of.reindex(index)


def _draw_curves(section: Section, probes: list[Result], file: Path) -> None:
    curves, spreads = {}, {}
    for one in probes:
        folds = pd.DataFrame(one.found.folds)
        few = folds[folds["labels_per_class"] != "all"]
        if few.empty:
            continue
        grouped = few.groupby(few["labels_per_class"].astype(int))["macro_f1"]
        whole = folds[folds["labels_per_class"] == "all"]
        per_class = whole["n_learnt"].mean() / len(one.found.classes)
        name = f"{one.method}, {one.evaluation}"
        at = [*grouped.mean().index.tolist(), max(per_class, 1.05 * grouped.mean().index.max())]
        curves[name] = (at, [*grouped.mean().tolist(), whole["macro_f1"].mean()])
        spreads[name] = [*grouped.std(ddof=0).tolist(), whole["macro_f1"].std(ddof=0)]
    if not curves:
        return
    what = "labels per class (the last: all of them, their mean)"
    figures.lines(file, curves, "Learning curves", what, "macro-F1", spreads, log_x=True)
    section.drawn(file.parent, file.name, "Macro-F1 by labels per class; whiskers: standard deviation")


def _draw_confusion(section: Section, probe: Result, labels: np.ndarray, file: Path) -> None:
    said = probe.found.predicted != ""
    classes = np.unique(np.concatenate([labels[said], probe.found.predicted[said]]))
    counts = confusion_matrix(labels[said], probe.found.predicted[said], labels=classes)
    title = f"{probe.evaluation} on {probe.method}"
    figures.confusion(file, counts, classes.tolist(), title)
    section.drawn(file.parent, file.name, f"Confusion of {title}, each picture asked once in the first folds")
    section.tables[f"Classes, {title}"] = pd.DataFrame(probe.found.classes)


def _draw_sweeps(section: Section, results: list[Result], folder: Path, stem: str) -> None:
    """One figure an evaluation, one curve a method: agreement, or silhouette where no label is known."""
    for evaluation in dict.fromkeys(one.evaluation for one in results):
        swept = {one.method: one.found.sweep for one in results if one.evaluation == evaluation}
        score = (
            "v_measure"
            if any("v_measure" in row for rows in swept.values() for row in rows)
            else "silhouette"
        )
        curves = {
            method: (
                [row["value"] for row in rows if score in row],
                [row[score] for row in rows if score in row],
            )
            for method, rows in swept.items()
        }
        curves = {method: curve for method, curve in curves.items() if curve[0]}
        if not curves:
            continue
        parameter = next(iter(swept.values()))[0]["parameter"]
        name, title = f"sweep_{as_file_name(evaluation)}_{stem}.png", f"{evaluation} by {parameter}"
        figures.lines(folder / name, curves, title, parameter, UNITS[score], log_x=parameter != "preference")
        section.drawn(folder, name, f"{title}: settings are not chosen by these labels, only shown")
