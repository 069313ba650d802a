"""Holds all samples in one table, from data kinds to the report: read, joined, split and averaged here."""

from saec.samples.clock import clock_columns, with_clock, zone_of
from saec.samples.join import LABELS, PREPARED, Several, join, match_names, nearest_labels
from saec.samples.reader import (
    FREQUENCIES,
    TABLES,
    annotation_table,
    of_cells,
    raise_rows,
    read_annotations,
    read_separated,
    with_recording,
)
from saec.samples.split import (
    split,
    split_by_table,
    warn_of_classes,
    warn_of_shared,
    without_split,
    written_alike,
)
from saec.samples.table import (
    COLUMNS,
    SEGMENT,
    means_by,
    means_per_recording,
    numbered,
    per_recording,
    recording_of,
)
from saec.samples.table import Samples as Samples
