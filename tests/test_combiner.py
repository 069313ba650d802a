"""Features combined: scored in the same folds as each file alone, fitted without leaks, kept safely."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from damage import Trap
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skops.io import dump, get_untrusted_types
from small_runs import workplace

from saec.config import Config
from saec.evaluation import EVALUATIONS, probes
from saec.evaluation.classifiers import CLASSIFIERS, fit_classifier
from saec.evaluation.combiner import Combiner
from saec.evaluation.probes import predict_fold
from saec.extraction.sources.combiner import _recipes
from saec.faults import Fault, MissingFault
from saec.report import EvaluationSession, evaluate, plan_evaluation
from saec.sections.scores import score_set
from saec.sections.sets import PIXELS
from saec.session import SessionError, load_session

N = 72
KINDS = np.array(["crow", "owl", "tit", "wren"])
GRID = {"C": (1.0, 10.0), "gamma": ("scale", 0.01)}
QUICK = {"n_repeats": 1, "curve": []}
COMBINE = {"pca": 3, "C": [1, 10], "gamma": ["scale", 0.01]}


def two_files(n: int = N, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Of four kinds one file tells the halves, the other even and odd; labels, and nine recordings."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % 4
    halves = np.column_stack([5.0 * (kinds // 2), 5.0 * (kinds // 2), *rng.normal(size=(3, n))])
    parity = np.column_stack([1e3 * (kinds % 2), 5.0 * (kinds % 2), *rng.normal(size=(4, n))])
    blocks = {
        "halves": halves + rng.normal(scale=0.3, size=halves.shape),
        "parity": parity + rng.normal(scale=0.3, size=parity.shape),
    }
    return blocks, KINDS[kinds], np.array([f"rec{number // 8}" for number in range(n)])


def fitted(classifier: str = "svm", **changes) -> Combiner:
    blocks, labels, groups = two_files()
    return Combiner.fit(
        blocks, labels, groups, **({"classifier": classifier, "pca": 3, **GRID, "seed": 0} | changes)
    )


def side_by_side() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    blocks, labels, groups = two_files()
    return np.hstack(list(blocks.values())).astype(np.float32), labels, groups


def scaled(n_components: int | None) -> Pipeline:
    return make_pipeline(StandardScaler(), PCA(n_components, random_state=0))


class Weighed(TransformerMixin, BaseEstimator):
    """Brings a block to a variance of 1, all columns together."""

    def fit(self, rows, labels=None):
        self.deviation_ = np.sqrt(rows.var(axis=0).sum())
        return self

    def transform(self, rows):
        return rows / self.deviation_


def weighed(n_components: int | None) -> Pipeline:
    return make_pipeline(*(step for _, step in scaled(n_components).steps), Weighed())


def test_a_fold_is_as_a_pipeline_of_scikit_learn_that_is_fitted_on_training_rows_alone():
    rows, labels, groups = side_by_side()
    train, test = np.arange(48), np.arange(48, N)
    options = {"classifier": "svm", "pca": 3, "blocks": (5, 6), "class_weight": "balanced"} | GRID
    model = fit_classifier(rows[train], labels[train], groups[train], **options).model
    parts = [("first", weighed(3), list(range(5))), ("second", weighed(3), list(range(5, 11)))]
    pipeline = Pipeline([("parts", ColumnTransformer(parts)), ("svc", SVC(class_weight="balanced"))])
    inner = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    grid = {f"svc__{key}": list(values) for key, values in GRID.items()}
    search = GridSearchCV(pipeline, grid, scoring="f1_macro", cv=inner)
    by_hand = search.fit(rows[train], labels[train], groups=groups[train]).decision_function(rows[test])
    assert np.allclose(model.decision_function(rows[test]), by_hand, atol=1e-3)  # float32


def test_a_block_is_scaled_and_reduced_by_itself_and_no_further_than_it_can_be():
    rows, labels, groups = side_by_side()
    options = {"pca": 100, "blocks": (5, 6)}
    model = fit_classifier(rows, labels, groups, classifier="linear", **options).model
    alone = [weighed(None).fit_transform(block) for block in (rows[:, :5], rows[:, 5:])]
    assert [np.var(block, axis=0).sum() for block in alone] == pytest.approx([1, 1])
    assert np.allclose(model[:-1].transform(rows), np.hstack(alone), atol=1e-4)
    few = fit_classifier(rows[:8], labels[:8], groups[:8], classifier="linear", **options).model
    assert few[:-1].transform(rows).shape == (N, 8)  # half of eight rows: four components of each
    groups = np.where(np.arange(N) < 64, "large", np.where(np.arange(N) < 68, "small", "other"))
    searched = fit_classifier(rows, labels, groups, classifier="svm", **options, **GRID)
    assert np.isfinite(searched.macro_f1)  # inner folds without the large group have few rows


def test_the_combination_is_tested_in_the_same_folds_as_each_file_alone(monkeypatch):
    blocks, labels, groups = two_files()
    splits = []
    monkeypatch.setattr(probes, "predict_fold", lambda *all: splits.append(all[-1]) or predict_fold(*all))
    probe = EVALUATIONS.parse({"name": "knn", "n_repeats": 2, "curve": [2]})
    scores = [probe(rows, labels, groups).scores["macro_f1"] for rows in blocks.values()]
    both = probe(np.hstack(list(blocks.values())), labels, groups, None, (5, 6))
    n = len(splits) // 3
    for one, *others in zip(splits[:n], splits[n : 2 * n], splits[2 * n :], strict=True):
        assert all(np.array_equal(one[side], other[side]) for side in (0, 1) for other in others)
    assert both.scores["macro_f1"] > 0.95 and max(scores) < 0.7


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_combiner_answers_for_new_samples_also_when_read_again_and_needs_no_trust(classifier, tmp_path):
    blocks, labels, _ = two_files(40, seed=1)
    combiner, file = fitted(classifier), tmp_path / "birds.skops"
    predicted, scores = combiner.predict({method: blocks[method] for method in reversed(blocks)})
    assert (predicted == labels).mean() > 0.95 and combiner.classes == KINDS.tolist()
    assert scores.shape == (40, 4) and scores.dtype == np.float32
    assert (KINDS[scores.argmax(axis=1)] == predicted).all()
    assert (classifier == "svm") or np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    combiner.save(file)
    for _ in range(2):  # what was read can be written
        again = Combiner.load(file)
        for one, other in zip(again.predict(blocks), (predicted, scores), strict=True):
            assert np.array_equal(one, other)
        assert get_untrusted_types(file=file) == [] and [*tmp_path.iterdir()] == [file]
        about = [(one.widths, one.chosen, one.macro_f1) for one in (again, combiner)]
        assert about[0] == about[1]
        again.save(file)


@pytest.mark.slow
def test_another_process_gives_identical_answers(tmp_path):
    blocks = two_files(40, seed=1)[0]
    np.savez(tmp_path / "blocks.npz", **blocks)
    combiners = {name: fitted(name) for name in ("forest", "svm")}
    for name, combiner in combiners.items():
        combiner.save(tmp_path / f"{name}.skops")
    program = (
        "import sys, numpy as np; from pathlib import Path; from saec.evaluation.combiner import Combiner\n"
        "folder = Path(sys.argv[1]); blocks = dict(np.load(folder / 'blocks.npz'))\n"
        "for name in ('forest', 'svm'):\n"
        "    np.save(folder / name, Combiner.load(folder / f'{name}.skops').predict(blocks)[1])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, env=environment)
    for name, combiner in combiners.items():
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), combiner.predict(blocks)[1])


def test_two_classes_have_a_score_each_and_rows_without_a_label_are_not_learnt_from():
    blocks, labels, groups = two_files()
    labels = np.where(labels == "crow", "crow", "other")
    options = {"classifier": "svm", "pca": 3, **GRID, "seed": 0}
    predicted, scores = Combiner.fit(blocks, labels, groups, **options).predict(blocks)
    assert np.allclose(scores[:, 0], -scores[:, 1])
    assert ((scores[:, 1] > 0) == (predicted == "other")).all()
    unknown = np.arange(N) % 3 == 0
    labelled = {method: rows[~unknown] for method, rows in blocks.items()}
    one = Combiner.fit(blocks, np.where(unknown, "", labels), groups, **options)
    other = Combiner.fit(labelled, labels[~unknown], groups[~unknown], **options)
    assert np.array_equal(one.predict(blocks)[1], other.predict(blocks)[1])


def changed(file: Path, change) -> Path:
    """The file with another schema, otherwise whole."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["schema.json"] = change(parts["schema.json"].decode()).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


