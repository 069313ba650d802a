"""Sessions of an evaluation become a report: its numbers, its pages, and faults that come before any work."""

import json
import os
import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import extraction_session, intensities, write_pictures
from small_runs import untrained_run, workplace

import main_03_evaluate
from saec.config import Config
from saec.extraction import extract
from saec.faults import Fault
from saec.report import EvaluationSession, evaluate, job, plan_evaluation
from saec.runs import Run
from saec.sections import SECTIONS
from saec.sections import scores as remember
from saec.sections.base import Content, Inputs
from saec.sections.score_tables import _draw_score
from saec.sections.sets import PIXELS
from saec.session import SessionError, load_session

N = 36
KINDS = np.array(["low", "middle", "high"])
LINEAR = {"name": "linear", "n_repeats": 1, "curve": [2]}
KMEANS = {"name": "kmeans", "sweep": [2, 3], "resamples": 2}
LAYOUT = np.random.default_rng(5).normal(size=(N, 2)).astype(np.float32)


def features(n: int = N, noise: float = 0.1) -> np.ndarray:
    """The kind of a picture stands in the first three columns, noise in the others."""
    rng = np.random.default_rng(0)
    return np.hstack([8 * np.eye(3)[np.arange(n) % 3], rng.normal(size=(n, 3))]).astype(np.float32) + noise


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Config:
    """Pictures of three kinds in nine recordings, with labels, and two feature files of them."""
    config = workplace(tmp_path_factory.mktemp("scored"))
    names = write_pictures(config.data / "songs" / "images", intensities(N))
    rows = [f"{name},{KINDS[number % 3]},{name[:5]}" for number, name in enumerate(names)]
    (config.data / "songs" / "labels.csv").write_text("\n".join(["file,label,group", *rows]))
    good, bad = features(), np.random.default_rng(1).normal(size=(N, 4))
    np.savez(config.data / "songs" / "good.npz", X=good, N=names, X_2D=LAYOUT)
    np.savez(config.data / "songs" / "bad.npz", X=bad, N=names, X_2D=LAYOUT)
    return config


def session(**changes) -> dict:
    plain = {
        "images": "songs/images",
        "features": {"good": "songs/good.npz", "bad": "songs/bad.npz"},
        "evaluations": [LINEAR, KMEANS],
        "pixels": False,
        "inspect": False,
        "explorer": None,
        "table": None,
    }
    return plain | changes


@pytest.mark.parametrize("name", SECTIONS.names())
def test_a_section_that_no_session_asks_for_plans_nothing(name, project, tmp_path):
    inputs = Inputs(project, tmp_path)
    section = SECTIONS.parse(name)(inputs)
    assert section.describe() == [] and inputs.faults == []
    assert [*tmp_path.iterdir()] == []


def test_sections_that_plan_nothing_are_not_written(project):
    job = plan_evaluation(load_session(session(features="songs/good.npz"), EvaluationSession), project)
    assert list(job.sections) == ["scores"]


def test_sections_agree_on_defaults_and_have_positions_of_their_own():
    components = [SECTIONS[name] for name in SECTIONS.names()]
    assert len({component.target.position for component in components}) == len(components)
    defaults = {key: field.default for key, field in EvaluationSession.model_fields.items()}
    for component in components:
        assert all(component.model_fields[key].default == defaults[key] for key in component.options)


def scores_of(report, score: str) -> pd.Series:
    return report.scores[report.scores["score"] == score].set_index("method")["value"]


def page_of(report) -> str:
    return (report.folder / "report.html").read_text(encoding="utf-8")


def names_in(report) -> set[str]:
    return {file.name for file in report.folder.iterdir()}


@pytest.fixture(scope="module")
def whole(project):
    """A report with everything that needs no run."""
    wanted = session(
        pixels=True, inspect=True, table="csv", explorer={}, similar={"to": "rec00_segm_0001.000.png"}
    )
    (project.data / "songs" / "images" / "notes.txt").write_text("no picture")
    return evaluate(wanted, project)


def test_good_features_score_better_than_bad_ones_and_pixels_stand_beside_as_the_floor(whole):
    f1, v_measure = scores_of(whole, "macro_f1"), scores_of(whole, "v_measure")
    assert f1["good"] > 0.9 > 0.7 > f1["bad"] and v_measure["good"] > v_measure["bad"]
    assert f1[PIXELS] > 0.9  # bars at three heights


