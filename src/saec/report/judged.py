"""The sections on features: scores, learning curves, confusion, clusters, maps; all methods side by side."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from saec import charts
from saec.files import as_file_name
from saec.report.results import (
    Result,
    answer_table,
    comparison_table,
    part_table,
    pivoted,
    score_table,
)
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.tables import write_table

UNITS = {"macro_f1": "macro-F1", "v_measure": "V-measure (= NMI)", "silhouette": "silhouette"}
Maps = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]  # layout and labels by set and method
PARTS = {"folds": "folds.csv", "classes": "classes.csv", "sweep": "sweeps.csv"}


def judged_section(results: list[Result], maps: Maps, folder: Path) -> tuple[Section, pd.DataFrame]:
    """Methods by sets: the scores that matter, and whether differences are more than chance."""
    scores = score_table(results)
    section = Section("Scores")
    write_table(folder / "scores.csv", scores)
    section.files["scores.csv"] = "every score: set, method, evaluation, score, value, spread over folds"
    for score, unit in UNITS.items():
        _draw_score(section, scores, score, unit, folder)
    for part, name in PARTS.items():
        table = part_table(results, part)
        if len(table):
            write_table(folder / name, table)
            section.files[name] = f"tidy table of {part}"
    charts.maps(folder / "maps.png", maps, "2-D maps by label")
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
    answers = answer_table(results, judged.names, known.labels, known.groups)
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


def _draw_score(section: Section, scores: pd.DataFrame, score: str, unit: str, folder: Path) -> None:
    chosen = scores[scores["score"] == score]
    if chosen.empty:
        return
    table = pivoted(chosen)
    section.tables[unit] = table
    values = {str(method): of["value"].tolist() for method, of in _by_method(chosen)}
    spreads = {str(method): of["spread"].tolist() for method, of in _by_method(chosen)}
    places = [f"{one}\n{other}" for one, other in _places(chosen)]
    charts.bars(folder / f"{score}.png", values, places, spreads, f"{unit} by set and evaluation", unit)
    whiskers = "; whiskers: standard deviation over folds" if chosen["spread"].notna().any() else ""
    section.drawn(folder, f"{score}.png", f"{unit}{whiskers}")


def _places(chosen: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(chosen["set"], chosen["evaluation"], strict=True)))


def _by_method(chosen: pd.DataFrame):
    """Each method's rows in the order of places; NaN where it was not judged."""
    index = pd.MultiIndex.from_tuples(_places(chosen), names=["set", "evaluation"])
    for method in dict.fromkeys(chosen["method"]):
        of = chosen[chosen["method"] == method].set_index(["set", "evaluation"])
        yield method, of.reindex(index)


def _draw_curves(section: Section, probes: list[Result], file: Path) -> None:
    curves, spreads = {}, {}
    for one in probes:
        folds = pd.DataFrame(one.found.folds)
        sizes = folds[folds["labels_per_class"] != "all"]
        if sizes.empty:
            continue
        grouped = sizes.groupby(sizes["labels_per_class"].astype(int))["macro_f1"]
        name = f"{one.method}, {one.evaluation}"
        curves[name] = (grouped.mean().index.tolist(), grouped.mean().tolist())
        spreads[name] = grouped.std(ddof=0).tolist()
    if not curves:
        return
    charts.lines(file, curves, "Learning curves", "labels per class", "macro-F1", spreads)
    section.drawn(file.parent, file.name, "Macro-F1 by labels per class; whiskers: standard deviation")


def _draw_confusion(section: Section, probe: Result, labels: np.ndarray, file: Path) -> None:
    said = probe.found.answers != ""
    classes = np.unique(np.concatenate([labels[said], probe.found.answers[said]]))
    counts = confusion_matrix(labels[said], probe.found.answers[said], labels=classes)
    title = f"{probe.evaluation} on {probe.method}"
    charts.confusion(file, counts, classes.tolist(), title)
    section.drawn(file.parent, file.name, f"Confusion of {title}, each picture asked once in the first folds")
    section.tables[f"Classes, {title}"] = pd.DataFrame(probe.found.classes)


def _draw_sweeps(section: Section, results: list[Result], folder: Path, stem: str) -> None:
    """One figure an evaluation, one curve a method: agreement, or silhouette where no label is known."""
    for evaluation in dict.fromkeys(one.evaluation for one in results):
        curves = {}
        for one in results:
            rows = one.found.sweep
            score = "v_measure" if "v_measure" in rows[0] else "silhouette"
            there = [row for row in rows if score in row]
            if one.evaluation == evaluation and there:
                curves[one.method] = ([row["value"] for row in there], [row[score] for row in there])
                parameter = rows[0]["parameter"]
        if curves:
            name = f"sweep_{as_file_name(evaluation)}_{stem}.png"
            title = f"{evaluation} by {parameter}"
            charts.lines(
                folder / name, curves, title, parameter, UNITS[score], log_x=parameter != "preference"
            )
            section.drawn(folder, name, f"{title}: settings are not chosen by these labels, only shown")