def test_a_file_that_holds_other_types_or_trees_is_refused_before_anything_is_made(tmp_path):
    file = tmp_path / "birds.skops"
    fitted().save(file)

    def evil(schema: str) -> str:
        return schema.replace('"StandardScaler"', '"system"').replace('"sklearn.preprocessing._data"', '"os"')

    with pytest.raises(Fault, match=r"refused: it holds what no combiner has[^\n]*\n  os\.system"):
        Combiner.load(changed(file, evil))
    dump({"kind": "saec combiner 1", "model": fitted("forest").model}, file)  # trees that could be made up
    with pytest.raises(Fault, match=r"sklearn\.tree\._tree\.Tree"):
        Combiner.load(file)


def test_a_file_that_would_run_code_when_it_is_fitted_is_refused_and_nothing_is_read_or_written(tmp_path):
    """A pipeline with a memory takes what it has fitted before out of a pickle."""
    memory, marker, file = tmp_path / "memory", tmp_path / "marker", tmp_path / "evil.skops"
    combiner = fitted("knn")
    steps = [("scale", StandardScaler()), ("knn", KNeighborsClassifier(3))]
    evil = Pipeline(steps, memory=str(memory))
    content = {"kind": "saec combiner 1", "scikit-learn": sklearn.__version__, "chosen": {}, "macro_f1": None}
    content |= {"methods": list(combiner.widths), "widths": list(combiner.widths.values())}
    model = make_pipeline(combiner.model[:-1], clone(evil))
    dump(content | {"model": model, "learnt": list(combiner.training)}, file)
    evil.fit(*combiner.training)
    for pickled in memory.rglob("output.pkl"):
        pickled.write_bytes(pickle.dumps(Trap(marker)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Fault, match="evil.skops is refused: [^\n]*\n  Pipeline: memory"):
        Combiner.load(file)
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(TypeError):
        evil.fit(*combiner.training)  # the file was dangerous
    assert marker.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda svm: setattr(svm, "_dual_coef_", svm._dual_coef_[:1]), "do not fit each other"),
        (lambda svm: setattr(svm, "probability", True), "do not fit each other"),
        (lambda svm: setattr(svm, "_n_support", svm._n_support * -1), "do not fit each other"),
        (lambda svm: setattr(svm, "_gamma", "much"), "damaged"),
        (lambda svm: setattr(svm, "classes_", svm.classes_[:2]), "do not fit each other"),
    ],
)
def test_an_svm_that_could_read_outside_of_its_arrays_is_refused(change, words, tmp_path):
    combiner, file = fitted(), tmp_path / "birds.skops"
    change(combiner.model[-1])
    combiner.save(file)
    with pytest.raises(Fault, match=words):
        Combiner.load(file)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), PCA()),
        make_pipeline(StandardScaler(), make_pipeline(SVC())),
        make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
        KNeighborsClassifier(1),
    ],
)
def test_steps_that_no_combiner_has_are_refused(model, tmp_path):
    combiner, file = fitted("linear"), tmp_path / "birds.skops"
    rows, labels, _ = side_by_side()
    Combiner(combiner.widths, model.fit(rows, labels)).save(file)
    with pytest.raises(Fault, match="is damaged, or no combiner|it holds what no combiner has"):
        Combiner.load(file)


