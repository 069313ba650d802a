"""What a classifier predicts, as tables that are written and read: one row a segment, and one row a file."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from saec.extraction.outputs import Outputs
from saec.faults import Fault, MissingFault, listing
from saec.samples import Samples, read_annotations
from saec.tables import write_table

LOG = logging.getLogger(__name__)
PROBABILITY = "p "  # before the name of a class


def write_predictions(
    outputs: Outputs, samples: Samples, probabilities: np.ndarray, classes: tuple[str, ...]
) -> dict[str, Path]:
    """Writes `predictions_<timestamp>.csv`, and `predictions_files_<timestamp>.csv` with means over segments.

    Columns: file, start, end (seconds; nothing for pictures), label and split where some are known,
    predicted, and the probability of each class.
    """
    segments = prediction_table(samples, probabilities, classes)
    tables = {"predictions": segments, "predictions_files": pooled_per_file(segments)}
    for words, table in tables.items():
        write_table(outputs.predictions(words), table)
    _log_scores(tables["predictions_files"])
    return {words: outputs.predictions(words) for words in tables}


def prediction_table(samples: Samples, probabilities: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Returns one row a sample; the predicted class has the largest probability."""
    times = samples.times
    columns = {"file": samples.files, "start": times[:, 0], "end": times[:, 1]}
    texts = {"label": samples.labels, "split": samples.splits}
    columns |= {key: values for key, values in texts.items() if (values != "").any()}
    columns["predicted"] = np.array(classes)[probabilities.argmax(axis=1)]
    columns |= {f"{PROBABILITY}{name}": probabilities[:, index] for index, name in enumerate(classes)}
    return pd.DataFrame(columns).sort_values(["file", "start"], kind="stable", ignore_index=True)


def pooled_per_file(segments: pd.DataFrame) -> pd.DataFrame:
    """Returns means of probabilities over the segments of a file; its label where all have the same."""
    chances = [column for column in segments if column.startswith(PROBABILITY)]
    files = segments.groupby("file", sort=False)
    means = files[chances].mean()
    table = files.agg(start=("start", "min"), end=("end", "max"))
    for text in ("label", "split"):
        if text in segments:
            table[text] = files[text].first().where(files[text].nunique() == 1, "")
    likeliest = means.to_numpy().argmax(axis=1)
    table["predicted"] = [chances[index].removeprefix(PROBABILITY) for index in likeliest]
    return table.join(means).reset_index()


def _log_scores(files: pd.DataFrame) -> None:
    counts = files["predicted"].value_counts()
    LOG.info("predicted: %s", ", ".join(f"{name} {n:,}" for name, n in counts.items()))
    if "label" not in files:
        return
    labelled = files[files["label"] != ""]
    if unknown := sorted(set(labelled["label"]) - {*classes_of(files)}):
        LOG.warning("%d labels are of no class that was learnt:\n%s", len(unknown), listing(unknown))
    parts = labelled.groupby("split") if "split" in labelled else [("", labelled)]
    for split, part in parts if len(labelled) else ():
        macro_f1 = f1_score(part["label"], part["predicted"], average="macro", zero_division=0)
        accuracy = float((part["label"] == part["predicted"]).mean())
        what = (len(part), f"{split} files" if split else "labelled files", accuracy, macro_f1)
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
    columns = [column for column in table.columns if column.startswith(PROBABILITY)]
    missing = [] if "predicted" in table else ["predicted"]
    missing += [] if columns else [f"{PROBABILITY}<class>"]
    if missing:
        raise Fault(
            f"{file} needs the columns file,start,end[,label],predicted and for each class `p <class>`, its "
            f"probability; it lacks {', '.join(missing)}: name predictions_<timestamp>.csv of an extraction"
        )
    numbers = table.assign(
        **{one: pd.to_numeric(table[one], errors="coerce").astype(float) for one in columns}
    )
    faults = []
    bad = ~np.isfinite(numbers[columns].to_numpy()).all(1)
    bad |= (numbers["start_s"].isna() != numbers["end_s"].isna()).to_numpy()
    bad |= ~numbers["predicted"].isin(classes_of(numbers)).to_numpy()
    for row in np.flatnonzero(bad):
        faults.append(f"{table.index[row]}: {_problem(table.iloc[row], numbers.iloc[row], columns)}")
    if faults:
        raise Fault(f"{file}: {len(faults)} rows are not right, correct or delete them:\n{listing(faults)}")
    return numbers.reset_index(drop=True)


def _problem(written: pd.Series, row: pd.Series, columns: list[str]) -> str:
    for column in columns:
        if not np.isfinite(row[column]):
            got = repr(written[column]) if written[column] else "nothing"
            return f"{column!r} must be a finite number, got {got}"
    if np.isnan(row["start_s"]) != np.isnan(row["end_s"]):
        return "needs start and end, or neither of them"
    return f"predicted must be a class that has a column `p <class>`, got {row['predicted']!r}"
