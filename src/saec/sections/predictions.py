"""Scores predictions by segment, by file, and along time."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, field_validator

from saec import figures
from saec.config import Config
from saec.evaluation.folds import TRAIN
from saec.evaluation.tracks import NO_LABEL, ClassScores, grid, predicted_track, score_classes, true_track
from saec.extraction.predictions import PROBABILITY, classes_of, pooled_per_file, read_predictions
from saec.faults import Fault, counted
from saec.registry import Strict
from saec.samples import (
    SEGMENT,
    Samples,
    annotation_table,
    clock_columns,
    join,
    read_annotations,
    with_clock,
    with_recording,
)
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.findings import Doubt, doubts_in
from saec.sections.labels import GivenLabels, Labels, as_file, given_annotations, matching_files
from saec.sections.times import show_times

FILES = "files of the predictions"
OF_FILES = "predictions_files_"  # what tables of means over files are called
MOST_POINTS = 5_000_000  # of the grid, of all files together
N_TRACKS = 12  # files whose tracks are drawn
NOT_PREDICTED = "(none)"  # what a point has in the confusion where nothing was predicted


class Predictions(Strict):
    """Scores a table of predictions by labels, and by a truth along time on a grid of `grid_s` seconds.

    `labels` (a table, or a pattern on file names) stand in place of the column `label`; `truth` is a table of
    start, end, label and, for several recordings, file.
    """

    file: str
    labels: GivenLabels = Labels()
    truth: str | None = None
    grid_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1

    @field_validator("labels")
    @classmethod
    def _by_name(cls, labels: Labels) -> Labels:
        without = labels.pattern and not labels.has_groups("label")
        if labels.folders is not None or labels.least is not None or without:
            raise ValueError("come from a table (`file`, `columns`) or from a `pattern` with a label")
        return labels


@SECTIONS.register("predictions")
class ScoredPredictions:
    """Writes tables and figures called `predicted_*`.

    `table` has a row a segment: file, start_s, end_s (NaN of a whole picture), label and split ("" where
    there is none), predicted, and `p <class>` for each class; `tracks` has a row a point of the grid: file,
    time_s, truth.
    """

    position = 60

    def __init__(
        self, inputs: Inputs, *, predictions: Annotated[Predictions | None, BeforeValidator(as_file)] = None
    ):
        self.options, self.remarks = predictions or Predictions(file=""), list[str]()
        self.file, self.table, self.tracks = Path(), pd.DataFrame(), pd.DataFrame()
        if predictions is None:
            return
        n_faults, config, labels = len(inputs.faults), inputs.config, predictions.labels
        tables = inputs.check("predictions.file", matching_files, predictions.file, config)
        if tables:
            of_segments = [file for file in tables if not file.name.startswith(OF_FILES)]
            self.file = (of_segments or tables)[-1]  # of several the newest run's
            table = inputs.check("predictions.file", read_predictions, self.file)
            self.table = self.table if table is None else table
        files = sorted(set(self.table.get("file", ())))
        given = truth = None
        if labels.file or labels.pattern:
            given = inputs.check("predictions.labels", given_annotations, labels, files, config)
        if predictions.truth:
            truth = inputs.check("predictions.truth", _read_truth, predictions.truth, config)
        if given and len(inputs.faults) == n_faults:
            inputs.check("predictions.labels", self._take_labels, files, *given)
        if len(inputs.faults) == n_faults:
            inputs.check("predictions.labels", self._take_clock, labels)
        if truth and len(inputs.faults) == n_faults:
            inputs.check("predictions.truth", self._take_truth, files, *truth)
        if len(inputs.faults) == n_faults and not truth and (self.table["label"] == "").all():
            inputs.faults.append(
                f"predictions.labels: {self.file} has no labels in a column `label`, and neither `labels` "
                "nor `truth` is given: name one of them to score the predictions by"
            )

    def _take_labels(self, files: list[str], given: pd.DataFrame, source: str) -> None:
        several = self.options.labels.several
        samples, remarks = join(Samples.of(files), given, source, what=FILES, several=several)
        self.remarks += remarks
        self.table = self.table.assign(label=self.table["file"].map(samples.table["label"]))

    def _take_clock(self, labels: Labels) -> None:
        """Adds date, hour and site of the beginning of each row where they are known; says what is not."""
        table, unread = clock_columns(self.table, str(self.file))
        files = table["file"].tolist()
        starts = table["start_s"].where([SEGMENT not in file for file in files])  # else the name says it
        names = [f"{n:09d} {file}" for n, file in enumerate(files)]
        samples = Samples.of(names, **table.assign(start_s=starts).to_dict("list"))
        samples, remarks = with_clock(samples, None, files, **labels.zones)
        self.timed, self.remarks = samples.table, [*self.remarks, *unread, *remarks]

    def _take_truth(self, files: list[str], truth: pd.DataFrame, path: Path) -> None:
        """Raises a `Fault` where the truth is of none of the files, or no point of the grid has a label."""
        truth = with_recording(truth, path, files, FILES).rename(columns={"file": "called"})
        names = annotation_table({"file": file, "called": file} for file in truth["called"].unique())
        samples, remarks = join(Samples.of(files), names, str(path), what=FILES)
        self.remarks += remarks
        if self.table["start_s"].isna().any():
            raise Fault(f"a truth in time needs start and end of every row of {self.file}: some have none")
        by_file = samples.table["called"].rename_axis("file").reset_index().merge(truth, on="called")
        by_file, step = by_file.groupby("file"), self.options.grid_s
        n_points = by_file["end_s"].max().sum() / step
        if n_points > MOST_POINTS:
            raise Fault(
                f"a grid of {step:g} s has {n_points:,.0f} points in the {len(by_file):,} files of "
                f"{path}, {MOST_POINTS:,} are allowed: choose a larger grid_s"
            )
        tracks, n_doubtful = [], 0
        for file, part in by_file:
            points = grid(float(part["end_s"].max()), step)
            spans = part["start_s"].to_numpy(), part["end_s"].to_numpy(), part["label"].to_numpy(dtype=str)
            labels, n = true_track(points, *spans)
            n_doubtful += n
            tracks.append(pd.DataFrame({"file": file, "time_s": points, "truth": labels}))
        self.tracks = pd.concat(tracks, ignore_index=True)
        if n_doubtful:
            words = "s lie in segments of different labels and are left out"
            self.remarks.append(f"{n_doubtful * step:,.1f} {words}")
        if (self.tracks["truth"] == NO_LABEL).all():
            raise Fault(
                f"no point of a grid of {step:g} s lies in a segment of {path} with one label: "
                "choose a smaller grid_s, or look at the labels"
            )

    def describe(self) -> list[str]:
        if self.table.empty:
            return []
        n_files, n_labels = self.table["file"].nunique(), int((self.table["label"] != "").sum())
        n_truth = 0 if self.tracks.empty else self.tracks["file"].nunique()
        truth = f", {n_truth:,} files with a truth in time" if n_truth else ""
        return [
            f"{self.file.name}: {len(self.table):,} predictions of {n_files:,} files and "
            f"{len(classes_of(self.table))} classes, {n_labels:,} with labels{truth}"
        ]

    def write(self, folder: Path) -> list[Content]:
        content = Content(f"Predictions of {self.file.name}", folder, list(self.remarks))
        tables = self._labelled(content) if (self.table["label"] != "").any() else {}
        scores = {what: _score(table) for what, table in tables.items()}
        if not self.tracks.empty:
            scores["time"] = self._score_along_time(content)
        unseen = {what: table[table["split"] != TRAIN] for what, table in tables.items()}
        unseen = {what: _score(table) for what, table in unseen.items() if 0 < len(table) < len(tables[what])}
        scores = _that_meet(scores, unseen, classes_of(self.table), content)
        for what, one in scores.items():
            _draw_confusion(what, one, content)
        scores |= {
            f"{what} of {split or 'no split'}": _score(part)
            for what, table in tables.items()
            if what in scores and table["split"].nunique() > 1
            for split, part in table.groupby("split")
        }
        table = pd.DataFrame([{"by": what, "n": one.n} | one.scores for what, one in scores.items()])
        classes = pd.DataFrame([{"by": what} | row for what, one in scores.items() for row in one.classes])
        content.write("predicted_scores.csv", table, "accuracy, macro-F1 and weighted F1")
        content.write("predicted_classes.csv", classes, "precision, recall and F1 of each class")
        content.tables = ({"Scores of predictions": table} if scores else {}) | content.tables
        if {"hour", "date"} & {*self.timed.columns}:
            predicted = {"predicted": self.timed["predicted"].to_numpy(dtype=str)}
            show_times(content, "predicted", self.timed, predicted, self.options.labels.clock_is)
        content.doubts = doubts_in(content.remarks)
        return [content]

    def _labelled(self, content: Content) -> dict[str, pd.DataFrame]:
        """Returns segments that have a label, and files that have one: file, label, split, predicted."""
        table = self.table
        n_without = int((table["label"] == "").sum())
        n_learnt = int(((table["label"] != "") & (table["split"] == TRAIN)).sum())
        if n_without:
            words = "predictions have no label and are left out"
            content.remarks.append(f"{n_without:,} of {len(table):,} {words}")
        content.remarks += _never_learnt(table["label"], classes_of(table), "predictions")
        if n_learnt:
            words = f"predictions with a label are of the split {TRAIN}, which was learnt from"
            words += ": their scores are too good, look at those of other splits"
            content.remarks.append(Doubt(f"{n_learnt:,} of {len(table) - n_without:,} {words}"))
        segments = table.rename(columns={"start_s": "start", "end_s": "end"})
        segments = segments[["file", "start", "end", "label", "split", "predicted"]]
        what = "one row a prediction: its label, and what was predicted"
        content.write("predicted_segments.csv", segments, what)
        tables = {"segments": segments}
        if table["file"].is_unique:
            content.remarks.append("each file has one prediction: what holds of segments holds of files")
        else:
            tables["files"] = _file_table(table, content)
            what = "one row a file: its label, what was predicted, and mean probabilities"
            content.write("predicted_files.csv", tables["files"], what)
        labelled = {what: one[one["label"] != ""] for what, one in tables.items()}
        return {what: one for what, one in labelled.items() if len(one)}

    def _score_along_time(self, content: Content) -> ClassScores:
        """Scores all points of all files together; those without a true label are left out."""
        step, classes = self.options.grid_s, classes_of(self.table)
        columns, parts = [PROBABILITY + name for name in classes], []
        for file, points in self.tracks.groupby("file"):
            part = self.table[self.table["file"] == file]
            spans = (part["start_s"].to_numpy(), part["end_s"].to_numpy(), part[columns].to_numpy())
            predicted = predicted_track(points["time_s"].to_numpy(), *spans, np.array(classes))
            parts.append(points.assign(predicted=predicted))
        points = pd.concat(parts)
        scored = points[points["truth"] != NO_LABEL]
        n_missing = int((scored["predicted"] == NO_LABEL).sum())
        content.remarks.append(
            f"{len(scored) * step:,.1f} s of {len(points) * step:,.1f} s have a truth and are judged, every "
            f"{step:g} s"
        )
        if n_missing:
            content.remarks.append(
                f"{n_missing * step:,.1f} s that are judged lie in no predicted segment and count as wrong"
            )
        learnt = self.table["file"][self.table["split"] == TRAIN]
        if n_learnt := points["file"][points["file"].isin(learnt)].nunique():
            content.remarks.append(Doubt(f"{n_learnt:,} files that are scored along time were learnt from"))
        without = sorted(set(self.table["file"]) - set(points["file"]))
        content.remarks += counted(without, "files have no truth in time", 5)
        content.remarks += _never_learnt(scored["truth"], classes, "points of the grid")
        right = (scored["truth"] == scored["predicted"]).groupby(scored["file"])
        by_file = pd.DataFrame({"judged_s": right.size() * step, "accuracy": right.mean()}).reset_index()
        content.write("predicted_tracks.csv", points, "one row a point of the grid: truth and prediction")
        what = "seconds that are scored and their accuracy, by file"
        content.write("predicted_time.csv", by_file, what, "Along time, by file")
        tracks = {
            file: (part["truth"].to_numpy(dtype=str), part["predicted"].to_numpy(dtype=str))
            for file, part in list(points.groupby("file"))[:N_TRACKS]
        }
        n_files = points["file"].nunique()
        some = f"; the first {N_TRACKS} of {n_files:,} files" if n_files > N_TRACKS else ""
        caption = f"What is true above what was predicted; white: nothing{some}"
        content.draw("predicted_tracks.png", caption, figures.tracks, tracks, step, "Truth and prediction")
        return _score(scored.replace({"predicted": {NO_LABEL: NOT_PREDICTED}}), "truth")


def _read_truth(named: str, config: Config) -> tuple[pd.DataFrame, Path]:
    """Reads what is true when: start_s, end_s and label of segments; `file` is "" where no column says it."""
    path = config.data_path(named)
    truth = read_annotations(path, required=("start", "end", "label"))
    if truth.empty:
        raise Fault(f"{path} has no row: expected one a segment, `[file,]start,end,label`")
    return truth, path


def _never_learnt(labels: pd.Series, classes: list[str], what: str) -> list[str]:
    """Returns a remark on labels that are no class of the model, counted in words of what they are of."""
    counts = labels[(labels != "") & ~labels.isin(classes)].value_counts().sort_index()
    lines = [f"{name}: {n:,} {what}" for name, n in counts.items()]
    words = "classes of the labels were never learnt, so that every answer to them counts as wrong"
    return counted(lines, words)


def _file_table(table: pd.DataFrame, content: Content) -> pd.DataFrame:
    """Returns file, start, end, label, split, predicted, mean probabilities by class, number of segments."""
    labels = table[table["label"] != ""].groupby("file")["label"].unique()
    several = [f"{name}: {', '.join(sorted(of))}" for name, of in labels.items() if len(of) > 1]
    what = "files have segments of several labels and are scored by segments alone"
    content.remarks += counted(several, what, 5)
    files = pooled_per_file(table.rename(columns={"start_s": "start", "end_s": "end"}))
    return files.assign(segments=table.groupby("file").size().to_numpy())


def _that_meet(
    scores: dict[str, ClassScores], unseen: dict[str, ClassScores], classes: list[str], content: Content
) -> dict[str, ClassScores]:
    """Says what was found, and leaves out scores by labels none of which is a class of the model.

    Sentences are of what was not learnt from, where there is some.
    """
    meet = {what: one for what, one in scores.items() if {row["class"] for row in one.classes} & {*classes}}
    words = "is a class of the model: there is no score"
    content.remarks += map(Doubt, sorted(f"no label of {what} {words}" for what in scores.keys() - meet))
    for what in meet:
        one, which = (unseen[what], " that were not learnt from") if what in unseen else (meet[what], "")
        worst = min(one.classes, key=lambda row: row["f1"])
        content.findings.append(
            f"Of {one.n:,} {'points in time' if what == 'time' else what}{which}, "
            f"{one.scores['accuracy']:.1%} are predicted right: macro-F1 {one.scores['macro_f1']:.3f} "
            f"over {len(one.classes)} classes, lowest {worst['f1']:.2f} of {worst['class']}."
        )
    return meet


def _score(table: pd.DataFrame, label: str = "label") -> ClassScores:
    return score_classes(*(table[column].to_numpy(dtype=str) for column in (label, "predicted")))


def _draw_confusion(what: str, one: ClassScores, content: Content) -> None:
    name, title, names = f"predicted_confusion_{what}", f"Confusion by {what}", one.names.tolist()
    caption = f"{title}: rows are what is true, columns what was predicted"
    content.draw(f"{name}.png", caption, figures.confusion, one.confusion, names, title)
    table = pd.DataFrame(one.confusion, columns=names)
    table.insert(0, "true", names, allow_duplicates=True)
    content.write(f"{name}.csv", table, f"counts by {what}: true classes down, predicted ones across")
    content.tables[f"Classes, by {what}"] = pd.DataFrame(one.classes)