def test_a_damaged_or_foreign_file_is_refused_as_such(tmp_path):
    file = tmp_path / "birds.skops"
    fitted().save(file)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 255
    for content in (whole[: len(whole) // 2], bytes(flipped), pickle.dumps({"kind": "saec combiner 1"}), b""):
        file.write_bytes(content)
        with pytest.raises(Fault, match=r"birds.skops is damaged, or no combiner \(.*fit it again"):
            Combiner.load(file)
    dump(SVC(), file)
    with pytest.raises(Fault, match="does not say 'saec combiner 1'"):
        Combiner.load(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "no combiner")
    with pytest.raises(Fault, match="damaged, or no combiner"):
        Combiner.load(file)
    with pytest.raises(MissingFault, match="no such file"):
        Combiner.load(tmp_path / "nowhere.skops")


def test_methods_that_do_not_fit_are_a_damage_and_another_version_of_scikit_learn_a_warning(tmp_path, log):
    combiner, file = fitted(), tmp_path / "birds.skops"
    Combiner(combiner.widths | {"third": 2}, combiner.model).save(file)
    with pytest.raises(Fault, match="methods are not those of its classifier"):
        Combiner.load(file)
    combiner.save(file)
    Combiner.load(changed(file, lambda schema: schema.replace(sklearn.__version__, "1.5.0")))
    assert "fitted with scikit-learn 1.5.0" in log.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda blocks: {"halves": blocks["halves"]}, "parity: 6 features"),
        (lambda blocks: blocks | {"third": blocks["parity"]}, "third: an array of shape"),
        (lambda blocks: blocks | {"halves": blocks["halves"][:, :4]}, r"halves: 5 features(.|\n)*\(72, 4\)"),
        (lambda blocks: blocks | {"halves": blocks["halves"][:9]}, "halves: 9"),
        (lambda blocks: blocks | {"halves": blocks["halves"] * np.nan}, "finite numbers.*halves"),
        (lambda blocks: {}, "none"),
    ],
)
def test_features_that_it_was_not_fitted_on_are_refused_with_what_is_expected(change, message):
    with pytest.raises(Fault, match=message):
        fitted("knn").predict(change(two_files()[0]))


