"""What a classifier predicts, as tables: one row a segment, and one row a file."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from saec.extraction.outputs import Outputs
from saec.faults import listing
from saec.samples import Samples
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
    classes = {column.removeprefix(PROBABILITY) for column in files if column.startswith(PROBABILITY)}
    if unknown := sorted(set(labelled["label"]) - classes):
        LOG.warning("%d labels are of no class that was learnt:\n%s", len(unknown), listing(unknown))
    parts = labelled.groupby("split") if "split" in labelled else [("", labelled)]
    for split, part in parts if len(labelled) else ():
        macro_f1 = f1_score(part["label"], part["predicted"], average="macro", zero_division=0)
        accuracy = float((part["label"] == part["predicted"]).mean())
        what = (len(part), f"{split} files" if split else "labelled files", accuracy, macro_f1)
        LOG.info("against %d %s: accuracy %.3f, macro-F1 %.3f", *what)
