"""Charts of an evaluation: maps, bars, lines, histograms, confusion matrices and tracks along time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from saec.figures import DPI, MARKERS, plain, write_figure

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "oo", "++")
LINES = ("-", "--", ":", "-.")
NAMED, A_COLUMN = 100, 25  # what may stand in a legend, and below each other


def colour(number: int) -> str | tuple:
    """Of Okabe and Ito while they last, told apart by everybody; then of a map that rises in lightness."""
    if number < len(OKABE_ITO):
        return OKABE_ITO[number]
    return colormaps["cividis"]((number * 0.381966) % 1)


def stroke(number: int) -> dict[str, Any]:
    """A colour, and another kind of line once those of Okabe and Ito have all been used."""
    return {"color": colour(number), "linestyle": LINES[number // len(OKABE_ITO) % len(LINES)]}


def hatch(number: int) -> str:
    return HATCHES[number % len(HATCHES)]


def legend(axes: Axes) -> None:
    """Beside the axes, where names are few enough to be read."""
    n = len(axes.get_legend_handles_labels()[1])
    if 0 < n <= NAMED:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), **legend_look(n))


def legend_look(n: int) -> dict[str, Any]:
    """Of n names."""
    return {"fontsize": 6, "frameon": False, "ncols": -(-n // A_COLUMN)}


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


DOTS = 9


def maps(path: Path, panels: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]], title: str) -> None:
    """2-D maps (n, 2) with labels (n,), by (row, column): sets down, methods across."""
    rows, columns = (list(dict.fromkeys(place[side] for place in panels)) for side in (0, 1))
    figure = Figure((3.4 * len(columns) + 1.4, 3.2 * len(rows) + 0.5), DPI, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for (row, column), (layout, labels) in panels.items():
        axes = grid[rows.index(row), columns.index(column)]
        axes.axis("on")
        _scattered(axes, layout, labels)
        axes.set_title(plain(f"{row}: {column}" if len(rows) > 1 else column), fontsize=8)
        if column == columns[-1]:
            legend(axes)
    figure.suptitle(title, fontsize=10)
    write_figure(path, figure)


def _scattered(axes: Axes, layout: np.ndarray, labels: np.ndarray) -> None:
    """Points by label, each with a colour and a marker; what has no label is grey and lies below."""
    names = [name for name in np.unique(labels) if name != ""]
    blank = labels == ""
    axes.scatter(*layout[blank].T, DOTS, color="0.8", linewidths=0)
    for number, name in enumerate(names):
        axes.scatter(
            *layout[labels == name].T,
            DOTS,
            color=[colour(number)],
            marker=MARKERS[number % len(MARKERS)],
            label=plain(name),
            linewidths=0,
        )
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)")
    axes.xaxis.label.set_size(7)
    axes.yaxis.label.set_size(7)


SEVERAL = colormaps["tab20"].colors  # side by side told apart better than lightness


def tracks(path: Path, files: dict[str, tuple[np.ndarray, np.ndarray]], step_s: float, title: str) -> None:
    """Labels (n,) along time, what is true above what was said, by file; white where there is none ("")."""
    names = sorted({str(name) for pair in files.values() for name in np.unique(pair)} - {""})
    hues = SEVERAL if len(OKABE_ITO) < len(names) <= len(SEVERAL) else [colour(n) for n in range(len(names))]
    shades = {"": (1.0, 1.0, 1.0)} | dict(zip(names, map(to_rgb, hues), strict=False))
    figure = Figure((10, 1.0 + 0.9 * len(files)), DPI, layout="constrained")
    grid = figure.subplots(len(files), 1, squeeze=False)[:, 0]
    for axes, (file, pair) in zip(grid, files.items(), strict=True):
        there, codes = np.unique(np.stack(pair), return_inverse=True)
        picture = np.array([shades[str(name)] for name in there])[codes.reshape(2, -1)]  # (2, n, 3)
        axes.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, step_s * len(pair[0]), 2, 0))
        axes.axhline(1, color="white", linewidth=1.5)
        axes.set_yticks((0.5, 1.5), ("truth", "predicted"), fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(plain(file[-80:]), fontsize=7, loc="left")
    grid[-1].set_xlabel("time (s)", fontsize=8)
    if len(names) <= NAMED:
        patches = [Patch(color=shades[name], label=plain(name)) for name in names]
        figure.legend(handles=patches, loc="outside right upper", **legend_look(len(names)))
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


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