def test_tables_are_tidy_and_agree_with_the_json(whole):
    scores = pd.read_csv(whole.folder / "scores.csv")
    assert list(scores.columns) == ["set", "method", "evaluation", "score", "value", "spread"]
    about = json.loads((whole.folder / "report.json").read_text(encoding="utf-8"))
    assert len(about["scores"]) == len(scores) and about["sets"]["session"]["n_pictures"] == N
    folds = pd.read_csv(whole.folder / "folds.csv")
    mean = folds[(folds["method"] == "good") & (folds["labels_per_class"] == "all")]["macro_f1"].mean()
    assert mean == pytest.approx(scores_of(whole, "macro_f1")["good"])
    answers = pd.read_csv(whole.folder / "answers_session.csv", dtype=str, keep_default_na=False)
    assert len(answers) == N and set(answers["good: kmeans"]) == {"0", "1", "2"}
    assert ((answers["good: linear"] == answers["label"]).mean()) > 0.9
    compared = pd.read_csv(whole.folder / "comparisons.csv")  # on the same folds
    row = compared[(compared["method"] == "good") & (compared["other"] == "bad")].iloc[0]
    assert row["difference"] > 0.2 and 0 < row["p"] <= row["p_holm"] <= 1
    table = pd.read_csv(whole.folder / "features_session_good.csv")
    assert np.allclose(table[[f"Feature_{n}" for n in range(1, 7)]], features(), atol=1e-5)
    assert list(table.columns[:3]) == ["file", "label", "group"] and len(table) == N
    sizes = pd.read_csv(whole.folder / "clusters.csv")
    assert sizes[sizes["method"] == "good"]["size"].sum() == N


SCORES = ("weighted_f1", "balanced_accuracy", "cramers_v", "adjusted_rand", "homogeneity", "stability")


def test_the_page_holds_together_alone(whole):
    page = page_of(whole)
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert page.count("data:image/png") >= 5
    words = ("V-measure", "macro-F1", "Confusion", "Nearest to", "explorer.html", "Intensity of all pixels")
    for text in (*words, *(f"<th>{score}</th>" for score in SCORES)):
        assert text in page


def test_only_what_is_better_than_something_has_a_star():
    table = pd.DataFrame({"method": ["a", "b", "c"], "x": [0.5, 0.7, 0.7], "tie": 0.3, "zero": 0.0})
    starred = [[value == "best" for _, value in row] for row in job._cells(table)["rows"]]
    assert starred == [[False] * 4, [False, True, False, False], [False, True, False, False]]
    distances = table.assign(file=["x.png", "y.png", "z.png"])  # the largest is not the best
    assert not any(style == "best" for row in job._cells(distances)["rows"] for _, style in row)


def test_the_most_similar_pictures_are_named_and_drawn(whole):
    table = pd.read_csv(whole.folder / "similar_session.csv")
    assert list(dict.fromkeys(table["method"])) == ["good", "bad", "all together"]
    assert len(table) == 30 and "rec00_segm_0001.000.png" not in set(table["file"])
    of_good = table[table["method"] == "good"]
    assert (of_good["label"] == "middle").all() and of_good["distance"].is_monotonic_increasing
    assert (whole.folder / "similar_session.png").is_file()


def test_what_was_computed_is_remembered_but_not_for_other_labels(project, monkeypatch, log):
    evaluate(session(), project)
    for file in (project.cache / "evaluations").iterdir():  # what is damaged is computed again
        file.write_bytes(file.read_bytes().replace(b"0.", b"1."))
    first = evaluate(session(), project)
    assert "is damaged (its content is not that of its checksum): it is made anew" in log.text
    assert scores_of(first, "macro_f1")["good"] <= 1
    pattern = {"pattern": r"rec(?P<group>\d\d)_segm_(?P<label>\d{3})"}
    other = evaluate(session(evaluations=[KMEANS], labels=pattern), project)
    assert scores_of(first, "v_measure")["good"] != scores_of(other, "v_measure")["good"]
    monkeypatch.setattr(remember, "write_cached", lambda *_: pytest.fail("scored again"))
    again = evaluate(session(), project)
    assert first.folder != again.folder
    pd.testing.assert_frame_equal(first.scores, again.scores)


ALLOWED = ["kmeans", "hdbscan"]  # without labels


