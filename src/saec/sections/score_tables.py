"""Scores of features as tables and figures: methods side by side, and whether differences mean anything."""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from saec import figures
from saec.evaluation.agreement import compare_methods, holm, purity
from saec.files import as_file_name
from saec.sections.base import Content
from saec.sections.sets import FeatureSet, Result

MAIN_SCORE = "macro_f1"
UNITS = {"macro_f1": "macro-F1", "v_measure": "V-measure (= NMI)", "silhouette": "silhouette"}
PARTS = {"folds": "folds.csv", "classes": "classes.csv", "sweep": "sweeps.csv"}


def score_table(results: list[Result]) -> pd.DataFrame:
    """Returns set, method, evaluation, score, value, spread."""
    return pd.DataFrame(
        [
            one.key | {"score": name, "value": value, "spread": one.scores.stds.get(name)}
            for one in results
            for name, value in one.scores.scores.items()
        ]
    )


def comparison_table(results: list[Result]) -> pd.DataFrame:
    """Compares each pair of methods on the same folds: difference of macro-F1, p-value, p-value by Holm."""
    rows = []
    probes = [one for one in results if one.is_probe]
    for name, evaluation in dict.fromkeys((one.set, one.evaluation) for one in probes):
        folds = {
            one.method: [fold for fold in one.scores.folds if fold["labels_per_class"] == "all"]
            for one in probes
            if (one.set, one.evaluation) == (name, evaluation)
        }
        first = next(iter(folds.values()))
        if len(folds) < 2 or len(first) < 2:
            continue
        scores = {method: np.array([fold[MAIN_SCORE] for fold in of]) for method, of in folds.items()}
        share = float(np.mean([fold["n_asked"] / fold["n_learnt"] for fold in first]))
        rows += [{"set": name, "evaluation": evaluation} | row for row in compare_methods(scores, share)]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return pd.DataFrame(rows)


def cluster_table(results: list[Result]) -> pd.DataFrame:
    """Returns each cluster's size, its commonest label, and the share of it: its purity."""
    rows = []
    for one in results:
        clusters = one.scores.predicted
        for cluster in () if one.is_probe or clusters is None else np.unique(clusters[clusters != ""]):
            inside = clusters == cluster
            top = purity(one.labels[inside])
            label = {"label": top[0], "purity": top[1]} if top else {}
            rows.append(one.key | {"cluster": str(cluster), "size": int(inside.sum())} | label)
    return pd.DataFrame(rows)


def predicted_table(one: FeatureSet) -> pd.DataFrame:
    """Returns a row a sample: file, label, group, further columns, and classes or clusters by evaluation."""
    samples = one.samples
    columns = {"file": one.names, "label": samples.labels, "group": samples.groups}
    columns |= {name: samples.table[name].to_numpy() for name in samples.others}
    columns |= {
        f"{result.method}: {result.evaluation}": result.scores.predicted
        for result in one.results
        if result.scores.predicted is not None
    }
    return pd.DataFrame(columns)


def show_all_sets(results: list[Result], sets: list[FeatureSet], content: Content) -> pd.DataFrame:
    """Fills in all methods by all sets: scores, whether differences are more than chance, and maps."""
    scores = score_table(results)
    content.write(
        "scores.csv", scores, "every score: set, method, evaluation, score, value, spread over folds"
    )
    agreed = scores[scores["score"] == "v_measure"]["set"].unique()
    alone = scores[~scores["set"].isin(agreed)]  # silhouettes of several spaces do not compare
    for score, unit in UNITS.items():
        _draw_score(content, alone if score == "silhouette" else scores, score, unit)
    for caption, is_probe in (("Probes", True), ("Clusters", False)):
        table = _all_scores([one for one in results if one.is_probe == is_probe])
        if len(table):
            content.tables[f"{caption}: all scores"] = table
    sizes = cluster_table(results)
    if len(sizes):
        content.write("clusters.csv", sizes, "sizes of clusters, the commonest label of each and its share")
    for part, name in PARTS.items():
        table = pd.DataFrame([one.key | row for one in results for row in getattr(one.scores, part)])
        if len(table):
            content.write(name, table, f"tidy table of {part}")
    maps = {
        (one.name, method): (layout, one.samples.labels)
        for one in sets
        for method, layout in one.layouts.items()
    }
    figures.maps(content.folder / "maps.png", maps, "2-D maps by label")
    content.add_figure("maps.png", "2-D maps: sets down, methods across; grey: no label")
    compared = comparison_table(results)
    if len(compared):
        content.write("comparisons.csv", compared, "pairs of methods on the same folds")
        caption = (
            "Pairs of methods on the same folds: difference of macro-F1, p-value of the corrected resampled "
            "t-test, and by Holm for all pairs together"
        )
        content.tables[caption] = compared
    return scores


