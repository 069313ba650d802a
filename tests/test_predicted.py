"""Predictions are scored by segment, by file and along time: by hand, by slow loops, and through a report."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.metrics import f1_score

from saec import figures
from saec.config import Config
from saec.evaluation.tracks import grid, predicted_track, score_classes, true_track
from saec.extraction.predictions import (
    Detections,
    _log_scores,
    detections_in,
    pooled_per_file,
    prediction_table,
)
from saec.faults import Fault
from saec.objectives.classification import macro_f1_of
from saec.report import EvaluationSession, evaluate, plan_evaluation
from saec.samples import FREQUENCIES, Samples, join, means_by, read_annotations, with_clock
from saec.session import SessionError, load_session
from saec.tables import texts_per_file

CLASSES = np.array(["crow", "tit", "wren"])


def slow_tracks(
    end_s: float, step_s: float, true: list, output: list[tuple[float, float, np.ndarray]]
) -> tuple[list[str], list[str]]:
    """Both tracks, point after point."""
    truth, answers = [], []
    k = 0
    while (point := k * step_s + step_s / 2) < end_s:
        labels = {label for start, end, label in true if start <= point < end and label}
        truth.append(labels.pop() if len(labels) == 1 else "")
        holding = [shares for start, end, shares in output if start <= point < end]
        mean = sum(holding) / len(holding) if holding else None
        answers.append("" if mean is None else str(CLASSES[max(range(3), key=lambda c: mean[c])]))
        k += 1
    return truth, answers


@pytest.mark.parametrize("seed", range(6))
def test_tracks_are_those_of_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    spans = np.sort(rng.integers(0, 60, (14, 2)) / 10, axis=1)  # some begin where others end, some are empty
    shares = rng.dirichlet(np.ones(3), 14)
    labels = rng.choice(["crow", "tit", ""], 14)
    step = float(rng.choice([0.05, 0.1, 0.13]))
    true = list(zip(*spans[:5].T, labels[:5], strict=True))
    truth, answers = slow_tracks(6.0, step, true, list(zip(*spans[5:].T, shares[5:], strict=True)))
    points = grid(6.0, step)
    assert true_track(points, *spans[:5].T, labels[:5])[0].tolist() == truth
    assert predicted_track(points, *spans[5:].T, shares[5:], CLASSES).tolist() == answers


def test_a_point_belongs_to_the_segment_that_starts_there_and_two_labels_at_once_are_doubtful():
    assert grid(0.4, 0.1) == pytest.approx([0.05, 0.15, 0.25, 0.35])
    assert len(grid(0.34, 0.1)) == 3 and len(grid(0.0, 0.1)) == 0
    points = np.array([0.0, 0.5, 1.0, 1.5])
    for starts, ends, labels, expected, n_doubtful in (
        ([0.5, 1.0], [1.0, 1.5], ["a", "b"], ["", "a", "b", ""], 0),
        ([0.0, 0.5, 0.5], [1.0, 1.5, 1.5], ["a", "b", "b"], ["a", "", "b", ""], 1),
        ([0.0, 0.5, 0.5], [1.0, 1.5, 1.5], ["a", "a", ""], ["a", "a", "a", ""], 0),
    ):
        track, n = true_track(points, np.array(starts), np.array(ends), np.array(labels))
        assert (track.tolist(), n) == (expected, n_doubtful)


def test_the_mean_of_overlapping_segments_decides_not_the_last_or_the_most():
    starts, ends = np.array([0.0, 0.5, 0.5]), np.array([1.0, 1.5, 1.5])
    shares = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.35, 0.65, 0.0]])
    output = predicted_track(np.array([0.25, 0.75, 1.25, 1.75]), starts, ends, shares, CLASSES)
    assert output.tolist() == ["crow", "tit", "tit", ""]  # (0.9 + 0.2 + 0.35) / 3 < 0.5
    shares[0, :2] = 1.0, 0.0
    output = predicted_track(np.array([0.75]), starts, ends, shares, CLASSES)
    assert output.tolist() == ["crow"]


def test_scores_are_those_by_hand():
    result = score_classes(np.array(list("aaabc")), np.array(list("aabba")))
    assert result.scores == pytest.approx({"accuracy": 3 / 5, "macro_f1": 4 / 9, "weighted_f1": 8 / 15})
    assert result.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 0]] and result.n == 5
    a, b, c = result.classes
    assert (a["precision"], a["recall"], a["n"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert (b["precision"], b["recall"], c["f1"]) == (0.5, 1.0, 0.0)


def test_classes_without_labels_change_no_macro_f1_and_warn_nobody():
    labels, answers = np.array(["a", "b", "c", "d"]), np.array(["a", "x", "y", ""])  # all but one new
    scored = score_classes(labels, answers)
    by_library = f1_score(labels, answers, labels=list("abcd"), average="macro", zero_division=0)
    assert scored.scores["macro_f1"] == 0.25 == by_library
    assert scored.names.tolist() == ["", "a", "b", "c", "d", "x", "y"] and scored.confusion.sum() == 4
    assert score_classes(np.array(["a"]), np.array(["a"])).scores["accuracy"] == 1


def test_a_file_is_the_mean_of_its_segments_however_they_lie():
    rng = np.random.default_rng(0)
    files, shares = rng.choice(["b", "a", "c"], 30), rng.dirichlet(np.ones(3), 30)
    names, means = means_by(files, shares)
    assert names.tolist() == ["a", "b", "c"]
    for name, mean in zip(names, means, strict=True):
        chosen = [row for file, row in zip(files, shares, strict=True) if file == name]
        assert mean == pytest.approx(sum(chosen) / len(chosen))


def test_tracks_are_drawn_in_the_colours_of_their_classes_the_truth_above(tmp_path):
    one = (np.array(["crow"] * 30 + [""] * 10), np.array(["tit"] * 20 + ["crow"] * 20))
    figures.tracks(tmp_path / "tracks.png", {"$_a.wav": one, "b.wav": one[::-1]}, 0.1, "tracks")
    with Image.open(tmp_path / "tracks.png") as figure:
        pixels = np.asarray(figure.convert("RGB")).astype(int)
    crow, tit = (np.abs(pixels - 255 * np.array(to_rgb(figures.colour(n)))).max(2) < 3 for n in (0, 1))
    bars = slice(0, 900)  # the legend stands right of it
    rows = np.flatnonzero(tit[:, bars].sum(1) > 200)
    first_row = np.flatnonzero(crow[:, bars].sum(1) > 200)[0]
    assert first_row < rows[0]  # of the first file what is true lies above
    assert crow[first_row + 3, bars].sum() == pytest.approx(1.5 * tit[rows[0] + 3, bars].sum(), rel=0.05)
    assert crow[:, 950:].any() and tit[:, 950:].any()


def segments() -> pd.DataFrame:
    """Six segments of a second of a.wav, crow crow tit tit crow tit, then one of b.wav; two have a box."""
    names = [f"r/a_segm_{second:08.3f}.wav" for second in range(6)] + ["s/b.wav"]
    boxes = [("100", "2000.5"), ("50", "300"), *[("", "")] * 5]
    samples = Samples.of(
        names,
        file=["r/a.wav"] * 6 + ["s/b.wav"],
        start_s=[*range(6), 0],
        end_s=[*range(1, 7), 1],
        **dict(zip(FREQUENCIES, zip(*boxes, strict=True), strict=True)),
    )
    crow = np.array([0.9, 0.8, 0.3, 0.4, 0.95, 0.45, 0.45])
    return prediction_table(samples, np.column_stack([crow, 1 - crow]), ("crow", "tit"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["a 0 2 crow 0.9", "a 2 4 tit 0.7", "a 4 5 crow 0.95", "a 5 6 tit 0.55", "b 0 1 tit 0.55"]),
        ({"threshold": 0.7, "background": "tit"}, ["a 0 2 crow 0.9", "a 4 5 crow 0.95"]),
        ({"background": ["tit"], "merge_s": 2}, ["a 0 5 crow 0.95"]),
        ({"merge_s": None, "background": "tit"}, ["a 0 1 crow 0.9", "a 1 2 crow 0.8", "a 4 5 crow 0.95"]),
        ({"threshold": 1}, []),
    ],
)
def test_detections_are_what_is_likely_and_no_background_brought_together_where_it_is_near(options, expected):
    rows = detections_in(segments(), Detections(**options))
    rows["file"] = rows["file"].str[2]
    got = [
        f"{file} {start:g} {end:g} {label} {score:g}" for file, start, end, label, score in rows.values[:, :5]
    ]
    assert got == expected
    if options == {}:
        assert rows[FREQUENCIES].values.tolist()[0] == [50, 2000.5] and rows["segments"].tolist()[0] == 2


@pytest.mark.parametrize("form", ["raven", "audacity"])
def test_tables_of_detections_are_read_back_as_they_were_written(form, tmp_path):
    rows = detections_in(segments(), Detections()).replace({"label": {"tit": 'tit\tor #1 "x"'}})
    texts = texts_per_file(rows, form, (0, 8000.5))
    assert list(texts) == ["r/a.wav", "s/b.wav"]
    for file, text in texts.items():
        (tmp_path / "table.txt").write_text(text, encoding="utf-8")
        again = read_annotations(tmp_path / "table.txt", required=("start", "end", "label"))
        before = rows[rows["file"] == file]
        assert again[["start_s", "end_s"]].to_numpy().tolist() == before[["start", "end"]].to_numpy().tolist()
        assert again["label"].tolist() == [label.replace("\t", " ") for label in before["label"]]
        assert set(again["file"]) == {file[2:] if form == "raven" else ""}
    again = texts["r/a.wav"].splitlines()[1]
    assert (
        again.split("\t")[5:7] == ["50", "2000.5"]
        if form == "raven"
        else again == "\\\t50.000000\t2000.500000"
    )
    for band in ((0, 8000.5), None):
        (tmp_path / "table.txt").write_text(texts_per_file(rows, form, band)["s/b.wav"], encoding="utf-8")
        again = read_annotations(tmp_path / "table.txt", required=("start", "end", "label"))
        boxes = [[float(cell) for cell in cells if cell] for cells in again[FREQUENCIES].to_numpy()]
        assert boxes == [list(band or ())]  # nothing where nothing says it


@pytest.fixture
def project(config: Config) -> Config:
    """Predictions of four recordings in pieces of a second; one is right by its means alone."""
    config.data.mkdir(parents=True)
    predictions().to_csv(config.data / "predictions.csv", index=False)
    return config


def predictions() -> pd.DataFrame:
    output = {
        "crow/one.wav": ("crow", [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.5, 0.4]]),
        "tit/two.wav": ("tit", [[0.1, 0.8, 0.1], [0.2, 0.7, 0.1]]),
        "wren/three.wav": ("wren", [[0.5, 0.1, 0.4], [0.1, 0.5, 0.4]]),  # by its means a wren
        "wren/four.wav": ("", [[0.3, 0.3, 0.4]]),
    }
    rows = [
        {"file": file, "start": number, "end": number + 1, "label": label}
        | {"predicted": CLASSES[int(np.argmax(shares))]}
        | {f"p {name}": share for name, share in zip(CLASSES, shares, strict=True)}
        for file, (label, pieces) in output.items()
        for number, shares in enumerate(pieces)
    ]
    return pd.DataFrame(rows)


def evaluated(project: Config, table: pd.DataFrame | None = None, **changes) -> tuple[Path, str]:
    """The report's folder and all its remarks, on these predictions."""
    if table is not None:
        table.to_csv(project.data / "predictions.csv", index=False)
    report = evaluate({"predictions": {"file": "predictions.csv"} | changes}, project)
    about = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    return report.folder, "\n".join(remark for one in about["sections"] for remark in one["remarks"])


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "predicted_scores.csv").set_index("by")