def test_labels_that_no_combiner_can_learn_are_refused():
    blocks, labels, groups = two_files()
    options = {"classifier": "knn", "pca": 3, **GRID, "seed": 0}
    with pytest.raises(Fault, match="two at least, got crow"):
        Combiner.fit(blocks, np.full(N, "crow"), groups, **options)
    with pytest.raises(Fault, match="72 rows of features need as many labels and groups, got 3 and 72"):
        Combiner.fit(blocks, labels[:3], groups, **options)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Config:
    """Two feature files of samples whose names say recording and kind."""
    config = workplace(tmp_path_factory.mktemp("combined"))
    blocks, labels, groups = two_files()
    names = [
        f"{group}_{n:03d}_{label}.wav" for n, (group, label) in enumerate(zip(groups, labels, strict=True))
    ]
    (config.data / "birds").mkdir(parents=True)
    layout = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    for method, rows in blocks.items():
        np.savez(config.data / "birds" / f"{method}.npz", X=rows.astype(np.float32), N=names, X_2D=layout)
    return config


def session(**changes) -> dict:
    plain = {
        "features": {"halves": "birds/halves.npz", "parity": "birds/parity.npz"},
        "labels": {"pattern": r"(?P<group>rec\d+)_\d+_(?P<label>\w+)\.wav"},
        "evaluations": [{"name": "svm"} | QUICK],
        "combine": COMBINE,
        "explorer": None,
        "table": None,
    }
    return plain | changes


@pytest.fixture(scope="module")
def report(project):
    probes = [{"name": name} | QUICK for name in ("svm", "knn")]
    return evaluate(session(evaluations=[*probes, {"name": "kmeans", "sweep": [], "resamples": 0}]), project)


