"""Figures take arrays and write PNG files; they know nothing of sessions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from saec.files import appearing

DPI = 110
PANEL_HEIGHT = 0.75  # inches
ERROR_MAP = "magma"
PICTURE_MAP = "viridis"
MOST_ROWS = 16  # pictures one below the other before a second block of columns begins
WIDEST = 3100  # pixels of all panels side by side before blocks are stacked again
MARKERS = "osD^vPX<>*"  # beside colours, for those who cannot tell colours apart
COLOURS = {"train": "#0072b2", "valid": "#d55e00"}  # of Okabe and Ito, told apart by everybody
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "oo", "++")
LINES = ("-", "--", ":", "-.")
NAMED, A_COLUMN = 100, 25  # what may stand in a legend, and below each other
BINS, FAR = 40, 10  # of a histogram; times the median, from where a value is far out
DOTS = 9
SEVERAL = colormaps["tab20"].colors  # side by side told apart better than lightness
FIGURES_IN_CELLS = 16  # classes up to which a confusion matrix has its numbers


def panels(path: Path, columns: dict[str, np.ndarray], names: Sequence[str], title: str) -> None:
    """One row a picture, one column a title; arrays are (n, channels, height, width) in [0, 1].

    A column called `error` is drawn in colours of its own, from 0 to its largest value.
    """
    n, (height, width) = len(names), next(iter(columns.values())).shape[2:]
    n_blocks = max(1, min(-(-n // MOST_ROWS), WIDEST // (width * len(columns))))
    n_rows = -(-n // n_blocks)
    n_columns = n_blocks * len(columns)
    panel_width = PANEL_HEIGHT * width / height
    width_inches = max(3.0, n_columns * panel_width + 0.3)
    figure = Figure((width_inches, n_rows * (PANEL_HEIGHT + 0.16) + 0.75), DPI)
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.65 / figure.get_figheight(), 0.04, 0.22)
    figure.text(0.01, 1 - 0.2 / figure.get_figheight(), plain(title), fontsize=8)
    for axes in grid.flat:
        axes.axis("off")
    for place in range(n):
        block, row = divmod(place, n_rows)
        for column, (heading, pictures) in enumerate(columns.items()):
            axes = grid[row, block * len(columns) + column]
            _picture(axes, pictures[place], _largest(heading, pictures))
            if row == 0:
                axes.set_title(plain(heading), fontsize=8, pad=12)
            if column == 0:
                axes.text(0, 1.04, plain(names[place][-48:]), fontsize=4.5, transform=axes.transAxes)
    write_figure(path, figure)


def history(
    path: Path,
    rows: Sequence[dict[str, float]],
    best_epoch: int,
    trivial: float | None,
    best_by: str = "loss",
) -> None:
    """Scores by epoch, training and validation, the best epoch and what knowing nothing would score.

    Beside the loss stands the score that the best epoch is found by, where that is another.
    """
    names = list(dict.fromkeys(["loss", best_by]))
    figure = Figure((7 * len(names), 4), DPI)
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    figure.subplots_adjust(0.16 / len(names), 0.13, 1 - 0.02 / len(names), 0.92, 0.2)
    for axes, name in zip(grid, names, strict=True):
        _course(axes, rows, name, best_epoch, trivial if name == best_by else None)
    write_figure(path, figure)


def _course(
    axes: Axes, rows: Sequence[dict[str, float]], name: str, best_epoch: int, trivial: float | None
) -> None:
    """One score by epoch; a loss on a logarithmic axis."""
    epochs = [row["epoch"] for row in rows]
    for part, colour in COLOURS.items():
        scores = [row[f"{part}_{name}"] for row in rows]
        axes.plot(epochs, scores, marker="o", markersize=3, color=colour, label=part)
    if trivial is not None:
        axes.axhline(trivial, color="0.5", linestyle=":", label="nothing learnt")
    axes.axvline(best_epoch, color=COLOURS["valid"], linewidth=0.8, linestyle="--", label="best epoch")
    words = name.replace("_", " ")
    axes.set(xlabel="epoch", ylabel=words, title=f"{words[0].upper()}{words[1:]} by epoch")
    if name == "loss" and min(row["valid_loss"] for row in rows) > 0:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False)


def _picture(axes: Axes, picture: np.ndarray, largest: float | None) -> None:
    """(channels, height, width); `largest` marks an error."""
    if picture.shape[0] == 3 and largest is None:
        axes.imshow(picture.transpose(1, 2, 0).clip(0, 1), interpolation="nearest", aspect="auto")
        return
    colours, top = (PICTURE_MAP, 1.0) if largest is None else (ERROR_MAP, largest)
    axes.imshow(picture.mean(0), cmap=colours, vmin=0, vmax=top, interpolation="nearest", aspect="auto")


def _largest(heading: str, pictures: np.ndarray) -> float | None:
    return max(float(pictures.max()), 1e-6) if heading == "error" else None


def plain(words: object) -> str:
    """Words as they are: `$` begins no formula, `_` hides nothing from a legend."""
    said = str(words).replace("$", r"\$")
    return f"\u2009{said}" if said.startswith("_") else said


def write_figure(path: Path, figure: Figure) -> None:
    with appearing(path) as temporary:
        figure.savefig(temporary, format="png")


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


def histograms(path: Path, values: dict[str, np.ndarray], title: str, x_label: str, y_label: str) -> None:
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