def test_segments_and_files_are_scored_and_written(project):
    folder, output = evaluated(project)
    result = scores(folder)
    assert result.loc["segments", ["n", "accuracy"]].tolist() == [7, pytest.approx(4 / 7)]
    assert result.loc["files", ["n", "accuracy", "macro_f1", "weighted_f1"]].tolist() == [3, 1, 1, 1]
    assert "1 of 8 predictions have no label and are left out" in output and "never learnt" not in output
    files = pd.read_csv(folder / "predicted_files.csv", keep_default_na=False).set_index("file")
    assert files.loc["wren/three.wav", ["label", "predicted", "segments"]].tolist() == ["wren", "wren", 2]
    assert files.loc["wren/four.wav", ["label", "predicted"]].tolist() == ["", "wren"]
    assert files.loc["wren/three.wav", ["p crow", "p wren"]].tolist() == pytest.approx([0.3, 0.4])
    confusion = pd.read_csv(folder / "predicted_confusion_segments.csv").set_index("true")
    assert confusion.loc["wren"].to_dict() == {"crow": 1, "tit": 1, "wren": 0}
    classes = pd.read_csv(folder / "predicted_classes.csv").set_index(["by", "class"])
    assert classes.loc[("segments", "crow"), ["precision", "recall"]].tolist() == pytest.approx([2 / 3] * 2)
    assert len(pd.read_csv(folder / "predicted_segments.csv")) == 8
    assert {"predicted_confusion_files.png", "predicted_confusion_segments.png"} <= set(names_in(folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Predictions of predictions.csv" in page and "predicted_scores.csv" in page


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def test_pictures_have_no_times_and_are_scored_once(project):
    folder, output = evaluated(project, predictions().assign(start="", end="").drop_duplicates("file"))
    assert scores(folder).index.tolist() == ["segments"] and "predicted_files.csv" not in names_in(folder)
    assert "each file has one prediction: what holds of segments holds of files" in output


def test_classes_that_were_never_learnt_are_named_and_count_as_wrong(project):
    folder, output = evaluated(project, predictions().replace({"label": {"tit": "owl"}}))
    assert "1 class of the labels was never learnt" in output and "owl: 2 predictions" in output
    assert "counts as wrong" in output and scores(folder).loc["files", "accuracy"] == pytest.approx(2 / 3)


def test_what_was_learnt_from_is_remarked_on_and_scored_apart(project):
    folder, output = evaluated(project, predictions().assign(split=["train"] * 3 + ["test"] * 4 + [""]))
    assert "3 of 7 predictions with a label are of the split train, which was learnt from" in output
    result = scores(folder)
    assert result.loc["segments of test", ["n", "accuracy"]].tolist() == [4, 0.5]
    assert result.loc["segments of train", "accuracy"] == pytest.approx(2 / 3)
    assert result.loc[["segments", "files", "files of test"], "n"].tolist() == [7, 3, 2] and len(result) == 6
    about = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    first = "Of 4 segments that were not learnt from, 50.0% are predicted right: macro-F1"
    assert about["findings"][0].startswith(first)
    assert about["findings"][-1].endswith("are of the split train, which was learnt from.")
    (project.data / "truth.csv").write_text("file,start,end,label\ncrow/one.wav,0,1,crow\ntwo.wav,0,1,tit\n")
    folder, _ = evaluated(project, truth="truth.csv", grid_s=0.5)
    words = "1 files that are scored along time were learnt from"
    assert words in (folder / "report.html").read_text(encoding="utf-8")


def test_predictions_have_time_and_site_where_names_say_them():
    names = [f"A_20240501_053000_segm_{start}.000.png" for start in ("0012", "0013")]
    samples = Samples.of(names, file="A_20240501_053000.wav", start_s=[12, 13], end_s=[13, 14])
    table = prediction_table(samples, np.ones((2, 1)), ("a",))
    time = "Begin Clock Time"
    assert list(table.columns) == ["file", "start", "end", time, "site", "predicted", "p a"]
    assert table[time].tolist() == ["2024-05-01T05:30:12", "2024-05-01T05:30:13"]
    (row,) = pooled_per_file(table)[[time, "site"]].to_numpy().tolist()
    assert row == ["2024-05-01T05:30:12", "A"]


def test_times_of_predictions_are_read_back_as_they_are_and_counted(project):
    """Also those of a table of labels, whose columns called like classes are no probabilities."""
    columns = {"file": "b.wav", "start_s": [0, 10], "end_s": [10, 20], "label": ["crow", "tit"]}
    columns |= {"time": "2024-05-01T05:59:55", "site": "pond", "p value": [0.1, 0.2]}
    samples = Samples.of(["b_segm_00.000.wav", "b_segm_10.000.wav"], **columns)
    table = prediction_table(samples, np.eye(2, dtype=np.float32), ("crow", "tit"))
    for labels, of_file in ((["crow", "tit"], ""), (["crow", ""], "crow")):
        assert pooled_per_file(table.assign(label=labels))["label"].tolist() == [of_file]
    assert table["Begin Clock Time"].tolist() == ["2024-05-01T05:59:55", "2024-05-01T06:00:05"]
    folder, _ = evaluated(project, table)
    bare = samples.but(time="", site="", label="")
    labels = read_annotations(project.data / "predictions.csv")
    again, _ = with_clock(join(bare, labels, "predictions.csv")[0])
    assert again.table["time"].tolist() == table["Begin Clock Time"].tolist()
    counts = pd.read_csv(folder / "times_predicted.csv", keep_default_na=False).astype(str)
    assert ["", "all", "hour", "6", "1"] in counts.to_numpy().tolist()
    assert ["predicted", "tit", "site", "pond", "1"] in counts.to_numpy().tolist()
    folder, _ = evaluated(project, table, labels={"clock": "UTC", "shown_in": "Asia/Tokyo"})
    counts = pd.read_csv(folder / "times_predicted.csv", keep_default_na=False).astype(str)
    assert ["", "all", "hour", "15", "1"] in counts.to_numpy().tolist()
    assert "(time of Asia/Tokyo)" in (folder / "report.html").read_text(encoding="utf-8")


def test_what_an_extraction_writes_is_read(project):
    """Pictures of several files, and the pooled table beside it."""
    samples = Samples.of(["one.png", "three.png", "two.png"], label=["crow", "", "tit"])
    table = prediction_table(samples, np.eye(3, dtype=np.float32) * 0.7 + 0.1, tuple(CLASSES.tolist()))
    for written in (table, pooled_per_file(table)):
        folder, _ = evaluated(project, written)
        assert scores(folder).loc["segments", ["n", "accuracy"]].tolist() == [2, 0.5]
    for name in ("predictions_1_a.csv", "predictions_files_1_a.csv"):  # a pattern of both means the first
        table.to_csv(project.data / name, index=False)
    folder, _ = evaluated(project, file="predictions_*_a.csv")
    assert "Predictions of predictions_1_a.csv" in (folder / "report.html").read_text(encoding="utf-8")


def test_labels_come_from_a_table_by_path_or_by_name_or_from_a_pattern(project):
    (project.data / "labels.csv").write_text(
        "recording,species\none.wav,crow\n.\\tit\\two.wav,crow\nwren/three.wav,\nfive.wav,tit\n"
    )
    columns = {"file": "recording", "label": "species"}
    folder, output = evaluated(project, labels={"file": "labels.csv", "columns": columns})
    assert scores(folder)["n"].to_dict() == {"segments": 5, "files": 2}
    assert scores(folder).loc["files", "accuracy"] == 0.5 and "1 labels of" in output and "five.wav" in output
    folder, _ = evaluated(project, labels={"pattern": "^(?P<label>[a-z]+)/"})
    assert scores(folder)["n"].to_dict() == {"segments": 8, "files": 4}


def test_a_file_with_segments_of_several_labels_is_scored_by_segments_alone(project):
    folder, output = evaluated(project, changed(0, "label", "tit"))
    assert "crow/one.wav: crow, tit" in output
    assert scores(folder)["n"].to_dict() == {"segments": 7, "files": 2}


def test_a_truth_in_time_is_compared_point_by_point(project):
    (project.data / "truth.csv").write_text(
        "file,start,end,label\ncrow/one.wav,0,1.5,crow\ncrow/one.wav,2,2.5,owl\n"
        "crow/one.wav,3.5,4,crow\ntwo.wav,0.25,0.75,tit\nsix.wav,0,1,tit\n"
    )
    folder, output = evaluated(project, truth="truth.csv", grid_s=0.5)
    tracks = pd.read_csv(folder / "predicted_tracks.csv", keep_default_na=False)
    one = tracks[tracks["file"] == "crow/one.wav"]
    assert one["time_s"].tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75]
    assert one["truth"].tolist() == ["crow"] * 3 + ["", "owl", "", "", "crow"]
    assert one["predicted"].tolist() == ["crow"] * 4 + ["tit"] * 2 + [""] * 2
    result = scores(folder).loc["time"]
    assert (result["n"], result["accuracy"]) == (
        6,
        pytest.approx(4 / 6),
    )  # owl is unknown, one point uncovered
    classes = pd.read_csv(folder / "predicted_classes.csv").query("by == 'time'").set_index("class")
    assert classes["recall"].to_dict() == {"crow": 0.75, "owl": 0, "tit": 1}
    assert classes["precision"].to_dict() == {"crow": 1, "owl": 0, "tit": 0.5}
    assert result["macro_f1"] == pytest.approx((2 * 0.75 / 1.75 + 0 + 2 / 3) / 3)
    for words in (
        "3.0 s of 4.5 s have a truth and are judged, every 0.5 s",
        "0.5 s that are judged lie in no predicted segment and count as wrong",
        "1 labels of",
        "truth.csv are of none of the files of the predictions:\n  six.wav",
        "2 files have no truth in time",
        "owl: 1 points of the grid",
    ):
        assert words in output, output
    assert "predicted_tracks.png" in names_in(folder)


@pytest.mark.parametrize(
    "text", ["start,end,label\n0,1,crow\n", "start\tend\tlabel\n0\t1\tcrow\n", "0.0\t1.0\tcrow\n"]
)
def test_a_truth_of_one_recording_needs_no_column_of_files_and_with_tabs_no_header(project, text):
    predictions()[:3].drop(columns="label").to_csv(project.data / "predictions.csv", index=False)
    (project.data / "truth.txt").write_text(text)
    wanted = {"predictions": {"file": "predictions.csv", "truth": "truth.txt"}}
    tracks = plan_evaluation(load_session(wanted, EvaluationSession), project).sections["predictions"].tracks
    assert tracks["file"].tolist() == ["crow/one.wav"] * 10 and tracks["truth"].tolist() == ["crow"] * 10


def test_words_of_others_are_words_on_the_page(project):
    strange = "<script>alert(1)</script>"
    table = predictions().replace({"label": {"tit": strange}, "predicted": {"tit": strange}})
    table = table.rename(columns={"p tit": f"p {strange}"}).assign(file=lambda t: "<b>" + t["file"])
    (project.data / "truth.csv").write_text(
        f"file,start,end,label\n<b>tit/two.wav,0,1,{strange}\n<i>,0,1,<u>\n"
    )
    folder, _ = evaluated(project, table, truth="truth.csv")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page and "&lt;i&gt;" in page
    assert not [tag for tag in ("<script", "<b>", "<i>", "<u>") if tag in page]


def changed(rows: int | list[int], columns: str | list[str], values: object) -> pd.DataFrame:
    """The predictions with other cells."""
    table = predictions().astype({"p crow": object, "start": object, "end": object})
    table.loc[rows, columns] = values
    return table


DATA = predictions()
BAD_PREDICTIONS = [
    (DATA.drop(columns="predicted"), "needs the columns file,start,end.*it lacks predicted: name"),
    (DATA[["file", "start", "end", "predicted"]], "it lacks p <class>: name"),
    (
        changed([0, 3], "p crow", ["much", None]),
        "2 rows are not right.*line 2: 'p crow' must be .* got 'much'.*line 5.*got nothing",
    ),
    (changed(0, "p crow", np.inf), "line 2: 'p crow' must be a finite number, got 'inf'"),
    (changed(1, ["start", "end"], [2.5, 1]), "line 3: must end after it starts, got start 2.5 and end 1"),
    (changed(0, "end", None), "line 2: needs start and end, or neither of them"),
    (changed([0, 1], "predicted", "owl"), "a class that has a column `p <class>`, got 'owl'"),
    (changed([3, 4], "file", ""), "2 rows are not right.*line 5: names no file"),
    (DATA.drop(columns="label"), "no labels in a column `label`, and neither `labels` nor `truth`"),
    (DATA[:0], "has no rows"),
]


@pytest.mark.parametrize(("table", "words"), BAD_PREDICTIONS)
def test_a_table_that_is_not_right_is_refused_with_its_lines(project, table, words):
    with pytest.raises(Fault, match=f"(?s)predictions.*{words}"):
        evaluated(project, table)
    assert not (project.data / "reports").exists()


HEAD = "file,start,end,label\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "seven.wav,0,1,tit\n", "none of the 4 files .* 'seven.wav' there, 'crow/one.wav'"),
        (HEAD + "two.wav,2,1,tit\n", "line 2: must end after it starts, got start 2 and end 1"),
        (HEAD + ",0,1,tit\n", "line 2: names no file"),
        (HEAD, "has no row"),
        ("start\tstop\tlabel\n0\t1\ttit\n", "needs the columns start,end,label.* it lacks end"),
        ("start,end,label\n0,1,tit\n", "has no column `file`, and there are 4 files of the predictions"),
        (HEAD + "two.wav,0,0.01,tit\n", "no point of a grid of 0.1 s .* choose a smaller grid_s"),
        (HEAD + "two.wav,0,1e7,tit\n", "has 100,000,000 points .* choose a larger grid_s"),
    ],
)
def test_a_truth_that_cannot_be_used_is_refused_before_any_work(project, text, words):
    (project.data / "truth.csv").write_text(text)
    with pytest.raises(Fault, match=f"(?s)predictions.truth: .*{words}"):
        evaluated(project, truth="truth.csv")
    assert not (project.data / "reports").exists()


