"""Figures of an evaluation take arrays and write PNG files; they know nothing of sessions."""

from saec.charts.along_time import tracks
from saec.charts.counts import histogram, overlaid
from saec.charts.layouts import maps
from saec.charts.looks import colour
from saec.charts.scores import bars, confusion, lines

__all__ = ["bars", "colour", "confusion", "histogram", "lines", "maps", "overlaid", "tracks"]
