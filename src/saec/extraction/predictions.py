"""What a classifier said, as tables: one row a segment, and one row a file."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from saec.data import Dataset
from saec.extraction.outputs import Outputs
from saec.faults import listing
from saec.tables import write_table

LOG = logging.getLogger(__name__)
PROBABILITY = "p "  # before the name of a class


def write_predictions(
    outputs: Outputs, data: Dataset, probabilities: np.ndarray, classes: tuple[str, ...]
) -> list[Path]:
    """`predictions_<timestamp>.csv`, and `predictions_files_<timestamp>.csv` with means over segments.

    Columns: file, start, end (seconds; nothing for pictures), label and split where some are known,
    predicted, and the probability of each class.
    """
    segments = prediction_table(data, probabilities, classes)
    tables = {outputs.predictions(): segments, outputs.predictions("files"): pooled_per_file(segments)}
    for file, table in tables.items():
        write_table(file, table)
    _say(tables[outputs.predictions("files")])
    return list(tables)


def prediction_table(data: Dataset, probabilities: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """One row a sample; the predicted class has the largest probability."""
    n = len(data)
    times = np.full((n, 2), np.nan) if data.times is None else data.times
    known = {"label": data.labels, "split": data.splits}
    known = {key: said for key, said in known.items() if said is not None and (said != "").any()}
    said = np.array(classes)[probabilities.argmax(axis=1)]
    columns = {f"{PROBABILITY}{name}": probabilities[:, place] for place, name in enumerate(classes)}
    where = {
        "file": data.names if data.files is None else data.files,
        "start": times[:, 0],
        "end": times[:, 1],
    }
    table = pd.DataFrame(where | known | {"predicted": said} | columns)
    return table.sort_values(["file", "start"], kind="stable", ignore_index=True)


def pooled_per_file(segments: pd.DataFrame) -> pd.DataFrame:
    """Means of probabilities over the segments of a file; its label where all of them have the same."""
    chances = [column for column in segments if column.startswith(PROBABILITY)]
    files = segments.groupby("file", sort=False)
    means = files[chances].mean()
    table = files.agg(start=("start", "min"), end=("end", "max"))
    for known in ("label", "split"):
        if known in segments:
            table[known] = files[known].first().where(files[known].nunique() == 1, "")
    names = means.to_numpy().argmax(axis=1)
    table["predicted"] = [chances[place].removeprefix(PROBABILITY) for place in names]
    return table.join(means).reset_index()


def _say(files: pd.DataFrame) -> None:
    counts = files["predicted"].value_counts()
    LOG.info("predicted: %s", ", ".join(f"{name} {n:,}" for name, n in counts.items()))
    if "label" not in files:
        return
    told = files[files["label"] != ""]
    learnt = {column.removeprefix(PROBABILITY) for column in files if column.startswith(PROBABILITY)}
    if odd := sorted(set(told["label"]) - learnt):
        LOG.warning("%d labels are of no class that was learnt:\n%s", len(odd), listing(odd))
    parts = told.groupby("split") if "split" in told else [("", told)]
    for split, part in parts if len(told) else ():
        macro_f1 = f1_score(part["label"], part["predicted"], average="macro", zero_division=0)
        right = float((part["label"] == part["predicted"]).mean())
        what = (len(part), f"{split} files" if split else "labelled files", right, macro_f1)
        LOG.info("against %d %s: accuracy %.3f, macro-F1 %.3f", *what)
