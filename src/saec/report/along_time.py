"""Predictions beside what is true along time: one grid of points, tracks that are compared and drawn."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec import charts
from saec.evaluation.classified import Classified, classified
from saec.evaluation.tracks import NOTHING, predicted_track, true_track
from saec.faults import listing
from saec.frames import write_table
from saec.report.predictions import Predicted
from saec.report.section import Section
from saec.report.truth import points_of

N_TRACKS = 12  # files whose tracks are drawn
UNSAID = "(none)"  # what a point has in the confusion where nothing was predicted


def judged_along_time(predicted: Predicted, section: Section, folder: Path) -> Classified:
    """All points of all files together; those without a true label are left out, what is unsaid is wrong."""
    table, n_doubtful = _tracks(predicted)
    judged = table[table["truth"] != NOTHING]
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
    said = judged["predicted"].replace(NOTHING, UNSAID)
    return classified(np.array(judged["truth"], dtype=str), np.array(said, dtype=str))


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
    n_unsaid = int((judged["predicted"] == NOTHING).sum())
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
    charts.tracks(folder / name, tracks, predicted.grid_s, "Truth and prediction")
    some = f"; the first {len(shown)} of {n_files:,} files" if len(shown) < n_files else ""
    section.drawn(folder, name, f"What is true above what was predicted; white: nothing{some}")
