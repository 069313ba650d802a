"""The section on predictions: judged segment by segment, file by file, and along time."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec import figures
from saec.evaluation.folds import TRAIN
from saec.evaluation.tracks import (
    NO_LABEL,
    ClassScores,
    labels_by_file,
    predicted_track,
    score_classes,
    true_track,
)
from saec.extraction.predictions import PROBABILITY
from saec.faults import listing
from saec.report.predictions import Predicted
from saec.report.section import Section
from saec.report.truth import points_of
from saec.tables import means_by, write_table

SEGMENTS, FILES, TIME = "segments", "files", "time"


def predicted_section(predicted: Predicted, folder: Path) -> Section:
    """Tables, figures and files called `predicted_*` go into the folder."""
    section = Section(f"Predictions of {predicted.source.name}", list(predicted.remarks))
    tables = _labelled(predicted, section, folder) if (predicted.labels != "").any() else {}
    found = {what: _classified(table) for what, table in tables.items()}
    if predicted.truth:
        found[TIME] = judged_along_time(predicted, section, folder)
    for what, one in found.items():
        _draw_confusion(what, one, section, folder)
    _write_scores(found | _by_split(tables, section), section, folder)
    return section


def _labelled(predicted: Predicted, section: Section, folder: Path) -> dict[str, pd.DataFrame]:
    """Segments with a label, and files with one: file, label, split, predicted."""
    told = predicted.labels != ""
    if not told.all():
        section.remarks.append(
            f"{(~told).sum():,} of {len(told):,} predictions have no label and are left out"
        )
    section.remarks += predicted.unlearnt(predicted.labels, "predictions")
    times = {"start": predicted.starts, "end": predicted.ends}
    known = {"label": predicted.labels, "split": predicted.splits, "predicted": predicted.answers}
    segments = pd.DataFrame({"file": predicted.files} | times | known)
    _write(
        "predicted_segments",
        segments,
        "one row a prediction: its label, and what was predicted",
        section,
        folder,
    )
    tables = {SEGMENTS: segments}
    if len(np.unique(predicted.files)) == len(predicted.files):
        section.remarks.append("each file has one prediction: what holds of segments holds of files")
    else:
        tables[FILES] = _file_table(predicted, section)
        what = "one row a file: its label, what was predicted, and mean probabilities"
        _write("predicted_files", tables[FILES], what, section, folder)
    labelled = {what: table[table["label"] != ""] for what, table in tables.items()}
    return {what: table for what, table in labelled.items() if len(table)}


def _file_table(predicted: Predicted, section: Section) -> pd.DataFrame:
    """file, label, split, predicted, segments, and the mean probability of each class."""
    names, means = means_by(predicted.files, predicted.probabilities)
    labels = labels_by_file(predicted.files, predicted.labels)
    several = [f"{name}: {', '.join(sorted(of))}" for name, of in labels.items() if len(of) > 1]
    if several:
        section.remarks.append(
            f"{len(several):,} files have segments of several labels and are judged by segments alone:\n"
            f"{listing(several, 5)}"
        )
    facts = {
        "file": names,
        "label": _only(labels),
        "split": _only(labels_by_file(predicted.files, predicted.splits)),
        "predicted": predicted.classes[means.argmax(1)],
        "segments": np.unique(predicted.files, return_counts=True)[1],
    }
    shares = pd.DataFrame(means, columns=[f"{PROBABILITY}{one}" for one in predicted.classes])
    return pd.concat([pd.DataFrame(facts), shares], axis=1)


def _only(words: dict[str, set[str]]) -> list[str]:
    return [next(iter(of)) if len(of) == 1 else "" for of in words.values()]


def _classified(table: pd.DataFrame) -> ClassScores:
    return score_classes(*(np.array(table[column], dtype=str) for column in ("label", "predicted")))


def _by_split(tables: dict[str, pd.DataFrame], section: Section) -> dict[str, ClassScores]:
    """Each split alone, where there are several; what was learnt from is said."""
    if SEGMENTS in tables:
        splits = tables[SEGMENTS]["split"]
        n_learnt = int((splits == TRAIN).sum())
        if n_learnt:
            section.remarks.append(
                f"{n_learnt:,} of {len(splits):,} predictions with a label are of the split {TRAIN}, which "
                "was learnt from: their scores are too good, look at those of other splits"
            )
    return {
        f"{what} of {split or 'no split'}": _classified(part)
        for what, table in tables.items()
        if table["split"].nunique() > 1
        for split, part in table.groupby("split")
    }


def _draw_confusion(what: str, one: ClassScores, section: Section, folder: Path) -> None:
    name, title = f"predicted_confusion_{what}", f"Confusion by {what}"
    figures.confusion(folder / f"{name}.png", one.confusion, one.names.tolist(), title)
    section.drawn(folder, f"{name}.png", f"{title}: rows are what is true, columns what was predicted")
    table = pd.DataFrame(one.confusion, columns=one.names.tolist())
    table.insert(0, "true", one.names, allow_duplicates=True)
    _write(name, table, f"counts by {what}: true classes down, predicted ones across", section, folder)
    section.tables[f"Classes, by {what}"] = pd.DataFrame(one.classes)


def _write_scores(found: dict[str, ClassScores], section: Section, folder: Path) -> None:
    scores = pd.DataFrame([{"by": what, "n": one.n} | one.scores for what, one in found.items()])
    _write("predicted_scores", scores, "accuracy, macro-F1 and weighted F1", section, folder)
    classes = pd.DataFrame([{"by": what} | row for what, one in found.items() for row in one.classes])
    _write("predicted_classes", classes, "precision, recall and F1 of each class", section, folder)
    section.tables = {"Scores of predictions": scores} | section.tables


def _write(name: str, table: pd.DataFrame, what: str, section: Section, folder: Path) -> None:
    write_table(folder / f"{name}.csv", table)
    section.files[f"{name}.csv"] = what


N_TRACKS = 12  # files whose tracks are drawn
UNSAID = "(none)"  # what a point has in the confusion where nothing was predicted


def judged_along_time(predicted: Predicted, section: Section, folder: Path) -> ClassScores:
    """All points of all files together; those without a true label are left out, what is unsaid is wrong."""
    table, n_doubtful = _tracks(predicted)
    judged = table[table["truth"] != NO_LABEL]
    section.remarks += _remarks(table, judged, n_doubtful, predicted)
    by_file = _file_scores(judged, predicted.grid_s)
    section.tables["Along time, by file"] = by_file
    for name, written, what in (
        ("predicted_tracks.csv", table, "one row a point of the grid: truth and prediction"),
        ("predicted_time.csv", by_file, "seconds that are judged and their accuracy, by file"),
    ):
        write_table(folder / name, written)
        section.files[name] = what
    _draw(table, predicted, section, folder)
    said = judged["predicted"].replace(NO_LABEL, UNSAID)
    return score_classes(np.array(judged["truth"], dtype=str), np.array(said, dtype=str))


def _tracks(predicted: Predicted) -> tuple[pd.DataFrame, int]:
    """file, time_s, truth, predicted, one row a point of the grid; and how many points are doubtful."""
    rows_of = pd.Series(predicted.files).groupby(predicted.files).indices
    tables, n_doubtful = [], 0
    for file, truth in predicted.truth.items():
        rows, points = rows_of[file], points_of(truth, predicted.grid_s)
        true, doubtful = true_track(points, *truth)
        spans = (predicted.starts[rows], predicted.ends[rows], predicted.probabilities[rows])
        said = predicted_track(points, *spans, predicted.classes)
        tables.append(pd.DataFrame({"file": file, "time_s": points, "truth": true, "predicted": said}))
        n_doubtful += doubtful
    return pd.concat(tables, ignore_index=True), n_doubtful


def _remarks(table: pd.DataFrame, judged: pd.DataFrame, n_doubtful: int, predicted: Predicted) -> list[str]:
    """What of the time is judged, and what is not."""
    step = predicted.grid_s
    remarks = [
        f"{len(judged) * step:,.1f} s of {len(table) * step:,.1f} s have a truth and are judged, every "
        f"{step:g} s"
    ]
    if n_doubtful:
        remarks.append(f"{n_doubtful * step:,.1f} s lie in segments of different labels and are left out")
    n_unsaid = int((judged["predicted"] == NO_LABEL).sum())
    if n_unsaid:
        said = f"{n_unsaid * step:,.1f} s that are judged lie in no predicted segment and count as wrong"
        remarks.append(said)
    without = np.setdiff1d(predicted.files, list(predicted.truth))
    if len(without):
        remarks.append(f"{len(without):,} files have no truth in time:\n{listing(without.tolist(), 5)}")
    return [*remarks, *predicted.unlearnt(np.array(judged["truth"], dtype=str), "points of the grid")]


def _file_scores(judged: pd.DataFrame, grid_s: float) -> pd.DataFrame:
    right = judged["truth"] == judged["predicted"]
    grouped = right.groupby(judged["file"], sort=False)
    scores = {"judged_s": grouped.size() * grid_s, "accuracy": grouped.mean()}
    return pd.DataFrame(scores).reset_index()


def _draw(table: pd.DataFrame, predicted: Predicted, section: Section, folder: Path) -> None:
    n_files, shown = len(predicted.truth), list(predicted.truth)[:N_TRACKS]
    tracks = {
        str(file): tuple(np.array(part[side], dtype=str) for side in ("truth", "predicted"))
        for file, part in table[table["file"].isin(shown)].groupby("file", sort=False)
        if len(part)
    }
    name = "predicted_tracks.png"
    figures.tracks(folder / name, tracks, predicted.grid_s, "Truth and prediction")
    some = f"; the first {len(shown)} of {n_files:,} files" if len(shown) < n_files else ""
    section.drawn(folder, name, f"What is true above what was predicted; white: nothing{some}")
