"""Rows that an earlier extraction has made of samples that are as they were."""

import logging
from dataclasses import dataclass

import numpy as np

from saec.data import Dataset
from saec.extraction.planned import ExtractionPlan
from saec.files import map_npz

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """Rows that an earlier extraction has: (place here, place in its array)."""

    pairs: np.ndarray
    array: np.ndarray


def known_rows(plan: ExtractionPlan, data: Dataset) -> dict[str, Known]:
    """By array, from the files that are there; none where these are made anew."""
    if plan.state != "pictures changed":
        return {}
    now, before = set(plan.kind.files), plan.outputs.read_about()["pictures"]
    changed = {picture[0] for picture in now.symmetric_difference(before)}
    sources = data.names if data.files is None else data.files
    known = {}
    for array, file in plan.files_of_rows.items():
        there = {name: row for row, name in enumerate(map_npz(file, "N").tolist())}
        pairs = [
            (row, there[name])
            for row, (name, source) in enumerate(zip(data.names.tolist(), sources.tolist(), strict=True))
            if name in there and source not in changed
        ]
        known[array] = Known(np.array(pairs, dtype=np.int64).reshape(-1, 2), map_npz(file, "X"))
    n_known = len(known["pooled"].pairs)
    LOG.info("%d of %d %s are as they were, only the rest is encoded", n_known, len(data), data.what)
    return known
