"""What is known of samples: one table, from the data kinds to the report."""

from saec.samples.table import COLUMNS, SEGMENT, Samples, recording_of

__all__ = ["COLUMNS", "SEGMENT", "Samples", "recording_of"]
