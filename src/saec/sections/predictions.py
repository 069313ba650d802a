"""The section on predictions: scored segment by segment, file by file, and along time."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, field_validator

from saec import figures
from saec.config import Config
from saec.evaluation.folds import TRAIN
from saec.evaluation.tracks import (
    NO_LABEL,
    ClassScores,
    grid,
    labels_by_file,
    predicted_track,
    score_classes,
    true_track,
)
from saec.extraction.predictions import PROBABILITY, classes_of, read_predictions
from saec.faults import Fault, MissingFault, listing
from saec.registry import Strict
from saec.samples import Samples, annotations, join, means_by, read_annotations
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.labels import GivenLabels, Labels, given_annotations
from saec.sections.read_sets import MAGIC, as_file

FILES = "files of the predictions"
MOST_POINTS = 5_000_000  # of the grid, of all files together
N_TRACKS = 12  # files whose tracks are drawn
NOT_PREDICTED = "(none)"  # what a point has in the confusion where nothing was predicted


class Predictions(Strict):
    """A table of predictions is scored by labels, and by a truth along time on a grid of `grid_s` seconds.

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
        if labels.folders is not None or labels.least is not None:
            raise ValueError("come from a table (`file`, `columns`) or from a `pattern` on names of files")
        return labels


@SECTIONS.register("predictions")
class ScoredPredictions:
    """Writes tables and figures called `predicted_*`.

    `table` has a row a segment: file, start_s, end_s (NaN of a whole picture), label and split ("" where
    there is none), predicted, and `p <class>` for each class; `truth` has the annotated segments by file.
    """

    position = 60

    def __init__(
        self, inputs: Inputs, *, predictions: Annotated[Predictions | None, BeforeValidator(as_file)] = None
    ):
        self.options, self.remarks, self.truth = predictions, [], {}
        if predictions is None:
            return
        n_faults, config, options = len(inputs.faults), inputs.config, predictions
        self.file = inputs.check("predictions.file", _newest, options.file, config)
        table = self.file and inputs.check("predictions.file", read_predictions, self.file)
        files = [] if table is None else np.unique(table["file"].to_numpy(dtype=str)).tolist()
        given = None
        if options.labels.file is not None or options.labels.pattern is not None:
            given = inputs.check("predictions.labels", given_annotations, options.labels, files, config)
        path = options.truth and inputs.check("predictions.truth", config.data_path, options.truth)
        truth = path and inputs.check("predictions.truth", read_truth, path)
        if len(inputs.faults) > n_faults:
            return
        if given:
            table = inputs.check("predictions.labels", self._with_labels, table, files, *given)
        self.table = table
        if path and table is not None:
            self.truth = inputs.check("predictions.truth", self._truth_by_file, truth, files, path)
        if len(inputs.faults) == n_faults and not path and (table["label"] == "").all():
            inputs.faults.append(
                f"predictions.labels: {self.file} has no labels in a column `label`, and neither `labels` "
                "nor `truth` is given: name one of them to score the predictions by"
            )

    def _with_labels(
        self, table: pd.DataFrame, files: list[str], given: pd.DataFrame, source: str
    ) -> pd.DataFrame:
        samples, remarks = join(Samples.of(files), given, source, what=FILES)
        self.remarks += remarks
        return table.assign(label=table["file"].map(samples.table["label"]))

    def _truth_by_file(self, truth: pd.DataFrame, files: list[str], path: Path) -> dict[str, pd.DataFrame]:
        """Returns the annotated segments by the files of the predictions.

        Raises:
            Fault: they are of none of these, or no point of the grid can be scored by them.
        """
        if (truth["file"] == "").all():
            if len(files) > 1:
                raise Fault(
                    f"{path} has no column `file`, and there are predictions of {len(files):,} files: "
                    "say which one each row is of"
                )
            truth = truth.assign(file=files[0])
        names = annotations({"file": file, "called": file} for file in dict.fromkeys(truth["file"]))
        samples, remarks = join(Samples.of(files), names, str(path), what=FILES)
        self.remarks += remarks
        if self.table["start_s"].isna().any():
            raise Fault(
                f"a truth in time needs start and end of every row of {self.file}: it has rows without"
            )
        called = samples.table["called"]
        by_file = {file: truth[truth["file"] == name] for file, name in called.items() if name}
        self._require_points(by_file, path)
        return by_file

    def _require_points(self, truth: dict[str, pd.DataFrame], path: Path) -> None:
        grid_s = self.options.grid_s
        n_points = sum(float(one["end_s"].max()) / grid_s for one in truth.values())
        if n_points > MOST_POINTS:
            raise Fault(
                f"a grid of {grid_s:g} s has {n_points:,.0f} points in the {len(truth):,} files of "
                f"{path}, {MOST_POINTS:,} are allowed: choose a larger grid_s"
            )
        if not any((_true(one, grid_s)[1] != NO_LABEL).any() for one in truth.values()):
            raise Fault(
                f"no point of a grid of {grid_s:g} s lies in a segment of {path} with one label: "
                "choose a smaller grid_s, or look at the labels"
            )

    def describe(self) -> list[str]:
        if self.options is None:
            return []
        n_files, n_labels = self.table["file"].nunique(), int((self.table["label"] != "").sum())
        truth = f", {len(self.truth):,} files with a truth in time" if self.truth else ""
        return [
            f"{self.file.name}: {len(self.table):,} predictions of {n_files:,} files and "
            f"{len(classes_of(self.table))} classes, {n_labels:,} with labels{truth}"
        ]

    def write(self, folder: Path) -> list[Content]:
        if self.options is None:
            return []
        content = Content(f"Predictions of {self.file.name}", folder, list(self.remarks))
        tables = self._labelled(content) if (self.table["label"] != "").any() else {}
        scores = {what: _score(table) for what, table in tables.items()}
        if self.truth:
            scores["time"] = self._score_along_time(content)
        for what, one in scores.items():
            _draw_confusion(what, one, content)
        _write_scores(scores | _by_split(tables, content), content)
        return [content]

    def _labelled(self, content: Content) -> dict[str, pd.DataFrame]:
        """Returns segments that have a label, and files that have one: file, label, split, predicted."""
        table = self.table
        n_without = int((table["label"] == "").sum())
        if n_without:
            content.remarks.append(
                f"{n_without:,} of {len(table):,} predictions have no label and are left out"
            )
        content.remarks += _never_learnt(table["label"], classes_of(table), "predictions")
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
        step = self.options.grid_s
        points, n_doubtful = self._tracks()
        scored = points[points["truth"] != NO_LABEL]
        content.remarks += self._remarks_on_time(points, scored, n_doubtful)
        right = (scored["truth"] == scored["predicted"]).groupby(scored["file"], sort=False)
        by_file = pd.DataFrame({"judged_s": right.size() * step, "accuracy": right.mean()}).reset_index()
        content.tables["Along time, by file"] = by_file
        content.write("predicted_tracks.csv", points, "one row a point of the grid: truth and prediction")
        content.write("predicted_time.csv", by_file, "seconds that are scored and their accuracy, by file")
        self._draw_tracks(points, content)
        return _score(scored.replace({"predicted": {NO_LABEL: NOT_PREDICTED}}), "truth")

    def _tracks(self) -> tuple[pd.DataFrame, int]:
        """Returns file, time_s, truth, predicted, a row a point of the grid; and how many are doubtful."""
        columns = [PROBABILITY + name for name in classes_of(self.table)]
        groups = dict(iter(self.table.groupby("file")))
        tracks, n_doubtful = [], 0
        for file, truth in self.truth.items():
            points, true, doubtful = _true(truth, self.options.grid_s)
            part = groups[file]
            spans = (part["start_s"].to_numpy(), part["end_s"].to_numpy(), part[columns].to_numpy())
            predicted = predicted_track(points, *spans, np.array(classes_of(self.table)))
            track = {"file": file, "time_s": points, "truth": true, "predicted": predicted}
            tracks.append(pd.DataFrame(track))
            n_doubtful += doubtful
        return pd.concat(tracks, ignore_index=True), n_doubtful

    def _remarks_on_time(self, points: pd.DataFrame, scored: pd.DataFrame, n_doubtful: int) -> list[str]:
        """Returns what of the time is scored, and what is not."""
        step = self.options.grid_s
        remarks = [
            f"{len(scored) * step:,.1f} s of {len(points) * step:,.1f} s have a truth and are judged, every "
            f"{step:g} s"
        ]
        if n_doubtful:
            remarks.append(f"{n_doubtful * step:,.1f} s lie in segments of different labels and are left out")
        n_missing = int((scored["predicted"] == NO_LABEL).sum())
        if n_missing:
            remarks.append(
                f"{n_missing * step:,.1f} s that are judged lie in no predicted segment and count as wrong"
            )
        without = sorted(set(self.table["file"]) - self.truth.keys())
        if without:
            remarks.append(f"{len(without):,} files have no truth in time:\n{listing(without, 5)}")
        return remarks + _never_learnt(scored["truth"], classes_of(self.table), "points of the grid")

    def _draw_tracks(self, points: pd.DataFrame, content: Content) -> None:
        shown = list(self.truth)[:N_TRACKS]
        tracks = {
            file: (part["truth"].to_numpy(dtype=str), part["predicted"].to_numpy(dtype=str))
            for file, part in points[points["file"].isin(shown)].groupby("file", sort=False)
        }
        name = "predicted_tracks.png"
        figures.tracks(content.folder / name, tracks, self.options.grid_s, "Truth and prediction")
        n_files = len(self.truth)
        some = f"; the first {len(shown)} of {n_files:,} files" if len(shown) < n_files else ""
        content.add_figure(name, f"What is true above what was predicted; white: nothing{some}")