def test_a_truth_needs_the_times_of_predictions(project):
    (project.data / "truth.csv").write_text("file,start,end,label\ntwo.wav,0,1,tit\n")
    with pytest.raises(Fault, match="needs start and end of every row"):
        evaluated(project, predictions().assign(start="", end=""), truth="truth.csv")


def test_all_faults_are_raised_at_once_and_the_plan_describes_what_is_scored(project):
    (project.data / "labels.csv").write_text("file,species\na,b\n")
    with pytest.raises(SessionError) as caught:
        evaluated(project, file="gone.csv", labels="labels.csv", truth="none.csv")
    keys = [fault.split(":")[0] for fault in caught.value.faults]
    assert keys == ["predictions.file", "predictions.labels", "predictions.truth"]
    (project.data / "labels.csv").write_text("file,label\na,b\n")
    for changes, words in (
        ({"labels": "labels.csv"}, "labels.csv labels none of the 4 files of the predictions: 'a' there"),
        ({"labels": {"folders": "crow"}}, "come from a table .*or from a `pattern`"),
        ({"grid_s": 0}, "predictions.grid_s"),
    ):
        with pytest.raises(Fault, match=words):
            evaluated(project, **changes)
    session = load_session({"predictions": "predictions.csv"}, EvaluationSession)
    plan = plan_evaluation(session, project).describe()
    assert "predictions.csv: 8 predictions of 4 files and 3 classes, 7 with labels" in plan