@pytest.mark.parametrize(
    ("changes", "names", "remark"),
    [
        ({}, [*ALLOWED, "forest", "knn", "linear", "svm"], ""),
        ({"images": None}, ALLOWED, ""),
        (
            {"labels": {"pattern": "rec(?P<label>00)"}},
            ALLOWED,
            "no probes: session: probes need labels of two",
        ),
    ],
)
def test_without_a_word_evaluations_are_those_that_labels_allow(project, changes, names, remark):
    raw = session(evaluations=None, **changes)
    one = plan_evaluation(load_session(raw, EvaluationSession), project).sets["session"]
    assert [evaluation.name for evaluation in one.evaluations] == names
    assert remark in "\n".join(one.remarks)


def test_several_sets_stand_side_by_side_and_a_folder_alone_is_inspected(project):
    one = {"images": "songs/images", "features": {"good": "songs/good.npz", "bad": "songs/bad.npz"}}
    raw = session(sets={"first": one, "second": one}, evaluations=[KMEANS], explorer={})
    report = evaluate({key: raw[key] for key in raw if key not in one}, project)
    assert set(report.scores["set"]) == {"first", "second"}
    assert {"explorer_first.html", "explorer_second.html", "maps.png"} <= names_in(report)
    alone = evaluate({"images": "songs/images"}, project)
    pictures = {"pictures_recordings.csv", "pictures_table.csv", "pictures_intensity.png"}
    assert names_in(alone) == {"report.html", "report.json", *pictures}


def test_of_several_sets_each_evaluation_has_a_figure_of_its_own(tmp_path):
    keys = product(("kenya", "bermuda"), ("forest", "knn"), ("saec", "mel"))
    rows = [{"set": s, "evaluation": e, "method": m, "value": 0.5, "spread": 0.1} for s, e, m in keys]
    content = Content("Scores", tmp_path)
    _draw_score(content, pd.DataFrame(rows), "macro_f1", "macro-F1")
    assert list(content.figures) == ["macro_f1_forest.png", "macro_f1_knn.png"]
    assert list(content.figures) == sorted(file.name for file in tmp_path.iterdir())
    table = content.tables["macro-F1 by forest"]
    assert list(table.columns) == ["method", "kenya, forest", "bermuda, forest"]


def test_foreign_tables_are_scored_by_their_own_labels(project):
    frame = pd.DataFrame(features(), columns=[f"Feature_{n + 1}" for n in range(6)])
    frame.insert(0, "Label", KINDS[np.arange(N) % 3])
    frame.to_csv(project.data / "ReefCLR-kenya-embeddings.csv", index=False)
    report = evaluate(session(images=None, features="ReefCLR-kenya-embeddings.csv"), project)
    assert scores_of(report, "macro_f1")["ReefCLR-kenya-embeddings"] > 0.9
    page = page_of(report)
    assert "does not say which samples" in page and "no group (recording) is known" in page


def remarks_of(report) -> str:
    about = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    return "\n".join(remark for section in about["sections"] for remark in section["remarks"])


def labels_of(project: Config, file: str, *columns: str, change=lambda number, row: row) -> str:
    """A table of labels like that of the songs, with more columns; returns its name."""
    header, *lines = (project.data / "songs" / "labels.csv").read_text().splitlines()
    rows = [",".join(change(number, line.split(","))) for number, line in enumerate(lines)]
    (project.data / file).write_text("\n".join([",".join([header, *columns]), *rows]))
    return file


def test_a_split_that_shares_recordings_is_used_and_further_columns_colour_the_page(project):
    def extended(number: int, row: list[str]) -> list[str]:
        side = ("train", "test", "val")[number % 3 if number < 6 else number % 2]
        return [*row, side, str(number / 2), "ab"[number % 2]]

    file = labels_of(project, "rich.csv", "split", "height (m)", "site", change=extended)
    report = evaluate(session(labels=file, explorer={"color": "site"}), project)
    remarks = remarks_of(report)
    assert "groups (recordings) are on both sides" in remarks
    assert "2 pictures with a label are neither" in remarks
    spreads = report.scores[report.scores["score"] == "macro_f1"]["spread"]
    assert spreads.isna().all()  # one split has none
    page = (report.folder / "explorer.html").read_text(encoding="utf-8")
    assert '"height (m)":{"kind":"number"' in page and '"color":"site"' in page
    answers = pd.read_csv(report.folder / "answers_session.csv")
    assert answers["height (m)"].tolist() == [n / 2 for n in range(N)]


