"""Writes what a classifier predicts: tables of segments and of files, or one recording in memory."""

import logging
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from saec.config import Config, load_config
from saec.data import chunks
from saec.evaluation.base import macro_f1
from saec.extraction.data import ExtractionData
from saec.extraction.outputs import Outputs
from saec.extraction.sources import SOURCES, Source
from saec.faults import Fault, MissingFault, did_you_mean, listing
from saec.files import as_file_name, fingerprint, write_text
from saec.registry import Strict, as_list
from saec.runs import Run
from saec.runs.find import find_trained
from saec.samples import FREQUENCIES, Samples, raise_rows, read_annotations, with_clock
from saec.session import SessionError, Weights
from saec.tables import Form, texts_per_file, write_table

LOG = logging.getLogger(__name__)
PROBABILITY = "p "  # before the name of a class
BEGINS = "Begin Clock Time"  # of a segment; a column `time` would be read back as that of the whole file
MADE = ("time", "date", "hour", BEGINS)  # whenever a table is read
N_LETTERS = 80  # of a recording's name in that of a table
NO_GAP_S = 1e-6  # between segments that touch, whatever their ends are rounded to


class Detections(Strict):
    """Says which predictions are detections, and the forms of their tables.

    Those of a `threshold` at least and of no class of the `background` are, brought together where they are
    of one class and at most `merge_s` seconds apart (null: each by itself).
    """

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    background: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()
    merge_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 0.0
    tables: Annotated[tuple[Form, ...], BeforeValidator(as_list), Field(min_length=1)] = ("csv",)

    def require_classes(self, classes: tuple[str, ...]) -> None:
        """Raises a `Fault` where there are no classes, or none of the name of a background."""
        if not classes:
            raise Fault("only a classifier predicts classes: choose another run, or leave `predictions` out")
        unknown = [name for name in self.background if name not in classes]
        if unknown:
            hints = "; ".join(f"{name!r}, {did_you_mean(name, list(classes))}" for name in unknown)
            raise Fault(f"`background` names what is no class: {hints}")


def listed_by(source: Source) -> dict[str, Any]:
    """Returns samples as the JSON file keeps them: `labels` are a fingerprint of what predictions repeat."""
    listed: dict[str, Any] = {"pictures": list(source.kind.state)}
    if source.classes:
        table = source.kind.samples.table.drop(columns=["start_s", "end_s", "group"])
        listed["labels"] = fingerprint(table.to_dict("list"))
    return listed


def write_predictions(
    outputs: Outputs,
    samples: Samples,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    wanted: Detections | None = None,
    band: tuple[float, float] | None = None,
) -> dict[str, Path]:
    """Writes `predictions_<timestamp>.csv`, and `predictions_files_<timestamp>.csv` with means over segments.

    Columns: file, start, end (seconds; nothing for pictures), Begin Clock Time, site, label, split and
    further columns where some are known, predicted, and the probability of each class. Where they are wanted
    `detections_<timestamp>.csv` lies beside them, and for each recording a table of Raven or Audacity.
    """
    segments = prediction_table(_of_classes(samples, classes), probabilities, classes)
    tables = {"predictions": segments, "predictions_files": pooled_per_file(segments)}
    detections = detections_in(segments, wanted) if wanted else segments[:0]
    if wanted and "csv" in wanted.tables:
        tables["detections"] = detections
    files = {words: outputs.predictions(words) for words in tables}
    for words, table in tables.items():
        write_table(files[words], table)
    forms = sorted({*wanted.tables} - {"csv"}) if wanted else []
    if forms and detections["start"].isna().any():
        words = "%d detections have no start and end, and are in no table of %s"
        LOG.warning(words, detections["start"].isna().sum(), " or ".join(forms))
    for form in forms:
        for number, (file, text) in enumerate(texts_per_file(detections, form, band).items(), start=1):
            words = f"{form}_{number}_{as_file_name(PurePosixPath(file).stem)[-N_LETTERS:]}"
            files[f"{form} {file}"] = outputs.predictions(words, ".txt")
            write_text(files[f"{form} {file}"], text)
    _log_scores(tables["predictions_files"])
    if wanted:
        n = len(detections), int(detections["segments"].sum()), len(segments)
        LOG.info("%d detections, of %d of %d predictions", *n)
    return files