def test_labels_that_are_no_class_of_the_model_give_no_score(project):
    """As folders do that are called by sites."""
    sites = {"crow": "site0", "tit": "site1", "wren": ""}
    folder, output = evaluated(project, predictions().replace({"label": sites}))
    assert "no label of files is a class of the model: there is no score" in output
    assert not {"predicted_scores.csv", "predicted_confusion_files.png"} & {*names_in(folder)}
    assert "predicted_segments.csv" in names_in(folder)


def test_there_is_one_macro_f1(caplog):
    """The log of an extraction, a report and a training give the same, classes without labels left out."""
    confusion = torch.tensor([[2, 1, 1], [0, 1, 0], [0, 0, 0]])
    pairs = np.meshgrid(CLASSES, CLASSES, indexing="ij")
    true, answers = (np.repeat(names, confusion.flatten()) for names in pairs)
    expected = score_classes(true, answers).scores["macro_f1"]
    assert expected == pytest.approx((2 / 3 + 2 / 3) / 2) == macro_f1_of(confusion)
    caplog.set_level("INFO")
    shares = {f"p {name}": 0.0 for name in CLASSES}
    _log_scores(pd.DataFrame({"file": range(5), "label": true, "predicted": answers, **shares}))
    assert f"macro-F1 {expected:.3f}" in caplog.text