def test_names_that_would_share_files_are_refused(project):
    one = {"images": "songs/images", "features": "songs/good.npz"}
    with pytest.raises(SessionError, match="sets need names that differ"):
        evaluate({"sets": {"a b": one, "a_b": one}}, project)


def test_words_of_the_data_are_no_formulas_and_a_method_may_be_called_by_a_number(project):
    words = ("a$b_$", "_hidden", "x^$")
    file = labels_of(project, "formulas.csv", change=lambda n, row: [row[0], words[n % 3], row[2]])
    methods = {"$_$": "songs/good.npz", "2024": "songs/bad.npz"}
    report = evaluate(session(labels=file, features=methods, explorer={}), project)
    assert "confusion_session.png" in names_in(report) and set(report.scores["method"]) == set(methods)


@pytest.mark.parametrize("n", [2, 3, pytest.param(5, marks=pytest.mark.slow)])  # of 5 there is a map
def test_a_handful_of_pictures_is_scored_too(project, n):
    names = np.load(project.data / "songs" / "good.npz")["N"][:n]
    np.savez(project.data / f"few_{n}.npz", X=features()[:n], N=names)
    wanted = session(features=f"few_{n}.npz", evaluations=None, explorer={}, pixels=True, inspect=True)
    assert (evaluate(wanted, project).folder / "explorer.html").is_file()


def test_rare_classes_are_refused_or_left_out_in_words(project):
    labels = (project.data / "songs" / "labels.csv").read_text().replace("000.000.png,low", "000.000.png,owl")
    (project.data / "rare.csv").write_text(labels)
    with pytest.raises(SessionError, match="owl: 1 rows of one group"):
        evaluate(session(labels={"file": "rare.csv"}), project)
    report = evaluate(session(labels={"file": "rare.csv", "least": 2}), project)
    assert "owl: 1" in page_of(report)


@pytest.fixture(scope="module")
def damaged(project) -> Config:
    """Files that cannot be used."""
    folder = project.data / "faulty"
    folder.mkdir(exist_ok=True)
    names = np.load(project.data / "songs" / "good.npz")["N"]
    rows = features()
    np.savez(folder / "fewer.npz", X=rows[:-3], N=names[:-3])
    three = np.unique([name.split("_segm_")[0] for name in names], return_index=True)[1]
    np.savez(folder / "three.npz", X=rows[three], N=names[three])
    (folder / "cut.npz").write_bytes((project.data / "songs" / "good.npz").read_bytes()[:-30])
    (folder / "twice.csv").write_text(f"file,label\n{names[0]},a\n{names[0]},b\n")
    (folder / "one.csv").write_text("file,label\n" + "\n".join(f"{name},a" for name in names))
    (folder / "foreign.csv").write_text("file,label\nx.png,a\ny.png,b\n")
    write_pictures(folder / "images", intensities(3))
    return project


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"features": {"a": "songs/good.npz", "b": "faulty/fewer.npz"}},
            "a is of 36 samples, b of 33.*only in a: 3.*rec08_segm_0033.000.png(?!.*only in b)",
        ),
        (
            {"features": {"a": "songs/good.npz", "b": "faulty/three.npz"}},
            "a fault:\n  features: a is .*, or of the same recordings, as these are, with `per: recording`\n",
        ),
        ({"features": "faulty/cut.npz"}, "cannot be read as features"),
        ({"labels": "faulty/twice.csv"}, "says two things of one sample"),
        ({"labels": "faulty/one.csv"}, "probes need labels of two classes at least, got one class, a"),
        ({"labels": "faulty/foreign.csv"}, "labels none of the 36 pictures"),
        ({"images": "songs/moved"}, "no such folder"),
        ({"images": "faulty/images"}, "33 of 36 pictures of the features are not in"),
        ({"features": "songs/no*.npz"}, "no file matches"),
        ({"runs": "2020*"}, "no run in .* is called 2020"),
        ({"feature": "x"}, "did you mean 'features'"),
        (None, "nothing to do"),
        ({"labels": {"pattern": "(x"}}, "is no regular expression"),
        ({"labels": {"pattern": "(?P<label>x)", "file": "x"}}, "labels come from one source"),
        ({"explorer": {"color": "lable"}}, "no column 'lable' of set session, did you mean 'label'"),
        ({"explorer": {"color": "time"}}, "no column 'time' of set session"),
        ({"similar": {"to": "gone.png"}}, "gone.png is no picture of set session"),
        ({"similar": {"to": "songs/images"}}, "not made by `saec extract`"),
        ({"features": {"X": "songs/good.npz", "x": "songs/bad.npz"}}, "methods need names that differ"),
        ({"features": {245 * "x": "songs/good.npz"}}, "xxx' is too long for names of files"),
    ],
)
def test_a_session_that_cannot_be_carried_out_ends_before_any_work(damaged, changes, words):
    before = set((damaged.data / "reports").glob("*"))
    with pytest.raises(Fault, match=f"(?s){words}"):
        evaluate({} if changes is None else session(**changes), damaged)
    assert set((damaged.data / "reports").glob("*")) == before


