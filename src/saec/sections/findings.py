"""Says in plain sentences what tables of scores and of samples show, and what is suspicious in them."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from saec.evaluation.folds import TEST, TRAIN, classes_of_few_groups
from saec.faults import counted
from saec.samples import Samples, written_alike

CHANCE = 0.05  # p-values from which a difference may well be chance
MUCH_NOISE = 0.5  # share of samples in no cluster
FEW = 5  # groups (recordings) from which a class is not rare
N_SETS = 8  # that are named


def best_methods(scores: pd.DataFrame, comparisons: pd.DataFrame) -> list[str]:
    """Returns a sentence that says of each set which method is best by macro-F1, and by how much; before it,
    of several sets, one on how often each method is best.

    `scores` has set, method, evaluation, score, value and spread; `comparisons` has set, evaluation, method,
    other and p_holm, which says whether a difference is more than chance.
    """
    f1 = scores[scores["score"] == "macro_f1"]
    return _most_often_best(f1) + _by_set(f1, lambda of: _best_method(of, scores, comparisons))


def _most_often_best(f1: pd.DataFrame) -> list[str]:
    """Returns of each method that several sets have on how many it is best, and its mean of best macro-F1."""
    table = f1.pivot_table(index="set", columns="method", values="value", aggfunc="max", sort=False)
    n_methods = table.shape[1]
    table = table.dropna(axis="columns") if len(table) > 1 else table.iloc[:0]
    if table.shape[1] < 2 or table.empty:
        return []
    best = table.eq(table.max(axis="columns"), axis="index").sum()
    order = sorted(table.columns, key=lambda one: (-best[one], -table[one].mean()))
    words = [f"{one} on {best[one]} (mean macro-F1 {table[one].mean():.3f})" for one in order]
    among = "" if len(order) == n_methods else f" of the {len(order)} methods that all of them have"
    return [f"Of {len(table)} sets, the best{among} is {', '.join(words)}."]


def _best_method(f1: pd.DataFrame, scores: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    best = f1.loc[f1["value"].idxmax()]
    value = f"{best['value']:.3f}" + ("" if pd.isna(best["spread"]) else f" ± {best['spread']:.3f}")
    value += f" by {best['evaluation']} (1 is perfect)"
    others = f1[f1["method"] != best["method"]]
    words = f"Macro-F1 of {best['method']} is {value}"
    if len(others):
        same = others[others["evaluation"] == best["evaluation"]]
        second = (others if same.empty else same).sort_values("value", kind="stable").iloc[-1]
        words = (
            f"The best of {f1['method'].nunique()} methods is {best['method']}: macro-F1 {value}, "
            f"{best['value'] - second['value']:.3f} above {second['method']}"
            f"{_chance(best, second, comparisons)}"
        )
    keys = ["set", "method", "evaluation"]
    own = scores[(scores[keys] == best[keys]).all(axis=1)].set_index("score")["value"]
    few = next((name for name in own.index if name.startswith("macro_f1_")), None)
    return words + (f"; with {few.removeprefix('macro_f1_')} labels a class {own[few]:.3f}" if few else "")


def _chance(best: pd.Series, second: pd.Series, comparisons: pd.DataFrame) -> str:
    """Returns in words whether the paired test takes the difference of two methods for more than chance."""
    if comparisons.empty or best["evaluation"] != second["evaluation"]:
        return " (not tested)"
    pair = {best["method"], second["method"]}
    at = (comparisons["set"] == best["set"]) & (comparisons["evaluation"] == best["evaluation"])
    at &= comparisons["method"].isin(pair) & comparisons["other"].isin(pair)
    p = comparisons["p_holm"][at]
    if p.isna().all():
        return " (not tested)"
    p = float(p.iloc[0])
    words = "more than chance" if p < CHANCE else "which may well be chance"
    return f", {words} (p = {p:.2g}, paired test, corrected)"


def best_clusters(scores: pd.DataFrame, what: str) -> list[str]:
    """Returns a sentence that says of each set which clusters agree best with labels, or are most stable."""
    clustered = converged(scores)
    clustered = clustered[clustered["score"].isin(CLUSTERED)]
    counted = clustered.loc[clustered["score"] == "n_clusters", "set"]  # other evaluations have no clusters
    return _by_set(clustered[clustered["set"].isin(counted)], lambda of: _best_clusters(of, what))


def converged(scores: pd.DataFrame) -> pd.DataFrame:
    """Returns scores without those of clusters that did not converge: they are shown, but not ranked."""
    keys = ["set", "method", "evaluation"]
    failed = scores[(scores["score"] == "converged") & (scores["value"] == 0)]
    return scores[~pd.MultiIndex.from_frame(scores[keys]).isin(pd.MultiIndex.from_frame(failed[keys]))]


def best_clustering(scores: pd.DataFrame) -> tuple[pd.Series | None, str | None]:
    """Returns scores of the clusters that agree best with labels, or else are most stable, and which it is.

    None where no evaluation has more than one cluster.
    """
    table = scores.pivot(index=["method", "evaluation"], columns="score", values="value")
    table = table.reindex(columns=list(CLUSTERED))
    table = table[table["n_clusters"] > 1]
    by = next((name for name in ("v_measure", "stability") if table[name].notna().any()), None)
    best = table[by].idxmax() if by else next(iter(table.index), None)
    return (None if best is None else table.loc[best]), by


CLUSTERED = ("n_clusters", "v_measure", "stability", "silhouette", "noise")


def _best_clusters(scores: pd.DataFrame, what: str) -> str:
    one, by = best_clustering(scores)
    if one is None:
        return "No evaluation found more than one cluster"
    method, evaluation = one.name
    words = f"{one['n_clusters']:.0f} clusters by {evaluation} of {method}"
    shown = {name: noun for name, noun in NOUNS.items() if pd.notna(one[name])}
    parts = [f"{noun} {one[name]:.2f}{' of 1' if name == by else ''}" for name, noun in shown.items()]
    if one["noise"] > 0:
        parts.append(f"{one['noise']:.0%} of the {what} in none")
    verbs = {"v_measure": "agree best with the labels", "stability": "are the most stable"}
    verb = verbs.get(by or "", "were found")
    return f"{words} {verb} ({', '.join(parts)})" if parts else f"{words} {verb}"


NOUNS = {"v_measure": "V-measure", "stability": "stability", "silhouette": "silhouette"}


def doubts_of_scores(scores: pd.DataFrame, pixels: str) -> list[str]:
    """Returns what is suspicious of scores; `pixels` is what small pictures are called as a method."""
    f1 = scores[scores["score"] == "macro_f1"].groupby(["set", "method"])["value"].max()
    doubts, names = [], scores["set"].unique()
    of_set = {name: f"{name}: " if len(names) > 1 else "" for name in names}
    for name in f1.index.unique("set"):
        of = f1[name]
        if pixels in of and len(of) > 1 and of[pixels] >= of.drop(pixels).max():
            words = "no method is better than small pictures, for which nothing was learnt"
            doubts.append(of_set[name] + words)
    failed = scores[(scores["score"] == "converged") & (scores["value"] == 0)]
    noisy = scores[(scores["score"] == "noise") & (scores["value"] > MUCH_NOISE)]
    poor = [(one, "did not converge") for one in failed.itertuples()]
    noisy = noisy[noisy["method"] != pixels].itertuples()
    poor += [(one, f"leaves {one.value:.0%} in no cluster") for one in noisy]
    return doubts + [f"{of_set[one.set]}{one.evaluation} of {one.method} {what}" for one, what in poor]


def _by_set(scores: pd.DataFrame, say: Callable[[pd.DataFrame], str]) -> list[str]:
    """Returns one sentence with a clause a set, which is named where there are several."""
    names = list(scores["set"].unique()) if len(scores) else []
    clauses = [say(scores[scores["set"] == name]) for name in names[:N_SETS]]
    if len(names) > 1:
        clauses = [f"{name}: {clause}" for name, clause in zip(names, clauses, strict=False)]
    if len(names) > N_SETS:
        clauses.append(f"{len(names) - N_SETS:,} sets more are below")
    return [". ".join(clauses) + "."] if clauses else []


class Doubt(str):
    """Is a remark on what is suspicious; what stands before its first colon says it in few words."""


def doubts_in(remarks: Iterable[str]) -> list[str]:
    """Returns in few words what is suspicious in remarks."""
    return [remark.partition(":")[0] for remark in remarks if isinstance(remark, Doubt)]


def remarks_on(samples: Samples, what: str) -> list[str]:
    """Returns remarks on labels, groups that nobody names, and the split."""
    has_label, groups, n = samples.labels != "", samples.groups, len(samples)
    if not samples.classes:
        return [Doubt(f"no {what} have labels")]
    remarks = counted(samples.names[~has_label].tolist(), f"of {n:,} {what} are without a label", 5)
    n_groups = len(np.unique(groups))
    if n_groups == n and len(samples.classes) > 1:
        remarks.append(
            "no group (recording) is known, so probes may be too good: each one counts as one, and scores "
            "say nothing of other places, days or individuals; name groups in the table of labels, or by "
            "`labels: {pattern: (?P<group>...)}` where names of files tell them"
        )
    few = classes_of_few_groups(samples.labels[has_label], groups[has_label], FEW)
    if FEW > n_groups < n:
        remarks.append(f"all {what} come from {n_groups} recordings (groups) alone")
    else:
        noun, lines = what if n_groups == n else "recordings", [f"{label}: {of}" for label, of in few.items()]
        remarks += counted(lines, f"classes are rare, in fewer than {FEW} {noun}", 3)
    train, test = (samples.subset(has_label & (samples.splits == side)) for side in (TRAIN, TEST))
    shared = np.intersect1d(train.groups, test.groups).tolist()
    unseen = np.setdiff1d(test.labels, train.labels).tolist() if len(train) else []
    words = "groups (recordings) are on both sides of the split, so probes are too good"
    remarks += counted(shared, words, 5) + counted(unseen, "classes are tested and never learnt")
    neither = samples.names[has_label & ~np.isin(samples.splits, (TRAIN, TEST))].tolist()
    words = f"{what} with a label are neither {TRAIN!r} nor {TEST!r} and are left out"
    neither = counted(neither, words, 5) if (samples.splits != "").any() else []
    return [*map(Doubt, remarks), *neither, *written_alike(samples.classes)]
