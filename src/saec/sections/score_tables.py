"""Scores of features as tables and figures: methods side by side, and whether differences mean anything."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from saec import figures
from saec.evaluation.agreement import corrected_t_test, holm, purity
from saec.evaluation.tracks import score_classes
from saec.files import as_file_name
from saec.sections import findings
from saec.sections.base import Content
from saec.sections.sets import PIXELS, FeatureSet, Result

MAIN_SCORE = "macro_f1"
UNITS = {"macro_f1": "macro-F1", "v_measure": "V-measure (= NMI)", "silhouette": "silhouette"}
UNITS |= {"cramers_v_corrected": "corrected Cramér's V"}
PARTS = {
    "folds": ("folds.csv", "one row for each fold"),
    "classes": ("classes.csv", "one row for each class"),
    "sweep": ("sweeps.csv", "one row for each value of the main parameter"),
}


def score_table(results: list[Result]) -> pd.DataFrame:
    """Returns set, method, evaluation, score, value, spread."""
    return pd.DataFrame(
        [
            one.key | {"score": name, "value": value, "spread": one.scores.stds.get(name, np.nan)}
            for one in results
            for name, value in one.scores.scores.items()
        ]
    )


def comparison_table(results: list[Result]) -> pd.DataFrame:
    """Compares each pair of methods on the same folds: difference of macro-F1, p-value, p-value by Holm.

    Holm's correction is among the pairs of one set and evaluation, which are a `family`.
    """
    probes, rows = [one for one in results if one.is_probe], []
    for name, evaluation in dict.fromkeys((one.set, one.evaluation) for one in probes):
        of = [one for one in probes if (one.set, one.evaluation) == (name, evaluation)]
        folds = {
            one.method: [row for row in one.scores.folds if row["labels_per_class"] == "all"] for one in of
        }
        share = float(np.mean([row["n_asked"] / row["n_learnt"] for row in folds[of[0].method]]))
        scores = {method: np.array([row[MAIN_SCORE] for row in those]) for method, those in folds.items()}
        pairs = list(combinations(scores, 2)) if len(folds[of[0].method]) > 1 else []
        values = [corrected_t_test(scores[one], scores[other], share) for one, other in pairs]
        family = f"{len(pairs)} of {evaluation} on {name}"
        for (one, other), p, p_holm in zip(pairs, values, holm(values), strict=True):
            row: dict[str, Any] = {"set": name, "evaluation": evaluation, "method": one, "other": other}
            row |= {"difference": float(np.mean(scores[one] - scores[other])), "p": p}
            rows.append(row | {"p_holm": p_holm, "family": family})
    return pd.DataFrame(rows)


def cluster_table(results: list[Result]) -> pd.DataFrame:
    """Returns each cluster's size, its commonest label, and the share of it: its purity."""
    return pd.DataFrame(
        one.key | {"cluster": cluster, "size": len(labels)} | purity(labels.to_numpy())
        for one in results
        for cluster, labels in pd.Series(one.labels).groupby(one.scores.predicted)
        if cluster and not one.is_probe
    )


def show_all_sets(results: list[Result], sets: list[FeatureSet], content: Content) -> None:
    """Fills in all methods by all sets: scores, whether differences are more than chance, and maps."""
    scores = content.scores = score_table(results)
    what = "every score: set, method, evaluation, score, value, spread over folds"
    content.write("scores.csv", scores, what)
    ranked = findings.converged(scores)
    agreed = scores[scores["score"] == "v_measure"]["set"].unique()
    alone = ranked[~ranked["set"].isin(agreed)]  # silhouettes of several spaces do not compare
    of = {"silhouette": alone, "cramers_v_corrected": ranked[ranked["evaluation"].str.startswith("affinity")]}
    for score, unit in UNITS.items():
        chosen = of.get(score, ranked)
        _draw_score(content, chosen[chosen["score"] == score], score, unit)
    for caption, is_probe in (("Probes", True), ("Clusters", False)):
        rows = [one.key | _with_spread(one) for one in results if one.is_probe == is_probe]
        if rows:
            table = pd.DataFrame(rows).fillna("")
            content.tables[f"{caption}: all scores"] = table if len(sets) > 1 else table.drop(columns="set")
    what = "sizes of clusters, the commonest label of each and its share"
    content.write("clusters.csv", cluster_table(results), what)
    for part, (name, words) in PARTS.items():
        table = pd.DataFrame([one.key | row for one in results for row in getattr(one.scores, part)])
        content.write(name, table, words)
    maps = {
        (one.name, method): (layout, one.samples.labels)
        for one in sets
        if one.results
        for method, layout in one.layouts.items()
    }
    caption = "2-D maps: sets down, methods across; grey: no label"
    content.draw("maps.png", caption, figures.maps, maps, "2-D maps by label")
    caption = (
        "Pairs of methods on the same folds: difference of macro-F1, p-value of the corrected resampled "
        "t-test, and by Holm for the pairs of one set and evaluation (family) together"
    )
    table = comparison_table(results)
    content.write("comparisons.csv", table, "pairs of methods on the same folds", caption)
    content.findings += findings.best_methods(scores, table)
    content.findings += findings.best_clusters(scores, sets[0].samples_are)
    content.doubts += findings.doubts_of_scores(scores, PIXELS)