def test_the_script_prints_all_faults_at_once_and_a_check_writes_nothing(project, tmp_path, capsys):
    def run(text: str, *words: str) -> int:
        (tmp_path / "report.yaml").write_text(text)
        config = project.data.parent / "config" / "config.yaml"
        return main_03_evaluate.main([str(tmp_path / "report.yaml"), *words, "--config", str(config)])

    before = sorted(project.data.rglob("*"))
    assert run("{images: gone, features: [a.npz, b.csv], runs: nobody, similar: {to: x}}") == 2
    printed = capsys.readouterr()
    for words in ("images: no such folder", "a.npz", "b.csv", "runs: no run 'nobody'", "similar:"):
        assert words in printed.err, printed.err
    assert "Traceback" not in printed.err
    assert run("{images: songs/images, features: songs/good.npz}", "--check") == 0
    printed = capsys.readouterr()
    words = "36 pictures of 9 groups (recordings), 36 with labels of 3 classes"
    assert printed.out == "" and words in printed.err
    assert sorted(project.data.rglob("*")) == before


@pytest.fixture(scope="module")
def with_run(project):
    """A run, and features that it has made of the pictures."""
    run = untrained_run(project, record={"train": {"colormap": "viridis"}})
    extract(extraction_session(str(run.folder), reconstructions=0), project)
    return run


def test_a_run_names_its_features_and_is_scored_by_what_it_rebuilds(project, with_run):
    wanted = session(
        features="latest:untrained",
        evaluations=[KMEANS],
        rebuilt={"run": "latest:untrained", "images": "songs/images", "limit": 10},
        runs="*_untrained",
    )
    unbegun = Run.create(project.models, with_run.session, {})
    report = evaluate(wanted, project)
    shutil.rmtree(unbegun.folder)
    assert set(report.scores["method"]) == {"untrained mean std"}
    left_out = ("1 run has not finished an epoch and is left out", "10 of 36 pictures, evenly spread")
    assert all(words in remarks_of(report) for words in (unbegun.folder.name, *left_out))
    table = pd.read_csv(report.folder / "rebuilt.csv")
    columns = "file mse mae cosine psnr ssim sparsity loss percentile split run"
    assert len(table) == 10 and list(table.columns) == columns.split()
    assert (table["mse"] > 0).all() and table["ssim"].between(-1, 1).all()
    assert {"rebuilt_best.png", "rebuilt_worst.png", "runs.png"} <= names_in(report)
    assert pd.read_csv(report.folder / "runs.csv")["run"].tolist() == [with_run.folder.name]


def test_a_run_names_features_of_a_folder_that_has_moved_and_none_of_other_makers(project, with_run):
    songs = project.data / "moved" / "songs"
    shutil.copytree(project.data / "songs", songs)
    made = next(songs.glob(f"pooled_*_saec_{with_run.timestamp}.npz"))
    shutil.copyfile(made, made.with_name(f"pooled_mine_saec_{with_run.timestamp}.npz"))
    moved = session(images="moved/songs/images", features="latest:untrained", evaluations=[KMEANS])
    assert set(evaluate(moved, project).scores["method"]) == {"untrained mean std"}
    with pytest.raises(SessionError, match="needs `images`, .*: or name files, traces/pooled"):
        evaluate(session(images=None, features="latest:untrained"), project)


