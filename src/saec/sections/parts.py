"""Parts a set of features by a column of its samples: one set for each value."""

from dataclasses import replace

import numpy as np

from saec.config import Config
from saec.faults import Fault, counted, did_you_mean, number_of
from saec.sections.findings import Doubt, remarks_on
from saec.sections.labels import with_whole_split, without_rare
from saec.sections.sets import EvaluatedSet, FeatureSet, read_set


def read_parts(name: str, given: EvaluatedSet, config: Config, alone: bool) -> list[FeatureSet]:
    """Reads a set and returns it, or one for each value of the column `by`, called like the value.

    Where the session names several sets, each begins with the name of the set. Raises a `Fault` where there
    is no such column, or no part can be evaluated.
    """
    if given.by is None:
        return [read_set(name, given, config)]
    labels = given.labels.model_copy(update={"least": None})  # which is of each part
    one = read_set(name, given.model_copy(update={"labels": labels}), config)
    return _parts(one, given.by, given.labels.least, "" if alone else f"{name} ")


def _parts(one: FeatureSet, column: str, least: int | None, prefix: str) -> list[FeatureSet]:
    """Leaves out values of which no two classes are there, or which are only trained on while others are
    tested.
    """
    samples, of_all = one.samples, [remark for remark in one.remarks if not isinstance(remark, Doubt)]
    if column not in samples.others:
        names = did_you_mean(column, samples.others) if samples.others else "there are none"
        raise Fault(f"by: no column {column!r}, {names}")
    values, tested = samples.texts(column), "test" in samples.splits
    parts, left = list[FeatureSet](), list[str]()
    for value in sorted({*values.tolist()}):
        rows = np.flatnonzero(values == value)
        part, rare = without_rare(samples.subset(rows), least)
        if not value or len(part.classes) < 2 or (tested and "test" not in part.splits):
            left.append(f"{value or 'without a value'}: {number_of(len(rows), one.samples_are)}")
            continue
        part, remarks = with_whole_split(part, f"{column} {value}")
        tables = {
            method: replace(table, rows=table.rows[rows], samples=table.samples.subset(rows))
            for method, table in one.tables.items()
        }
        called = f"{prefix}{value}"
        doubts = [remark for remark in remarks_on(part, one.samples_are) if isinstance(remark, Doubt)]
        remarks = [*([] if parts else of_all), *remarks, *rare, *doubts]
        parts.append(replace(one, name=called, tables=tables, samples=part, remarks=remarks))
    words = f"values of {column} have no set (fewer than two classes, or only trained on)"
    if not parts:
        raise Fault(f"by: no value of {column} has samples of two classes: name another column")
    parts[0].remarks += counted(left, words)
    return parts