def test_the_combination_is_scored_beside_each_file_and_beats_both(report):
    scores = report.scores[report.scores["score"] == "macro_f1"].set_index(["evaluation", "method"])["value"]
    for probe in ("svm", "knn"):
        assert scores[probe, "combined"] > 0.95 and max(scores[probe, m] for m in ("halves", "parity")) < 0.7
    clustered = report.scores[report.scores["evaluation"] == "kmeans"]
    assert set(clustered["method"]) == {"halves", "parity"}
    compared = pd.read_csv(report.folder / "comparisons.csv")
    assert len(compared) == 6 and (compared["other"] == "combined").sum() == 4
    assert (compared[compared["other"] == "combined"]["difference"] < -0.2).all()
    folds = pd.read_csv(report.folder / "folds.csv").set_index(["evaluation", "repeat", "fold"])
    for method in ("halves", "parity"):
        one, both = (folds[folds["method"] == name][["n_learnt", "n_asked"]] for name in (method, "combined"))
        assert one.equals(both)


def test_without_groups_the_report_tells_what_the_score_of_a_combiner_is_worth(project, report):
    """A pattern may name groups alone, beside labels from elsewhere."""
    names = np.load(project.data / "birds" / "halves.npz")["N"].tolist()
    table = pd.DataFrame({"file": names, "label": [name.split("_")[2].split(".")[0] for name in names]})
    table.to_csv(project.data / "birds" / "own.csv", index=False)
    results = {}
    for name, pattern in {"without": {}, "with": {"pattern": r"(?P<group>rec\d+)_"}}.items():
        labels = {"file": "birds/own.csv"} | pattern
        folder = evaluate(session(labels=labels, combine=COMBINE | {"use": ["halves"]}), project).folder
        about = json.loads((folder / "combiner_session.json").read_text(encoding="utf-8"))
        assert [one["method"] for one in about["methods"]] == ["halves"]  # one alone is allowed
        page = (folder / "report.html").read_text(encoding="utf-8")
        results[name] = "nothing of other places, days or individuals" in page, about["groups_are_given"]
    assert results == {"without": (True, False), "with": (False, True)}


def test_the_combiner_lies_in_the_report_with_what_it_was_made_of(report, project):
    about = json.loads((report.folder / "combiner_session.json").read_text(encoding="utf-8"))
    files = [str((project.data / "birds" / f"{method}.npz").absolute()) for method in ("halves", "parity")]
    assert [one["file"] for one in about["methods"]] == files
    assert [(one["method"], one["n_features"]) for one in about["methods"]] == [("halves", 5), ("parity", 6)]
    assert about["classes"] == KINDS.tolist() and about["n_labelled"] == N
    assert about["chosen"]["C"] in COMBINE["C"] and about["chosen"]["gamma"] in COMBINE["gamma"]
    scores = report.scores[(report.scores["score"] == "macro_f1") & (report.scores["method"] == "combined")]
    assert about["macro_f1"] == scores[scores["evaluation"] == "svm"]["value"].item()
    blocks, labels, _ = two_files(40, seed=1)
    combiner = Combiner.load(report.folder / "combiner_session.skops")
    assert (combiner.predict(blocks)[0] == labels).mean() > 0.95
    page = (report.folder / "report.html").read_text(encoding="utf-8")
    assert "combiner_session.skops" in page and "combiner_session.json" in page


def planned(project: Config, **changes):
    return plan_evaluation(load_session(session(**changes), EvaluationSession), project)