def test_pictures_without_features_are_encoded_by_the_same_run_and_pooling(project, with_run, tmp_path):
    def similar(features, to, **options) -> pd.DataFrame:
        raw = session(features=features, evaluations=[KMEANS], similar={"to": str(to), **options})
        return pd.read_csv(evaluate(raw, project).folder / "similar_session.csv")

    pictures = sorted((project.data / "songs" / "images").glob("*.png"))
    for number in (4, 9):
        shutil.copy2(pictures[number], tmp_path / f"new_{number}.png")
    table = similar("latest:untrained", tmp_path, n=3)
    nearest = table[table["rank"] == 1].set_index("query")
    assert nearest["file"].to_dict() == {"new_4.png": pictures[4].name, "new_9.png": pictures[9].name}
    assert (nearest["distance"] < 1e-3).all()
    table = similar("latest:untrained", tmp_path / "new_4.png")
    assert table["file"][0] == pictures[4].name and len(table) == 10
    latents = {"file": f"songs/full_features_saec_{with_run.timestamp}.npz", "pooling": "max"}
    table = similar(latents, tmp_path / "new_4.png", n=2)
    assert table["file"][0] == pictures[4].name and table["distance"][0] < 1e-3
    about = project.data / "songs" / f"saec_{with_run.timestamp}.json"
    whole = about.read_text(encoding="utf-8")
    about.write_text(whole.replace('"run": "', '"nothing": "'), encoding="utf-8")
    with pytest.raises(SessionError, match="similar: features saec_.* do not say what made them"):
        similar("latest:untrained", tmp_path)
    about.write_text(whole, encoding="utf-8")


def test_a_report_that_was_ended_leaves_nothing_and_what_a_kill_left_goes(project, monkeypatch):
    def ended(*_):
        raise KeyboardInterrupt

    before = sorted((project.data / "reports").iterdir())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job, "write_page", ended)
        evaluate(session(evaluations=[KMEANS]), project)
    assert sorted((project.data / "reports").iterdir()) == before
    old, young = (project.data / "reports" / f".writing_{word}" for word in ("old", "young"))
    old.mkdir()
    young.mkdir()
    os.utime(old, (0, 0))
    evaluate(session(evaluations=[KMEANS]), project)
    assert not old.exists() and young.exists()
    young.rmdir()


def test_classes_and_clusters_are_counted_by_hour_and_date_where_samples_say_them(project):
    """The first recording has no date."""

    def recorded(number: int, row: list[str]) -> list[str]:
        when = f"2024-05-{1 + number % 2:02d}T{(5, 17, 18)[number % 3]:02d}:30:00"
        return [*row, when if number >= 4 else "", f"plot{number % 2}"]

    file = labels_of(project, "when.csv", "time", "site", change=recorded)
    report = evaluate(session(labels=file, evaluations=[KMEANS]), project)
    table = pd.read_csv(report.folder / "times_session.csv", dtype=str, keep_default_na=False)
    n_of = {tuple(key): int(n) for *key, n in table.itertuples(index=False)}
    assert n_of["label", "low", "hour", "5"] == 10 and ("label", "low", "hour", "17") not in n_of
    assert n_of["", "all", "date", "2024-05-01"] == 16
    assert sum(n for (by, _, unit, _), n in n_of.items() if (by, unit) == ("label", "hour")) == N - 4
    assert sum(n for (by, _, unit, _), n in n_of.items() if (by, unit) == ("kmeans of good", "site")) == N
    assert {"times_session_label.png", "times_session_kmeans_of_good.png"} <= names_in(report)
    assert "4 of 36 have no hour" in remarks_of(report)
    assert any("Recorded from 2024-05-01 to 2024-05-02" in sentence for sentence in report.findings)
    raw = session(evaluations=[KMEANS])
    plain = {key: raw.pop(key) for key in ("images", "features")}
    sets = {"plain": plain, "dated": plain | {"labels": file}}
    sets["summer"] = plain | {"labels": {"file": file, "clock": "UTC+2"}}
    morning = labels_of(project, "day.csv", "time", change=lambda _, row: [*row, "2024-05-01T05:30:00"])
    sets["morning"] = plain | {"labels": morning}
    report = evaluate(raw | {"sets": sets}, project)
    assert "dated: Recorded from 2024-05-01 to 2024-05-02" in page_of(report)
    assert "morning: Recorded on 2024-05-01.</p>" in page_of(report)
    assert "hour, date, site (clock as written)" in page_of(report)
    assert "hour, date, site (time of UTC+2)" in page_of(report)
    plain = evaluate(session(evaluations=[KMEANS]), project)
    assert not [name for name in names_in(plain) if name.startswith("times")]