def show_set(one: FeatureSet, content: Content) -> None:
    """Fills in one set: what was predicted, learning curves, confusion of the best probe, classes, sweeps."""
    stem = as_file_name(one.name)
    what = "one row a picture: label, group, and its class or cluster by each evaluation"
    content.write(f"answers_{stem}.csv", predicted_table(one), what)
    probes = [result for result in one.results if result.is_probe]
    if probes:
        _draw_curves(content, probes, f"learning_{stem}.png")
        top = max(probes, key=lambda result: result.scores.scores[MAIN_SCORE])
        _draw_confusion(content, top, f"confusion_{stem}.png")
    _draw_sweeps(content, [result for result in one.results if result.scores.sweep], stem)


def _all_scores(results: list[Result]) -> pd.DataFrame:
    """Returns one row a result, one column a score; standard deviations stand behind a plus-minus sign."""
    rows = []
    for one in results:
        stds = one.scores.stds
        rows.append(
            one.key
            | {
                name: f"{value:.3f} ± {stds[name]:.3f}" if name in stds else f"{value:.3g}"
                for name, value in one.scores.scores.items()
            }
        )
    return pd.DataFrame(rows).fillna("")


def _draw_score(content: Content, scores: pd.DataFrame, score: str, unit: str) -> None:
    """One score: methods down, sets and evaluations across, as a table and as bars."""
    chosen = scores[scores["score"] == score]
    if chosen.empty:
        return
    columns = list(dict.fromkeys(zip(chosen["set"], chosen["evaluation"], strict=True)))
    methods = list(dict.fromkeys(chosen["method"]))
    by_method = chosen.set_index(["method", "set", "evaluation"])
    values, spreads = (
        {method: by_method.loc[method][key].reindex(columns) for method in methods}
        for key in ("value", "spread")
    )
    heads = [f"{name}, {evaluation}" for name, evaluation in columns]
    rows = [[method, *values[method]] for method in methods]
    content.tables[unit] = pd.DataFrame(rows, columns=["method", *heads])
    labels = [f"{name}\n{evaluation}" for name, evaluation in columns]
    heights, whiskers = ({one: of.tolist() for one, of in bars.items()} for bars in (values, spreads))
    title = f"{unit} by set and evaluation"
    figures.bars(content.folder / f"{score}.png", heights, labels, whiskers, title, unit)
    note = "; whiskers: standard deviation over folds" if chosen["spread"].notna().any() else ""
    content.add_figure(f"{score}.png", f"{unit}{note}")


def _draw_curves(content: Content, probes: list[Result], name: str) -> None:
    curves, stds = {}, {}
    for one in probes:
        folds = pd.DataFrame(one.scores.folds)
        few, whole = (folds[(folds["labels_per_class"] == "all") == is_all] for is_all in (False, True))
        if few.empty:
            continue
        grouped = few.groupby(few["labels_per_class"].astype(int))["macro_f1"]
        means = grouped.mean()
        per_class = whole["n_learnt"].mean() / len(one.scores.classes)
        curve = f"{one.method}, {one.evaluation}"
        x = [*means.index.tolist(), max(per_class, 1.05 * means.index.max())]
        curves[curve] = (x, [*means.tolist(), whole["macro_f1"].mean()])
        stds[curve] = [*grouped.std(ddof=0).tolist(), whole["macro_f1"].std(ddof=0)]
    if curves:
        x_label = "labels per class (the last: all of them, their mean)"
        figures.lines(content.folder / name, curves, "Learning curves", x_label, "macro-F1", stds, log_x=True)
        content.add_figure(name, "Macro-F1 by labels per class; whiskers: standard deviation")


def _draw_confusion(content: Content, probe: Result, name: str) -> None:
    scored = probe.scores.predicted != ""
    labels, predicted = probe.labels[scored], probe.scores.predicted[scored]
    classes = np.unique(np.concatenate([labels, predicted]))
    title = f"{probe.evaluation} on {probe.method}"
    counts = confusion_matrix(labels, predicted, labels=classes)
    figures.confusion(content.folder / name, counts, classes.tolist(), title)
    content.add_figure(name, f"Confusion of {title}, each picture predicted once, in the first folds")
    content.tables[f"Classes, {title}"] = pd.DataFrame(probe.scores.classes)


def _draw_sweeps(content: Content, results: list[Result], stem: str) -> None:
    """Draws a figure an evaluation, a curve a method: agreement, or silhouette where there is no label."""
    for evaluation in dict.fromkeys(one.evaluation for one in results):
        swept = {one.method: one.scores.sweep for one in results if one.evaluation == evaluation}
        score = (
            "v_measure" if any("v_measure" in row for of in swept.values() for row in of) else "silhouette"
        )
        curves = {
            method: tuple([row[key] for row in of if score in row] for key in ("value", score))
            for method, of in swept.items()
            if any(score in row for row in of)
        }
        if not curves:
            continue
        parameter = next(iter(swept.values()))[0]["parameter"]
        name, title = f"sweep_{as_file_name(evaluation)}_{stem}.png", f"{evaluation} by {parameter}"
        log_x = parameter != "preference"
        figures.lines(content.folder / name, curves, title, parameter, UNITS[score], log_x=log_x)
        content.add_figure(name, f"{title}: settings are not chosen by these labels, only shown")
