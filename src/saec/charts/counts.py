"""How often values are there: counts as they come, and histograms over each other."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saec.charts.looks import colour, legend, stroke
from saec.figures import DPI, plain, write_figure

BINS, FAR = 40, 10  # of a histogram; times the median, from where a value is far out


def histogram(path: Path, counts: np.ndarray, title: str, x_label: str, y_label: str) -> None:
    """Counts by value, from 0 on."""
    figure = Figure((7, 3), DPI, layout="constrained")
    axes = figure.subplots()
    axes.fill_between(np.arange(len(counts)), counts, step="mid", color=colour(0))
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(0, len(counts) - 1))
    if counts.max() > 50 * max(1, np.median(counts)):
        axes.set_yscale("symlog")
        axes.set_ylim(bottom=0)
    write_figure(path, figure)


def overlaid(path: Path, values: dict[str, np.ndarray], title: str, x_label: str, y_label: str) -> None:
    """Histograms of positive values by series, over the same bins; where a tail is long these widen."""
    everything = np.concatenate(list(values.values()))
    long = everything.max() > FAR * np.median(everything)
    low, high = everything.min(), everything.max()
    edges = np.geomspace(low, high, BINS + 1) if long else np.histogram_bin_edges(everything, BINS)
    figure = Figure((7, 4), DPI, layout="constrained")
    axes = figure.subplots()
    for number, (name, of) in enumerate(values.items()):
        label = plain(name) if len(values) > 1 else None
        axes.stairs(np.histogram(of, edges)[0], edges, fill=len(values) == 1, label=label, **stroke(number))
    axes.set(title=plain(title), xlabel=x_label, ylabel=y_label)
    if long:
        axes.set_xscale("log")
    legend(axes)
    write_figure(path, figure)
