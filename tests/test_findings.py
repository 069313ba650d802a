"""The sentences at the top of a report are right for tables made by hand."""

import numpy as np
import pandas as pd
import pytest

from saec.evaluation.agreement import holm
from saec.evaluation.base import Scores
from saec.report.job import MOST_SENTENCES, summary
from saec.samples import Samples
from saec.sections.base import Content
from saec.sections.findings import best_clusters, best_methods, doubts_in, doubts_of_scores, remarks_on
from saec.sections.score_tables import comparison_table
from saec.sections.sets import Result
from saec.sections.times import show_times

PIXELS = "pixels 32 x 32"


def scores(*rows: tuple) -> pd.DataFrame:
    """Rows of set, method, evaluation, score, value, and perhaps spread."""
    columns = ["set", "method", "evaluation", "score", "value", "spread"]
    return pd.DataFrame([(*row, np.nan)[:6] for row in rows], columns=columns)


def f1(method: str, value: float, evaluation: str = "svm", set: str = "birds") -> tuple:
    return (set, method, evaluation, "macro_f1", value, 0.02)


def compared(p: float, *pair: str) -> pd.DataFrame:
    return pd.DataFrame(
        [{"set": "birds", "evaluation": "svm", "method": pair[0], "other": pair[1], "p_holm": p}]
    )


@pytest.mark.parametrize(
    ("rows", "comparisons", "sentence"),
    [
        ([f1("conv", 0.9)], pd.DataFrame(), "Macro-F1 of conv is 0.900 ± 0.020 by svm (1 is perfect)."),
        (
            [f1("conv", 0.9), f1("mel", 0.7), f1("mel", 0.8, "knn")],
            compared(0.003, "mel", "conv"),
            "The best of 2 methods is conv: macro-F1 0.900 ± 0.020 by svm (1 is perfect), 0.200 above mel, "
            "more than chance (p = 0.003, paired test, corrected).",
        ),
        (
            [f1("conv", 0.9), f1("mel", 0.89)],
            compared(0.4, "conv", "mel"),
            "The best of 2 methods is conv: macro-F1 0.900 ± 0.020 by svm (1 is perfect), 0.010 above mel, "
            "which may well be chance (p = 0.4, paired test, corrected).",
        ),
        (
            [f1("conv", 0.9), f1("mel", 0.8, "knn"), ("birds", "conv", "svm", "macro_f1_5", 0.6)],
            compared(0.4, "conv", "mel"),
            "The best of 2 methods is conv: macro-F1 0.900 ± 0.020 by svm (1 is perfect), 0.100 above mel "
            "(not tested); with 5 labels a class 0.600.",
        ),
        (
            [f1("conv", 0.9), f1("conv", 0.5, set="frogs")],
            pd.DataFrame(),
            "birds: Macro-F1 of conv is 0.900 ± 0.020 by svm (1 is perfect). frogs: Macro-F1 of conv is "
            "0.500 ± 0.020 by svm (1 is perfect).",
        ),
    ],
)
def test_the_best_method_is_named_with_its_lead_and_whether_that_is_chance(rows, comparisons, sentence):
    assert best_methods(scores(*rows), comparisons) == [sentence]


def clusters(method: str, evaluation: str, **values: float) -> list[tuple]:
    return [("birds", method, evaluation, score, value) for score, value in values.items()]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            clusters("conv", "kmeans", n_clusters=4, v_measure=0.61, stability=0.9, noise=0.0)
            + clusters("mel", "hdbscan", n_clusters=7, v_measure=0.72, silhouette=0.4, noise=0.12)
            + clusters("mel", "kmeans", n_clusters=1, v_measure=0.99, noise=0.0),
            "7 clusters by hdbscan of mel agree best with the labels (V-measure 0.72 of 1, silhouette 0.40, "
            "12% of the sounds in none).",
        ),
        (
            clusters("conv", "kmeans", n_clusters=4, stability=0.5, noise=0.0)
            + clusters("conv", "hdbscan", n_clusters=3, stability=0.8, noise=0.0),
            "3 clusters by hdbscan of conv are the most stable (stability 0.80 of 1).",
        ),
        (clusters("conv", "hdbscan", n_clusters=1, noise=0.0), "No evaluation found more than one cluster."),
    ],
)
def test_the_best_clusters_are_those_that_agree_with_labels_or_are_stable(rows, sentence):
    assert best_clusters(scores(*rows), "sounds") == [sentence]


@pytest.mark.parametrize(
    ("columns", "doubts"),
    [
        ({"label": ["a", "b"] * 10, "group": [f"g{n // 2}" for n in range(20)]}, []),
        ({}, ["no sounds have labels"]),
        (
            {"label": ["a", "b"] * 9 + ["", "c"]},
            [
                "1 of 20 sounds is without a label",
                "no group (recording) is known, so probes may be too good",
                "1 class is rare, in fewer than 5 sounds",
            ],
        ),
        (
            {
                "label": ["a"] * 10 + ["b"] * 10,
                "group": [f"g{n // 2}" for n in range(20)],
                "split": ["train"] * 9 + ["test"] * 11,
            },
            [
                "1 group (recordings) is on both sides of the split, so probes are too good",
                "1 class is tested and never learnt",
            ],
        ),
    ],
)
def test_what_is_suspicious_of_samples_is_said_in_few_words(columns, doubts):
    samples = Samples.of([f"{n:02d}.wav" for n in range(20)], **columns)
    assert doubts_in(remarks_on(samples, "sounds")) == doubts