def test_single_files_are_searched_over_the_grid_of_the_combination(project):
    (svm,) = planned(project).sets["session"].evaluations
    assert (svm.C, svm.gamma, svm.class_weight) == ((1.0, 10.0), ("scale", 0.01), "balanced")
    assert planned(project, combine=None).sets["session"].evaluations[0].class_weight is None
    chosen = planned(project, evaluations=None).sets["session"].evaluations
    assert [one.C for one in chosen if one.name == "svm"] == [(1.0, 10.0)]
    plan = planned(project, evaluations=["kmeans"], combine={"classifier": "linear"})  # has no probe of it
    assert [one.name for one in plan.sets["session"].evaluations] == ["kmeans", "linear"]
    assert "session: combined: halves, parity together, linear" in plan.describe()


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        (
            {"combine": {"gamma": ["scale*2"]}},
            r"combine.gamma.0: input should be 'scale' or 'auto' or a valid number or text like '\^\[0",
        ),
        ({"features": {"halves": None}}, r"features.*got (None|null)|features.*valid"),
        ({"combine": {"use": ["halves", "partiy"]}}, "no method of set session: 'partiy'.*mean 'parity'"),
        ({"combine": {"name": "parity"}}, "'parity' is a method of set session already"),
        ({"combine": {"name": PIXELS}}, "is a method of set session already"),
        ({"labels": {"pattern": "(?P<label>rec)"}}, "combine: session: probes need labels of two classes"),
        ({"evaluations": [{"name": "svm", "C": [3]}]}, "`C` of an svm in `evaluations` is that of `combine`"),
        ({"features": None, "sounds": ["birds"]}, "combine: .*name `features`"),
        ({"combine": {"use": []}}, "combine.use: .*at least 1 item"),
        ({"combine": {"classifier": "smv"}}, "combine.classifier: .*'svm'"),
        ({"features": {"conv": [1]}}, r"features.0: must be a mapping of keys to values, got \[1\]"),
        ({"features": "birds/foo**bar"}, r"no file matches .*birds/foo\*\*bar"),
        ({"features": ""}, "a path is expected, got an empty text"),
        ({"combine": {"C": [0]}}, "combine.C.0: .*greater than 0"),
    ],
)
def test_a_combination_that_cannot_be_is_a_fault_at_planning(changes, output, project):
    with pytest.raises(SessionError, match=output):
        planned(project, evaluations=changes.pop("evaluations", ["kmeans"]), **changes)


def test_all_faults_of_a_combination_are_raised_at_once(project):
    changes = {"combine": {"use": ["a", "b"]}, "labels": {"pattern": "(?P<label>rec)"}}
    with pytest.raises(SessionError) as caught:
        planned(project, evaluations=["kmeans"], **changes)
    assert len(caught.value.faults) == 2


def test_other_parts_of_the_same_columns_are_another_combination(project):
    """So parts belong to what is remembered."""
    whole = np.hstack(list(two_files()[0].values())).astype(np.float32)
    names = np.load(project.data / "birds" / "halves.npz")["N"]
    for method, columns in {"one": slice(0, 7), "rest": slice(7, 11)}.items():
        np.savez(project.data / "birds" / f"{method}.npz", X=whole[:, columns], N=names)
    probe, combine = {"name": "linear"} | QUICK, {"pca": 1, "classifier": "linear"}
    result = []
    for methods in (("halves", "parity"), ("one", "rest")):
        files = {method: f"birds/{method}.npz" for method in methods}
        one = planned(project, evaluations=[probe], combine=combine, features=files).sets["session"]
        results = score_set(one, project.cache)
        result.append(results[-1].scores)
        given = (one.samples.labels, one.samples.groups, None)
        widths = tuple(table.rows.shape[1] for table in one.tables.values())
        again = EVALUATIONS.parse(probe | {"pca": 1})(whole, *given, widths)
        assert results[-1].method == "combined" and result[-1].scores == again.scores
    assert result[0].scores != result[1].scores


@pytest.mark.parametrize(
    "recipe",
    [{"run": "x"}, {"run": "x", "data": 1}, {"run": "x", "data": {"shape": 1}}, {"data": {}}, "run", [1]]
    + [{"combiner": "combiner.skops", "data": {"sounds": "x"}}],  # of itself, for ever
)
def test_a_recipe_that_is_none_is_refused(recipe, tmp_path):
    about = tmp_path / "combiner.json"
    about.write_text(json.dumps({"methods": [{"method": "a", "recipe": recipe}], "per": "sample"}))
    with pytest.raises(Fault, match="combiner.json does not say how its features were made"):
        _recipes(about)
