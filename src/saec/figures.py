"""Draws figures of arrays and writes them as PNG files, without any session."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator

from saec.files import appearing

if TYPE_CHECKING:
    from pandas import DataFrame

DPI = 110
PANEL_HEIGHT = 0.75  # inches
FONT, SMALL = 8, 4.5  # points of letters
LEFT, GAP = 0.4, 0.06  # inches left of all pictures, and between them
ERROR_MAP = "magma"
PICTURE_MAP = "viridis"
MOST_ROWS = 16  # pictures one below the other before a second block of columns begins
WIDEST = 3100  # pixels of all panels side by side before blocks are stacked again
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
COLOURS = {"train": OKABE_ITO[0], "valid": OKABE_ITO[1]}
MANY_COLOURS = colormaps["tab20"].colors  # easier to distinguish side by side than lightness
MARKERS = "osD^vPX<>*"  # beside colours, for those who cannot tell colours apart
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "oo", "++")
LINES = ("-", "--", ":", "-.")
MOST_NAMES, NAMES_A_COLUMN = 100, 25  # of a legend
N_BINS, LONG_TAIL = 40, 10  # of a histogram; the largest value over the median from which a tail is long
DOTS = 9  # size of the points of a map
MOST_NUMBERS = 16  # classes up to which a confusion matrix has numbers in its cells


def panels(
    path: Path,
    columns: dict[str, np.ndarray],
    names: Sequence[str],
    title: str,
    seconds: float | None = None,
    hertz: Sequence[float] | None = None,
) -> None:
    """Draws one row a picture, one column a title; arrays are (n, channels, height, width) in [0, 1].

    A column called `error` is drawn in colours of its own, from 0 to its largest value. `seconds` is how long
    a picture is, `hertz` (height,) what its rows are, the lowest first; None where that is unknown.
    """
    n, (height, width) = len(names), next(iter(columns.values())).shape[2:]
    largest = {name: max(float(of.max()), 1e-6) for name, of in columns.items() if name == "error"}
    headings = [f"{name} (0 to {largest[name]:.2g})" if name in largest else plain(name) for name in columns]
    n_blocks = max(1, min(-(-n // MOST_ROWS), WIDEST // (width * len(columns))))
    n_rows, shown = -(-n // n_blocks), PANEL_HEIGHT * width / height
    wide = GAP + max(shown, *(_inches(heading, FONT) for heading in headings))
    n_letters = int(len(columns) * wide / _inches("0", SMALL))  # of a name
    across = max(3.0, LEFT + n_blocks * len(columns) * wide)
    lines = wrap(plain(title), int(across / _inches("0", FONT))) or [""]
    first, down = 0.4 + 0.15 * len(lines), PANEL_HEIGHT + 0.16
    axes = _inch_axes(across, first + n_rows * down)
    axes.text(0.05, 0.05, "\n".join(lines), fontsize=FONT, va="top")
    for column, (heading, pictures) in enumerate(columns.items()):
        for number, name in enumerate(names):
            block, row = divmod(number, n_rows)
            left, top = LEFT + wide * (block * len(columns) + column), first + down * row
            bottom = top + PANEL_HEIGHT
            _draw_picture(axes, (left, left + shown, bottom, top), pictures[number], largest.get(heading))
            if row == 0:
                axes.text(left, top - 0.14, headings[column], fontsize=FONT)
            if column == 0:
                axes.text(left, top - 0.03, plain(name[-n_letters:]), fontsize=SMALL)
            if column == block == 0 and hertz is not None:
                _label_frequencies(axes, left, (top, bottom), hertz)
            if seconds is not None and (row == n_rows - 1 or number == n - 1):
                look, words = {"fontsize": SMALL, "va": "top"}, f"{seconds:.3g} s"
                is_wide = shown > _inches("0 " + words, SMALL)
                axes.text(left, bottom + 0.02, "0" if is_wide else words, **look)
                axes.text(left + shown, bottom + 0.02, words if is_wide else "", ha="right", **look)
    write_figure(path, axes.figure)


def _inch_axes(width: float, height: float) -> Axes:
    """Returns one axes over a whole figure, in inches from its top left: one a picture takes seconds."""
    axes = Figure((width, height), DPI).add_axes((0, 0, 1, 1), autoscale_on=False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return axes


def _label_frequencies(axes: Axes, left: float, edges: tuple[float, float], hertz: Sequence[float]) -> None:
    """Writes kHz left of a picture: of its highest, its middle and its lowest row."""
    look = {"fontsize": SMALL, "ha": "right", "va": "center"}
    for share, row in ((0.96, -1), (0.5, len(hertz) // 2), (0.04, 0)):
        word = f"{hertz[row] / 1000:.3g}" + (" kHz" if row == -1 else "")
        axes.text(left - 0.02, edges[1] + share * (edges[0] - edges[1]), word, **look)


def _inches(text: str, size: float) -> float:
    """Returns about how wide a line of text of a size in points is."""
    return sum(1.0 if east_asian_width(letter) in "WF" else 0.62 for letter in text) * size / 72


def _draw_picture(
    axes: Axes, edges: tuple[float, float, float, float], picture: np.ndarray, largest: float | None
) -> None:
    """Draws one picture (channels, height, width) between edges (left, right, bottom, top).

    `largest` is the largest value of an error.
    """
    look = {"interpolation": "nearest", "aspect": "auto", "extent": edges}
    if picture.shape[0] == 3 and largest is None:
        axes.imshow(picture.transpose(1, 2, 0).clip(0, 1), **look)
    else:
        colours, top = (PICTURE_MAP, 1.0) if largest is None else (ERROR_MAP, largest)
        axes.imshow(picture.mean(0), cmap=colours, vmin=0, vmax=top, **look)


def history(
    path: Path,
    rows: Sequence[dict[str, float]],
    best_epoch: int,
    trivial: float | None,
    best_by: str = "loss",
) -> None:
    """Draws scores by epoch, training and validation, the best epoch and the score of a trivial answer.

    Beside the loss stands the score that selects the best epoch, where that is another.
    """
    names = list(dict.fromkeys(["loss", best_by]))
    figure = Figure((7 * len(names), 4), DPI)
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    figure.subplots_adjust(0.16 / len(names), 0.13, 1 - 0.02 / len(names), 0.92, 0.2)
    epochs = [row["epoch"] for row in rows]
    for axes, name in zip(grid, names, strict=True):
        for part, colour_of_part in COLOURS.items():
            scores = [row[f"{part}_{name}"] for row in rows]
            axes.plot(epochs, scores, marker="o", markersize=3, color=colour_of_part, label=part)
        if trivial is not None and name == best_by:
            axes.axhline(trivial, color="0.5", linestyle=":", label="nothing learnt")
        axes.axvline(best_epoch, color=COLOURS["valid"], linewidth=0.8, linestyle="--", label="best epoch")
        words = name.replace("_", " ")
        axes.set(xlabel="epoch", ylabel=words, title=f"{words[0].upper()}{words[1:]} by epoch")
        if name == "loss":
            _log_if_wide(axes, [row[f"{part}_loss"] for row in rows for part in COLOURS])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False)
    write_figure(path, figure)


def histogram(path: Path, counts: np.ndarray, title: str, x_label: str, y_label: str) -> None:
    """Draws counts by value, from 0 on."""
    figure, axes = _figure(7, 3)
    axes.fill_between(np.arange(len(counts)), counts, step="mid", color=colour(0))
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(0, len(counts) - 1))
    if counts.max() > 50 * max(1, np.median(counts)):
        axes.set_yscale("symlog")
        axes.set_ylim(bottom=0)
    write_figure(path, figure)


def histograms(path: Path, values: dict[str, np.ndarray], title: str, x_label: str, y_label: str) -> None:
    """Draws a histogram of positive values a series, all over the same bins, wider ones for a long tail."""
    pooled = np.concatenate(list(values.values()))
    is_long = pooled.max() > LONG_TAIL * np.median(pooled)
    edges = np.histogram_bin_edges(pooled, N_BINS)
    if is_long:
        edges = np.geomspace(pooled.min(), pooled.max(), N_BINS + 1)
    figure, axes = _figure(7, 4)
    for number, (name, of) in enumerate(values.items()):
        label = plain(name) if len(values) > 1 else None
        axes.stairs(np.histogram(of, edges)[0], edges, fill=len(values) == 1, label=label, **_line(number))
    axes.set(title=plain(title), xlabel=x_label, ylabel=y_label)
    if is_long:
        axes.set_xscale("log")
    _legend_beside(axes)
    write_figure(path, figure)


def maps(path: Path, panels: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]], title: str) -> None:
    """Draws 2-D maps (n, 2) with labels (n,), by (row, column): sets down, methods across; grey: no label."""
    rows, columns = (list(dict.fromkeys(key[side] for key in panels)) for side in (0, 1))
    figure = Figure((3.4 * len(columns) + 1.4, 3.2 * len(rows) + 0.5), DPI, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for (row, column), (layout, labels) in panels.items():
        axes = grid[rows.index(row), columns.index(column)]
        axes.axis("on")
        axes.scatter(*layout[labels == ""].T, DOTS, color="0.8", linewidths=0)  # below those with a label
        for number, name in enumerate(np.unique(labels[labels != ""])):
            look = {"color": [colour(number)], "marker": MARKERS[number % len(MARKERS)], "linewidths": 0}
            axes.scatter(*layout[labels == name].T, DOTS, label=plain(name), **look)
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel("UMAP 1 (no unit)", fontsize=7)
        axes.set_ylabel("UMAP 2 (no unit)", fontsize=7)
        axes.set_title(plain(f"{row}: {column}" if len(rows) > 1 else column), fontsize=8)
        if column == columns[-1]:
            _legend_beside(axes)
    figure.suptitle(title, fontsize=10)
    write_figure(path, figure)


def tracks(path: Path, files: dict[str, tuple[np.ndarray, np.ndarray]], step_s: float, title: str) -> None:
    """Draws labels (n,) along time by file, true ones above predicted ones; "" is white."""
    names = sorted({str(name) for pair in files.values() for name in np.unique(pair)} - {""})
    many = len(OKABE_ITO) < len(names) <= len(MANY_COLOURS)
    colours = MANY_COLOURS if many else [colour(number) for number in range(len(names))]
    shades = {"": (1.0, 1.0, 1.0)} | dict(zip(names, map(to_rgb, colours), strict=False))
    figure = Figure((10, 1.0 + 0.9 * len(files)), DPI, layout="constrained")
    grid = figure.subplots(len(files), 1, squeeze=False)[:, 0]
    for axes, (file, pair) in zip(grid, files.items(), strict=True):
        labels, codes = np.unique(np.stack(pair), return_inverse=True)
        picture = np.array([shades[str(name)] for name in labels])[codes.reshape(2, -1)]  # (2, n, 3)
        axes.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, step_s * len(pair[0]), 2, 0))
        axes.axhline(1, color="white", linewidth=1.5)
        axes.set_yticks((0.5, 1.5), ("truth", "predicted"), fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(plain(file[-80:]), fontsize=7, loc="left")
    grid[-1].set_xlabel("time (s)", fontsize=8)
    handles = [Patch(color=shades[name], label=plain(name)) for name in names]
    _legend(figure, handles, loc="outside right upper")
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


def bars(path: Path, values: "DataFrame", stds: "DataFrame", title: str, unit: str) -> None:
    """Draws one group of bars a column, one bar a row; `stds` are whiskers where they are numbers."""
    width, (n_series, n_groups) = 0.8 / len(values), values.shape
    figure, axes = _figure(max(5, 1.5 + 0.45 * n_groups * n_series), 4)
    x = np.arange(n_groups)
    for number, series in enumerate(values.index):
        whiskers = np.nan_to_num(stds.loc[series])
        axes.bar(
            x + (number - (n_series - 1) / 2) * width,
            values.loc[series],
            width * 0.92,
            yerr=whiskers if whiskers.any() else None,
            label=plain(series),
            color=colour(number),
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
            ecolor="0.3",
        )
    axes.set_xticks(x, [plain(name.replace(", ", "\n")) for name in values.columns])
    axes.set(ylabel=unit, title=plain(title))
    _legend_beside(axes)
    write_figure(path, figure)


def lines(
    path: Path,
    curves: dict[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str,
    y_label: str,
    stds: dict[str, Sequence[float]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Draws curves over one axis; each has a colour, a line and a marker of its own, and perhaps whiskers."""
    figure, axes = _figure(7, 4)
    for number, (name, (x, y)) in enumerate(curves.items()):
        look = _line(number) | {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
        axes.errorbar(x, y, (stds or {}).get(name), capsize=2, label=plain(name), **look)
    axes.set(title=plain(title), xlabel=plain(x_label), ylabel=y_label)
    if log_x:
        ticks = sorted({value for x, _ in curves.values() for value in x})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axes.minorticks_off()
    if log_y:
        _log_if_wide(axes, [value for _, y in curves.values() for value in y])
    _legend_beside(axes)
    write_figure(path, figure)


def counts(path: Path, panels: dict[str, "DataFrame"], title: str) -> None:
    """Draws counts, one panel a table: names down, values across; shades are of each row's largest."""
    widths = [1 + 0.22 * table.shape[1] for table in panels.values()]
    n_rows = max(len(table) for table in panels.values())
    figure = Figure((1.5 + sum(widths), 1.6 + 0.24 * n_rows), DPI, layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, (unit, table) in zip(grid, panels.items(), strict=True):
        numbers = table.to_numpy(dtype=float)
        shares = numbers / np.maximum(numbers.max(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        pairs = zip(table.index, numbers.sum(axis=1), strict=True)
        names = [f"{plain(str(name)[:20])} ({n:,.0f})" for name, n in pairs]
        axes.set_yticks(np.arange(len(names)), names if axes is grid[0] else [], fontsize=7)
        values = [plain(str(value)[:20]) for value in table.columns]
        axes.set_xticks(np.arange(len(values)), values, rotation=90, fontsize=7)
        axes.set_xlabel("hour of day" if unit == "hour" else unit, fontsize=8)
        for row, column in np.argwhere(numbers > 0):
            look = {"ha": "center", "va": "center", "fontsize": 4.5}
            shade = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, f"{numbers[row, column]:.0f}", color=shade, **look)
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


def confusion(path: Path, counts: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Draws counts of true classes (rows) and predicted ones (columns); colours are shares of a row."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(14.0, 2.6 + 0.34 * len(classes))
    figure, axes = _figure(size + 0.8, size)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    names = [plain(str(name)[:20]) for name in classes]
    axes.set_xticks(np.arange(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(np.arange(len(names)), names, fontsize=7)
    axes.set(title=plain(title), xlabel="predicted", ylabel="true")
    for row, column in np.argwhere(counts > 0) if len(classes) <= MOST_NUMBERS else ():
        look = {"ha": "center", "va": "center", "fontsize": 6}
        shade = "black" if shares[row, column] > 0.5 else "white"
        axes.text(column, row, str(counts[row, column]), color=shade, **look)
    figure.colorbar(image, shrink=0.7, label="share of the class")
    write_figure(path, figure)


def colour(number: int) -> str | tuple:
    """Returns a colour of Okabe and Ito while they last, then one of a map that rises in lightness."""
    if number < len(OKABE_ITO):
        return OKABE_ITO[number]
    return colormaps["cividis"]((number * 0.381966) % 1)


def plain(words: object) -> str:
    """Returns words that are shown as they are: `$` begins no formula, `_` hides nothing in a legend."""
    text = str(words).replace("$", r"\$")
    return f"\u2009{text}" if text.startswith("_") else text


def write_figure(path: Path, figure: Figure) -> None:
    with appearing(path) as temporary:
        figure.savefig(temporary, format="png")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of so many inches with one axes."""
    figure = Figure((width, height), DPI, layout="constrained")
    return figure, figure.subplots()


def _log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    """Makes the y axis logarithmic, with labels at 1, 2 and 5, where positive values span a decade."""
    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")


def _line(number: int) -> dict[str, Any]:
    """Returns a colour, and another kind of line once those of Okabe and Ito have all been used."""
    return {"color": colour(number), "linestyle": LINES[number // len(OKABE_ITO) % len(LINES)]}


def _legend_beside(axes: Axes) -> None:
    _legend(axes, axes.get_legend_handles_labels()[0], loc="center left", bbox_to_anchor=(1, 0.5))


def _legend(target: Axes | Figure, handles: Sequence[Artist], **where: Any) -> None:
    """Draws a legend where there are names, and few enough to be read."""
    n = len(handles)
    if 0 < n <= MOST_NAMES:
        target.legend(handles=handles, fontsize=6, frameon=False, ncols=-(-n // NAMES_A_COLUMN), **where)