def show_set(one: FeatureSet, content: Content) -> None:
    """Fills in one set: what was predicted, learning curves, confusion of the best probe, classes, sweeps."""
    stem, samples = as_file_name(one.name), one.samples
    columns = {"file": one.names, "label": samples.labels, "group": samples.groups}
    columns |= {name: samples.table[name].to_numpy() for name in samples.others}
    columns |= {f"{of.method}: {of.evaluation}": of.scores.predicted for of in one.results}
    what = "one row a sample: label, group, and its class or cluster by each evaluation"
    content.write(f"answers_{stem}.csv", pd.DataFrame(columns), what)
    probes = [result for result in one.results if result.is_probe]
    if probes:
        _draw_curves(content, probes, f"learning_{stem}.png")
        top = max(probes, key=lambda result: result.scores.scores[MAIN_SCORE])
        _draw_confusion(content, top, f"confusion_{stem}.png")
    _draw_sweeps(content, one.results, stem)


def _with_spread(one: Result) -> dict[str, str]:
    """Returns scores as words; standard deviations stand behind a plus-minus sign."""
    stds = one.scores.stds
    return {
        name: f"{value:.3f} ± {stds[name]:.3f}" if name in stds else f"{value:.3g}"
        for name, value in one.scores.scores.items()
    }


def _draw_score(content: Content, chosen: pd.DataFrame, score: str, unit: str) -> None:
    """Draws one score as a table and as bars: methods down, sets and evaluations across; of several of both
    each evaluation has its own.
    """
    if chosen.empty:
        return
    several, evaluations = chosen["set"].nunique() > 1, chosen["evaluation"].unique()
    if several and len(evaluations) > 1:
        for one in evaluations:
            name = f"{score}_{as_file_name(one)}"
            _draw_score(content, chosen[chosen["evaluation"] == one], name, f"{unit} by {one}")
        return
    chosen = chosen.assign(bars=(chosen["set"] + ", " if several else "") + chosen["evaluation"])
    methods, names = chosen["method"].unique(), chosen["bars"].unique()
    values, spreads = (
        chosen.pivot(index="method", columns="bars", values=key).loc[methods, names]
        for key in ("value", "spread")
    )
    content.tables[unit] = values.reset_index()
    title = f"{unit} by {'set and ' if several else ''}evaluation"
    note = "; whiskers: standard deviation over folds"
    caption = unit + (note if chosen["spread"].notna().any() else "")
    content.draw(f"{score}.png", caption, figures.bars, values, spreads, title, unit)


def _draw_curves(content: Content, probes: list[Result], name: str) -> None:
    curves, stds = {}, {}
    for one in probes:
        scores = one.scores.scores
        few = {int(key.split("_")[2]): key for key in scores if key.startswith(f"{MAIN_SCORE}_")}
        if few:
            whole = [fold["n_learnt"] for fold in one.scores.folds if fold["labels_per_class"] == "all"]
            x = [*sorted(few), max(round(np.mean(whole) / len(one.scores.classes), 1), 1.05 * max(few))]
            keys, curve = [*(few[n] for n in sorted(few)), MAIN_SCORE], f"{one.method}, {one.evaluation}"
            curves[curve] = x, [scores[key] for key in keys]
            stds[curve] = [one.scores.stds.get(key, 0.0) for key in keys]
    if curves:
        caption = "Macro-F1 by labels per class, up to what classes have; whiskers: standard deviation"
        words = ("Learning curves", "labels per class (the last: all of them, their mean)", "macro-F1")
        content.draw(name, caption, figures.lines, curves, *words, stds, log_x=True)


def _draw_confusion(content: Content, probe: Result, name: str) -> None:
    scored = probe.scores.predicted != ""
    scores = score_classes(probe.labels[scored], probe.scores.predicted[scored])
    title = f"{probe.evaluation} on {probe.method}"
    caption = f"Confusion of {title}, each sample predicted once, in the first folds"
    content.draw(name, caption, figures.confusion, scores.confusion, scores.names.tolist(), title)
    content.tables[f"Classes, {title}"] = pd.DataFrame(scores.classes)


def _draw_sweeps(content: Content, results: list[Result], stem: str) -> None:
    """Draws a figure an evaluation, a curve a method: agreement, or silhouette where there is no label."""
    for evaluation in dict.fromkeys(one.evaluation for one in results):
        of = [one for one in results if one.evaluation == evaluation]
        swept = pd.DataFrame([{"method": one.method} | row for one in of for row in one.scores.sweep])
        score = "v_measure" if "v_measure" in swept else "silhouette"
        if score not in swept:
            continue
        by_method = swept.dropna(subset=score).groupby("method", sort=False)
        curves = {method: (part["value"].tolist(), part[score].tolist()) for method, part in by_method}
        parameter = swept["parameter"][0]
        name, title = f"sweep_{as_file_name(evaluation)}_{stem}.png", f"{evaluation} by {parameter}"
        only_shown = ": settings are not chosen by these labels, only shown"
        caption = title + (only_shown if score == "v_measure" else "")
        look, words = {"log_x": parameter != "preference"}, (title, parameter, UNITS[score])
        content.draw(name, caption, figures.lines, curves, *words, **look)