def test_of_several_sets_it_is_counted_how_often_each_method_is_best_and_all_are_named():
    names = ["australia", "bermuda", "florida", "indonesia", "kenya", "moorea"]
    rows = [f1("vggish", 0.9, "forest", one) for one in names] + [
        f1("saec", 0.8, "forest", one) for one in names
    ]
    rows += [f1("saec", 0.96, "knn", "kenya"), f1("mel", 1.0, "knn", "kenya")]  # mel is of one set alone
    first, second = best_methods(scores(*rows), pd.DataFrame())
    assert first == (
        "Of 6 sets, the best of the 2 methods that all of them have is vggish on 5 (mean macro-F1 0.900), "
        "saec on 1 (mean macro-F1 0.827)."
    )
    first, _ = best_methods(scores(*rows[:-1]), pd.DataFrame())
    assert first.startswith("Of 6 sets, the best is vggish on 5")
    assert all(f"{one}: The best of" in second for one in names)


def test_clusters_that_did_not_converge_are_not_ranked():
    rows = clusters("conv", "affinity", n_clusters=9, v_measure=0.9, converged=0.0)
    rows += clusters("mel", "affinity", n_clusters=4, v_measure=0.5, converged=1.0)
    (sentence,) = best_clusters(scores(*rows), "sounds")
    assert sentence.startswith("4 clusters by affinity of mel agree best")
    assert best_clusters(scores(*rows[:3]), "sounds") == []


def test_what_is_suspicious_of_scores_is_said_in_few_words():
    rows = [f1("conv", 0.8), f1(PIXELS, 0.8), *clusters("conv", "affinity", converged=0.0, noise=0.7)]
    assert doubts_of_scores(scores(*rows), PIXELS) == [
        "no method is better than small pictures, for which nothing was learnt",
        "affinity of conv did not converge",
        "affinity of conv leaves 70% in no cluster",
    ]
    assert doubts_of_scores(scores(f1("conv", 0.8), f1(PIXELS, 0.7)), PIXELS) == []
    frogs = (f1("conv", 0.5, set="frogs"), f1(PIXELS, 0.7, set="frogs"))
    assert doubts_of_scores(scores(*rows, *frogs), PIXELS) == [
        "birds: no method is better than small pictures, for which nothing was learnt",
        "frogs: no method is better than small pictures, for which nothing was learnt",
        "birds: affinity of conv did not converge",
        "birds: affinity of conv leaves 70% in no cluster",
    ]


@pytest.mark.parametrize(
    ("columns", "units", "dates"),
    [
        ({"date": ["2024-05-01", "12/31/2023"], "site": ""}, {"date"}, "on 2024-05-01"),
        (
            {"date": ["2024-05-01", "2024-05-02"], "hour": np.nan},
            {"date"},
            "from 2024-05-01 to 2024-05-02, on 2 days",
        ),
        ({"date": ["45413", "2024.0"], "hour": ["dawn", "5.5"]}, {"hour"}, None),
        ({"date": np.arange(45000.0, 45070.0), "site": np.arange(70)}, {"site"}, None),
        ({"date": ["1/2/2024", ""], "hour": "dawn"}, None, None),
    ],
)
def test_what_is_no_hour_or_date_is_left_out_of_when_and_where_and_counted(tmp_path, columns, units, dates):
    content, samples = Content("times", tmp_path), pd.DataFrame(columns)
    show_times(content, "x", samples, {"label": np.full(len(samples), "a")})
    file = tmp_path / "times_x.csv"
    assert (set(pd.read_csv(file)["unit"]) if units else None) == units and file.exists() == bool(units)
    assert content.findings == ([f"Recorded {dates}."] if dates else [])
    assert any("are left out of it" in remark for remark in content.remarks)


def test_the_top_has_few_sentences_and_the_last_one_lists_what_is_suspicious(tmp_path):
    plain = Content("one", tmp_path, findings=["A."])
    doubtful = Content("two", tmp_path, findings=["B."] * 9, doubts=["x", "y", "x"])
    assert summary([plain]) == ["A.", "Nothing suspicious was noticed."]
    remarked = Content("t", tmp_path, ["1 of 2"], findings=["A."])
    assert summary([remarked])[1] == "Nothing suspicious was noticed, beside the remarks in boxes below."
    assert summary([plain, doubtful]) == ["A.", *["B."] * (MOST_SENTENCES - 2), "Look at this first: x; y."]
    assert summary([Content("none", tmp_path)]) == []


def test_p_values_are_corrected_among_the_pairs_of_one_set_and_evaluation_alone():
    def of(one: str, evaluation: str, method: str, seed: int) -> Result:
        values = np.random.default_rng(seed).uniform(0.5, 0.9, 5)
        folds = [
            {"labels_per_class": "all", "macro_f1": value, "n_asked": 1, "n_learnt": 4} for value in values
        ]
        return Result(one, method, evaluation, Scores({}, np.zeros(0, str), folds=folds), np.zeros(0, str))

    families = [("birds", "svm"), ("birds", "forest"), ("frogs", "svm")]
    results = [
        of(*family, method, 10 * n + seed)
        for n, family in enumerate(families)
        for seed, method in enumerate(("conv", "mel", "raw"))
    ]
    together = comparison_table(results)
    assert list(zip(together["method"], together["other"], strict=True)) == 3 * [
        ("conv", "mel"),
        ("conv", "raw"),
        ("mel", "raw"),
    ]
    for one, evaluation in families:
        alone = comparison_table([r for r in results if (r.set, r.evaluation) == (one, evaluation)])
        rows = together[(together["set"] == one) & (together["evaluation"] == evaluation)]
        assert rows["p_holm"].tolist() == alone["p_holm"].tolist() == holm(rows["p"].tolist())
        assert set(rows["family"]) == {f"3 of {evaluation} on {one}"}