def _newest(named: str, config: Config) -> Path:
    """Returns a file, or of those that match a pattern the last by name: the one of the newest run.

    Raises:
        MissingFault: none matches.
    """
    file = config.data_path(named)
    if file.exists() or not set(MAGIC) & set(named):
        return file
    matching = sorted(file.parent.glob(file.name))
    if not matching:
        raise MissingFault(f"no predictions match {file}: extract with a classifier first")
    return matching[-1]


def read_truth(file: Path) -> pd.DataFrame:
    """Reads what is true when: start_s, end_s and label of segments; `file` is "" where no column says it."""
    truth = read_annotations(file, required=("start", "end", "label"))
    if truth.empty:
        raise Fault(f"{file} has no row: expected one a segment, `[file,]start,end,label`")
    return truth


def _true(truth: pd.DataFrame, grid_s: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the points of the grid up to where the truth ends, their labels, and how many are doubtful."""
    points = grid(float(truth["end_s"].max()), grid_s)
    spans = truth["start_s"].to_numpy(), truth["end_s"].to_numpy(), truth["label"].to_numpy(dtype=str)
    return points, *true_track(points, *spans)


def _never_learnt(labels: pd.Series, classes: list[str], what: str) -> list[str]:
    """Returns a remark on labels that are no class of the model, counted in words of what they are of."""
    counts = labels[(labels != "") & ~labels.isin(classes)].value_counts().sort_index()
    if counts.empty:
        return []
    lines = [f"{name}: {n:,} {what}" for name, n in counts.items()]
    return [
        f"{len(lines)} classes of the labels were never learnt, so that every answer to them counts as "
        f"wrong:\n{listing(lines)}"
    ]


def _file_table(table: pd.DataFrame, content: Content) -> pd.DataFrame:
    """Returns file, label, split, predicted, segments, and the mean probability of each class."""
    classes, files = classes_of(table), table["file"].to_numpy(dtype=str)
    names, means = means_by(files, table[[PROBABILITY + one for one in classes]].to_numpy())
    labels, splits = (labels_by_file(files, table[key].to_numpy(dtype=str)) for key in ("label", "split"))
    several = [f"{name}: {', '.join(sorted(of))}" for name, of in labels.items() if len(of) > 1]
    if several:
        content.remarks.append(
            f"{len(several):,} files have segments of several labels and are judged by segments alone:\n"
            f"{listing(several, 5)}"
        )
    only = [
        [next(iter(words)) if len(words) == 1 else "" for words in of.values()] for of in (labels, splits)
    ]
    return pd.DataFrame(
        {"file": names, "label": only[0], "split": only[1], "predicted": np.array(classes)[means.argmax(1)]}
        | {"segments": np.unique(files, return_counts=True)[1]}
        | {PROBABILITY + one: means[:, column] for column, one in enumerate(classes)}
    )


def _score(table: pd.DataFrame, label: str = "label") -> ClassScores:
    return score_classes(*(table[column].to_numpy(dtype=str) for column in (label, "predicted")))


def _by_split(tables: dict[str, pd.DataFrame], content: Content) -> dict[str, ClassScores]:
    """Scores each split alone, where there are several, and remarks on what was learnt from."""
    if "segments" in tables:
        splits = tables["segments"]["split"]
        n_learnt = int((splits == TRAIN).sum())
        if n_learnt:
            content.remarks.append(
                f"{n_learnt:,} of {len(splits):,} predictions with a label are of the split {TRAIN}, which "
                "was learnt from: their scores are too good, look at those of other splits"
            )
    return {
        f"{what} of {split or 'no split'}": _score(part)
        for what, table in tables.items()
        if table["split"].nunique() > 1
        for split, part in table.groupby("split")
    }


def _draw_confusion(what: str, one: ClassScores, content: Content) -> None:
    name, title = f"predicted_confusion_{what}", f"Confusion by {what}"
    figures.confusion(content.folder / f"{name}.png", one.confusion, one.names.tolist(), title)
    content.add_figure(f"{name}.png", f"{title}: rows are what is true, columns what was predicted")
    table = pd.DataFrame(one.confusion, columns=one.names.tolist())
    table.insert(0, "true", one.names, allow_duplicates=True)
    content.write(f"{name}.csv", table, f"counts by {what}: true classes down, predicted ones across")
    content.tables[f"Classes, by {what}"] = pd.DataFrame(one.classes)


def _write_scores(scores: dict[str, ClassScores], content: Content) -> None:
    table = pd.DataFrame([{"by": what, "n": one.n} | one.scores for what, one in scores.items()])
    content.write("predicted_scores.csv", table, "accuracy, macro-F1 and weighted F1")
    classes = pd.DataFrame([{"by": what} | row for what, one in scores.items() for row in one.classes])
    content.write("predicted_classes.csv", classes, "precision, recall and F1 of each class")
    content.tables = {"Scores of predictions": table} | content.tables
