"""Scores: bars by place, curves over an axis, and a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saec.charts.looks import colour, hatch, legend, stroke
from saec.figures import DPI, MARKERS, plain, write_figure

FIGURES_IN_CELLS = 16  # classes up to which a confusion matrix has its numbers


def bars(
    path: Path,
    values: dict[str, Sequence[float]],
    places: Sequence[str],
    spreads: dict[str, Sequence[float]],
    title: str,
    unit: str,
) -> None:
    """One group of bars a place, one bar a series; `spreads` are drawn as whiskers where they are numbers."""
    width = 0.8 / len(values)
    figure = Figure((max(5, 1.5 + 0.45 * len(places) * len(values)), 4), DPI, layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(places))
    for number, (series, heights) in enumerate(values.items()):
        whiskers = np.nan_to_num(np.array(spreads.get(series, np.zeros(len(places))), dtype=float))
        axes.bar(
            at + (number - (len(values) - 1) / 2) * width,
            heights,
            width * 0.92,
            yerr=whiskers if whiskers.any() else None,
            label=plain(series),
            color=colour(number),
            hatch=hatch(number),
            edgecolor="white",
            ecolor="0.3",
        )
    axes.set_xticks(at, [plain(place) for place in places])
    axes.set(ylabel=unit, title=plain(title))
    legend(axes)
    write_figure(path, figure)


def lines(
    path: Path,
    curves: dict[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str,
    y_label: str,
    spreads: dict[str, Sequence[float]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Curves over one axis; each has a colour, a line and a marker of its own."""
    figure = Figure((7, 4), DPI, layout="constrained")
    axes = figure.subplots()
    for number, (name, (x, y)) in enumerate(curves.items()):
        look = {
            **stroke(number),
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 4,
            "label": plain(name),
        }
        if spreads and name in spreads:
            axes.errorbar(x, y, spreads[name], capsize=2, **look)
        else:
            axes.plot(x, y, **look)
    axes.set(title=plain(title), xlabel=plain(x_label), ylabel=y_label)
    if log_x:
        ticks = sorted({value for x, _ in curves.values() for value in x})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axes.minorticks_off()
    if log_y:
        axes.set_yscale("log")
    legend(axes)
    write_figure(path, figure)


def confusion(path: Path, counts: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Rows are what is true, columns what was said; colours are shares of a row."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(14.0, 2.6 + 0.34 * len(classes))
    figure = Figure((size + 0.8, size), DPI, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    places = np.arange(len(classes))
    axes.set_xticks(places, [plain(str(name)[:20]) for name in classes], rotation=90, fontsize=7)
    axes.set_yticks(places, [plain(str(name)[:20]) for name in classes], fontsize=7)
    axes.set(title=plain(title), xlabel="said", ylabel="true")
    if len(classes) <= FIGURES_IN_CELLS:
        for row, column in np.argwhere(counts > 0):
            shade = "black" if shares[row, column] > 0.5 else "white"
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", color=shade, fontsize=6
            )
    figure.colorbar(image, shrink=0.7, label="share of the class")
    write_figure(path, figure)