def detections_in(segments: pd.DataFrame, how: Detections) -> pd.DataFrame:
    """Returns one row a detection: file, start, end, label, score (the largest probability), segments.

    Boxes of frequencies, where a table has given them, are kept: from the lowest to the highest.
    """
    scores = segments[[PROBABILITY + name for name in classes_of(segments)]].max(axis=1)
    kept = (scores >= how.threshold) & ~segments["predicted"].isin(how.background)
    rows = segments.assign(label=segments["predicted"], score=scores)[kept]
    rows = rows.sort_values(["file", "label", "start"], kind="stable")
    same = rows.groupby(["file", "label"], sort=False)
    reach = same["end"].cummax().groupby([rows["file"], rows["label"]], sort=False).shift()
    apart = rows["start"] - reach
    number = (~(apart <= (-np.inf if how.merge_s is None else how.merge_s + NO_GAP_S))).cumsum()
    boxes = [key for key in FREQUENCIES if key in rows]
    rows[boxes] = rows[boxes].apply(pd.to_numeric, errors="coerce")
    columns = {"file": "first", "start": "min", "end": "max", "label": "first", "score": "max"}
    columns |= dict(zip(boxes, ("min", "max"), strict=False))
    merged = rows.groupby(number).agg(columns).assign(segments=rows.groupby(number).size())
    return merged.sort_values(["file", "start"], kind="stable", ignore_index=True)


def _of_classes(samples: Samples, classes: tuple[str, ...]) -> Samples:
    """Returns the samples, without labels where folders are their labels and none is a class."""
    pairs = zip(samples.files.tolist(), samples.labels.tolist(), strict=True)
    folders = {label for file, label in pairs if label and file.startswith(f"{label}/")}
    if not folders or {*samples.classes} & {*classes}:
        return samples
    words = "%d folders are no classes that were learnt, so they are no labels:\n%s"
    LOG.warning(words, len(folders), listing(sorted(folders)))
    return samples.but(label=["" if label in folders else label for label in samples.labels.tolist()])


def prediction_table(samples: Samples, probabilities: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Returns one row a sample; the predicted class has the largest probability."""
    samples, _ = with_clock(samples)
    times = samples.times
    columns = {"file": samples.files, "start": times[:, 0], "end": times[:, 1]}
    texts = {key: samples.texts(key) for key in ("time", "site", "label", "split") if key in samples.table}
    called = {"time": BEGINS} if {"date", "hour"} & {*samples.table} else {}  # else it is no time of day
    columns |= {called.get(key, key): values for key, values in texts.items() if (values != "").any()}
    further = [key for key in samples.others if key not in MADE and not key.startswith(PROBABILITY)]
    columns |= {key: samples.table[key].to_numpy() for key in further}
    columns["predicted"] = np.array(classes)[probabilities.argmax(axis=1)]
    columns |= {f"{PROBABILITY}{name}": probabilities[:, index] for index, name in enumerate(classes)}
    return pd.DataFrame(columns).sort_values(["file", "start"], kind="stable", ignore_index=True)


def pooled_per_file(segments: pd.DataFrame) -> pd.DataFrame:
    """Returns means of probabilities over the segments of a file; its label where no two of them differ."""
    classes, files = classes_of(segments), segments.groupby("file")
    means = files[[PROBABILITY + name for name in classes]].mean()
    table = files.agg(start=("start", "min"), end=("end", "max"))
    for text in [one for one in (BEGINS, "site", "label", "split") if one in segments]:
        words = segments[text].where(segments[text] != "").groupby(segments["file"])
        alike = words.nunique().eq(1) | (text == BEGINS)  # a file begins with its first segment
        table[text] = words.first().where(alike).fillna("")
    table["predicted"] = np.array(classes)[means.to_numpy().argmax(axis=1)]
    return table.join(means).reset_index()


def _log_scores(files: pd.DataFrame) -> None:
    counts = files["predicted"].value_counts()
    LOG.info("predicted: %s", ", ".join(f"{name} {n:,}" for name, n in counts.items()))
    if "label" not in files:
        return
    labelled = files[files["label"] != ""]
    if unknown := sorted(set(labelled["label"]) - {*classes_of(files)}):
        words = "%d labels are of no class that was learnt, and count as wrong:\n%s"
        LOG.warning(words, len(unknown), listing(unknown))
    parts = labelled.groupby("split") if "split" in labelled else [("", labelled)]
    for split, part in parts if len(labelled) else ():
        if set(part["label"]) <= {*unknown}:
            continue  # nothing can be right, which the warning says
        score = macro_f1(part["label"], part["predicted"])
        accuracy = float((part["label"] == part["predicted"]).mean())
        what = (len(part), f"{split} files" if split else "labelled files", accuracy, score)
        LOG.info("against %d %s: accuracy %.3f, macro-F1 %.3f", *what)


def classes_of(table: pd.DataFrame) -> list[str]:
    """Returns the classes that a table of predictions has a column `p <class>` of."""
    return [one.removeprefix(PROBABILITY) for one in table.columns if one.startswith(PROBABILITY)]


def read_predictions(file: Path) -> pd.DataFrame:
    """Reads predictions: file, start_s, end_s, label, split, predicted, and `p <class>` as numbers.

    Raises:
        Fault: columns are missing, or some rows are not right: all of them are listed.
    """
    if not file.is_file():
        raise MissingFault(f"no such file: {file} (predictions_<timestamp>.csv of an extraction is expected)")
    table = read_annotations(file, required=("file",))
    if table.empty:
        raise Fault(f"{file} has no rows")
    columns = [PROBABILITY + name for name in classes_of(table)]
    missing = ([] if "predicted" in table else ["predicted"]) + ([] if columns else [f"{PROBABILITY}<class>"])
    if missing:
        raise Fault(
            f"{file} needs the columns file,start,end[,label],predicted and for each class `p <class>`, its "
            f"probability; it lacks {', '.join(missing)}: name predictions_<timestamp>.csv of an extraction"
        )
    numbers = {one: pd.to_numeric(table[one], errors="coerce").astype(float) for one in columns}
    one_time = table["start_s"].isna() != table["end_s"].isna()
    foreign = ~table["predicted"].isin(classes_of(table))
    problems = pd.Series("", table.index)
    got = table["predicted"].map(repr)[foreign]
    problems[foreign] = "predicted must be a class that has a column `p <class>`, got " + got
    problems[one_time] = "needs start and end, or neither of them"
    for column in reversed(columns):
        bad = ~np.isfinite(numbers[column])
        written = table[column][bad].map(lambda text: repr(text) if text else "nothing")
        problems[bad] = f"{column!r} must be a finite number, got " + written
    faults = [f"{line}: {problem}" for line, problem in problems.items() if problem]
    if faults:
        raise_rows(file, faults)
    return table.assign(**numbers).reset_index(drop=True)


@dataclass(frozen=True)
class Prediction:
    """Holds for each segment `times` (segments, 2) in seconds and `features` (segments, channels, time);
    with a classifier also `probabilities` (segments, classes).
    """

    times: np.ndarray
    features: np.ndarray
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None

    @property
    def segments(self) -> list[str]:
        """Returns the likeliest class of each segment."""
        return [self.classes[index] for index in self._probabilities.argmax(axis=1)]

    @property
    def mean(self) -> dict[str, float]:
        """Returns the mean probability over segments, by class."""
        return dict(zip(self.classes, self._probabilities.mean(axis=0).tolist(), strict=True))

    @property
    def predicted(self) -> str:
        """Returns the likeliest class of the recording."""
        return max(self.mean, key=self.mean.__getitem__)

    @property
    def _probabilities(self) -> np.ndarray:
        if self.probabilities is None:
            raise Fault("the run is no classifier: it has features, and no classes")
        return self.probabilities


def predict(
    run: Run | Path | str,
    file: Path | str,
    weights: Weights = "best",
    tap: str | None = None,
    layers_dropped: int | None = None,
    segment_s: float | None = None,
    step_s: float | None = None,
    config: Config | None = None,
) -> Prediction:
    """Encodes one recording as the run's training read its own; nothing is written.

    `run` as a session names it; `features` are the latents, or what a block gives (`tap`, `layers_dropped`).
    `segment_s` and `step_s` where a long recording is to be cut otherwise than in training.

    Raises:
        Fault: there is no such run or recording, it cannot be read, or the run does not take sound.
    """
    config = config or load_config()
    trained = run if isinstance(run, Run) else find_trained(str(run), config)
    if trained.data.target.session_key != "sounds":
        raise Fault(f"{trained.folder} takes pictures: extract features of a folder of them instead")
    if not Path(file).is_file():
        raise MissingFault(f"no such recording: {file}")
    if step_s is not None and segment_s is None and trained.data.segment_s is None:
        raise Fault("`step_s` is from the start of a segment to the next one: say `segment_s`, too")
    sound = {"sounds": str(Path(file).absolute()), "segment_s": segment_s, "step_s": step_s}
    data = ExtractionData.model_validate(sound)
    options = {"weights": weights, "tap": tap, "layers_dropped": layers_dropped, "pooling": "mean"}
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="saec_predict_", ignore_cleanup_errors=True) as cache:
        config = config.model_copy(update={"cache": Path(cache)})
        chosen = SOURCES.parse({"name": "run", "precision": "fp32"} | options)
        source = chosen(str(trained.folder), data, config, faults)
        if source is None:
            raise SessionError("predict", faults)
        opened = source.sized(source.kind.open())
        times, arrays = opened.samples.times, defaultdict(list)
        for rows in chunks(np.arange(len(opened)), source.batch_size(opened)):
            stored = opened.gather(rows, source.device)
            for name, array in source.rows(opened, stored, len(rows)).items():
                arrays[name].append(array.cpu().numpy())
        opened = stored = None  # Windows removes no file that is mapped
    whole = {name: np.concatenate(pieces) for name, pieces in arrays.items()}
    return Prediction(times, whole["X"], source.classes, whole.get("probabilities"))
