"""Draws figures of arrays and writes them as PNG files, without any session."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator

from saec.files import appearing
from saec.fonts import font_for, letters_of

if TYPE_CHECKING:
    from pandas import DataFrame

LOG = logging.getLogger(__name__)
DPI = 110
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
WORDS = {"knn": "macro-F1 of k-NN"}  # for scores whose names alone do not say it
COLOURS = {"train": OKABE_ITO[0], "valid": OKABE_ITO[1]}
MANY_COLOURS = list(map(colormaps["tab20"], range(20)))  # easier to distinguish side by side than lightness
MARKERS = "osD^vPX<>*"  # beside colours, for those who cannot tell colours apart
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "oo", "++")
LINES = ("-", "--", ":", "-.")
MOST_NAMES, NAMES_A_COLUMN = 100, 25  # of a legend
N_BINS, LONG_TAIL = 40, 10  # of a histogram; the largest value over the median from which a tail is long
DOTS = 9  # size of the points of a map
MOST_NUMBERS = 16  # classes up to which a confusion matrix has numbers in its cells


def history(
    path: Path,
    rows: Sequence[dict[str, float]],
    best_epoch: int,
    trivial: Sequence[float] | None,
    best_by: str = "loss",
    apart: bool = False,
) -> None:
    """Draws scores by epoch, training and validation, the best epoch and scores of a trivial answer.

    Beside the loss stands the score that selects the best epoch, where that is another, and that of a probe;
    on it in grey the alpha of each epoch, where a training changes it. `apart`: the loss, then each alone.
    """
    names = ["loss", best_by, *(["knn"] if any("valid_knn" in row for row in rows) else [])]
    panels = [(name, (*COLOURS,)) for name in dict.fromkeys(names)]
    panels = [("loss", parts) for parts in ((*COLOURS,), ("train",), ("valid",))] if apart else panels
    n, epochs = len(panels), [row["epoch"] for row in rows]
    figure = Figure(((4.5 if apart else 7) * n, 4), DPI)
    figure.subplots_adjust(0.16 / n, 0.13, 1 - 0.02 / n, 0.92, 0.35 if apart else 0.2)
    for axes, (name, parts) in zip(figure.subplots(1, n, squeeze=False)[0], panels, strict=True):
        for part in parts:
            points = [(row["epoch"], row[key]) for row in rows if (key := f"{part}_{name}") in row]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", markersize=3, color=COLOURS[part], label=part)
        if trivial is not None and name == best_by:
            edges = np.arange(len(rows) + 1) + epochs[0] - 0.5
            axes.stairs(trivial, edges, baseline=None, color="0.5", linestyle=":", label="nothing learnt")
        axes.axvline(best_epoch, color=COLOURS["valid"], linewidth=0.8, linestyle="--", label="best epoch")
        words = WORDS.get(name, name.replace("_", " "))
        axes.set(xlabel="epoch", ylabel=words, title=f"{words[0].upper()}{words[1:]} by epoch")
        if name == "loss":
            _log_if_wide(axes, [row[f"{part}_loss"] for row in rows for part in parts])
            alphas = [row.get("valid_alpha", np.nan) for row in rows]
            if len({*alphas}) > 1:
                _draw_beside(axes, epochs, alphas, "alpha")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        many = len(axes.figure.axes) > n
        axes.legend(frameon=False, **({"loc": "upper center", "ncols": 2} if many else {}))  # above the steps
    write_figure(path, figure)


def _draw_beside(axes: Axes, x: Sequence[float], y: Sequence[float], label: str) -> None:
    """Draws small grey steps of numbers from 0 to 1, with an axis of their own at the right."""
    axes.figure.subplots_adjust(right=0.92)
    right = axes.twinx()
    right.step(x, y, where="mid", color="0.6", linewidth=0.8)
    right.set(ylim=(0, 1.45), yticks=(0, 0.5, 1))  # the legend is above
    right.set_ylabel(label, color="0.5", fontsize="small", labelpad=2)
    right.tick_params(colors="0.5", labelsize="x-small")


def histogram(path: Path, counts: np.ndarray, title: str, x_label: str, y_label: str) -> None:
    """Draws counts by value, from 0 on."""
    with canvas(path, title, (7, 3)) as [[axes]]:
        axes.fill_between(np.arange(len(counts)), counts, step="mid", color=colour(0))
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, len(counts) - 1))
        if counts.max() > 50 * max(1, np.median(counts)):
            axes.set_yscale("symlog")
            axes.set_ylim(bottom=0)


def histograms(path: Path, values: dict[str, np.ndarray], title: str, x_label: str, y_label: str) -> None:
    """Draws a histogram of positive values a series, one below the other, all over the same bins, wider ones
    for a long tail.
    """
    pooled = np.concatenate(list(values.values()))
    is_long = pooled.max() > LONG_TAIL * np.median(pooled)
    edges = np.histogram_bin_edges(pooled, N_BINS)
    if is_long:
        edges = np.geomspace(pooled.min(), pooled.max(), N_BINS + 1)
    n = len(values)
    with canvas(path, title, (7, 4 if n == 1 else 1.2 + 0.55 * n), n, sharex=True, sharey=True) as grid:
        for number, (axes, (name, of)) in enumerate(zip(grid.flat, values.items(), strict=True)):
            axes.stairs(np.histogram(of, edges)[0], edges, fill=True, color=colour(number))
            if n > 1:
                axes.set_ylabel(plain(name[:20]), fontsize=7, rotation=0, ha="right", va="center")
                axes.tick_params(labelsize=7)
        if is_long:
            axes.set_xscale("log")
        axes.set_xlabel(x_label)
        axes.figure.supylabel(y_label, fontsize="medium")


def maps(path: Path, panels: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]], title: str) -> None:
    """Draws 2-D maps (n, 2) with labels (n,), by (row, column): sets down, methods across; grey: no label."""
    rows, columns = (list(dict.fromkeys(key[side] for key in panels)) for side in (0, 1))
    size = 3.4 * len(columns) + 1.4, 3.2 * len(rows) + 0.5
    with canvas(path, title, size, len(rows), len(columns)) as grid:
        grid[0, 0].figure.get_layout_engine().set(h_pad=0.08)  # a label is not at the next row's title
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


def tracks(path: Path, files: dict[str, tuple[np.ndarray, np.ndarray]], step_s: float, title: str) -> None:
    """Draws labels (n,) along time by file, true ones above predicted ones; "" is white."""
    names = sorted({str(name) for pair in files.values() for name in np.unique(pair)} - {""})
    many = len(OKABE_ITO) < len(names) <= len(MANY_COLOURS)
    colours = MANY_COLOURS if many else [colour(number) for number in range(len(names))]
    shades = {"": (1.0, 1.0, 1.0)} | dict(zip(names, map(to_rgb, colours), strict=False))
    with canvas(path, title, (10, 1.0 + 0.9 * len(files)), len(files)) as grid:
        for axes, (file, pair) in zip(grid.flat, files.items(), strict=True):
            labels, codes = np.unique(np.stack(pair), return_inverse=True)
            picture = np.array([shades[str(name)] for name in labels])[codes.reshape(2, -1)]  # (2, n, 3)
            extent = (0, step_s * len(pair[0]), 2, 0)
            axes.imshow(picture, aspect="auto", interpolation="nearest", extent=extent)
            axes.axhline(1, color="white", linewidth=1.5)
            axes.set_yticks((0.5, 1.5), ("truth", "predicted"), fontsize=7)
            axes.tick_params(axis="x", labelsize=7)
            axes.set_title(plain(file[-80:]), fontsize=7, loc="left")
        axes.set_xlabel("time (s)", fontsize=8)
        handles = [Patch(color=shades[name], label=plain(name)) for name in names]
        _legend(axes.figure, handles, loc="outside right upper")


def bars(path: Path, values: "DataFrame", stds: "DataFrame", title: str, unit: str) -> None:
    """Draws one group of bars a column, one bar a row; `stds` are whiskers where they are numbers."""
    width, (n_series, n_groups) = 0.8 / len(values), values.shape
    x = np.arange(n_groups)
    with canvas(path, title, (max(5, 1.5 + 0.45 * n_groups * n_series), 4)) as [[axes]]:
        for number, series in enumerate(values.index):
            whiskers = _whiskers(values.loc[series], stds.loc[series])
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
        axes.set_ylabel(unit)
        _legend_beside(axes)


def _whiskers(values: np.ndarray, stds: np.ndarray) -> np.ndarray:
    """Returns the lengths below and above values (2, n) that end where scores do, at 0 and 1."""
    return np.nan_to_num(np.minimum(np.asarray(stds), [values, np.subtract(1, values)]))


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
    with canvas(path, title, (7, 4)) as [[axes]]:
        for number, (name, (x, y)) in enumerate(curves.items()):
            look: dict[str, Any] = {"color": colour(number), "marker": MARKERS[number % len(MARKERS)]}
            look |= {"linestyle": LINES[number // len(OKABE_ITO) % len(LINES)], "markersize": 4}
            look["markevery"] = max(1, len(x) // 40)  # of many points a few are marked
            if stds:  # whiskers stand beside each other
                x = np.asarray(x) * 1.01 ** (number - (len(curves) - 1) / 2)
            whiskers = _whiskers(np.asarray(y), np.asarray(stds[name])) if stds else None
            axes.errorbar(x, y, whiskers, capsize=2, label=plain(name), **look)
        axes.set(xlabel=plain(x_label), ylabel=y_label)
        if x_label == "epoch" or x_label.endswith("(frames)"):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if log_x:
            ticks = sorted({value for x, _ in curves.values() for value in x})
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
            axes.minorticks_off()
        if log_y:
            _log_if_wide(axes, [value for _, y in curves.values() for value in y])
        if axes.dataLim.y0 == 0:
            axes.set_ylim(bottom=0)
        _legend_beside(axes)


def confusion(path: Path, counts: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Draws counts of true classes (rows) and predicted ones (columns); colours are shares of a row."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(14.0, 2.6 + 0.34 * len(classes))
    with canvas(path, title, (size + 0.8, size)) as [[axes]]:
        names = [str(name)[:20] for name in classes]
        image = draw_cells(axes, counts, shares, names, names, 6 if len(classes) <= MOST_NUMBERS else None)
        axes.set(xlabel="predicted", ylabel="true")
        axes.figure.colorbar(image, shrink=0.7, label="share of the class")


def draw_cells(
    axes: Axes,
    numbers: np.ndarray,
    shares: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    size: float | None,
    **look: Any,
) -> AxesImage:
    """Draws cells in shades of their shares, with numbers in letters of that size in them, or without."""
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, **look)
    axes.set_xticks(np.arange(len(columns)), list(map(plain, columns)), rotation=90, fontsize=7)
    axes.set_yticks(np.arange(len(rows)), list(map(plain, rows)), fontsize=7)
    for row, column in np.argwhere(numbers > 0) if size else ():
        shade = "black" if shares[row, column] > 0.5 else "white"
        number = f"{numbers[row, column]:.0f}"
        axes.text(column, row, number, ha="center", va="center", fontsize=size, color=shade)
    return image


@contextmanager
def canvas(
    path: Path, title: str, size: tuple[float, float], rows: int = 1, columns: int = 1, **options: Any
) -> Iterator[np.ndarray]:
    """Yields the axes (rows, columns) of a new figure of that size in inches, and writes it when they are
    filled.
    """
    figure = Figure(size, DPI, layout="constrained")
    yield figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle(plain(title), fontsize=10)
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
    """Writes a figure; letters that its font lacks are of another font of this machine, if there is one."""
    texts = figure.findobj(Text)
    lacking = frozenset("".join(text.get_text() for text in texts)) - letters_of(findfont("DejaVu Sans"))
    other = font_for(lacking - {"\n"})
    if other:
        for text in texts:
            text.set_fontfamily(["DejaVu Sans", other])
    with appearing(path) as temporary, catch_warnings():
        filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # which is logged once
        figure.savefig(temporary, format="png")


def _log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    """Makes the y axis logarithmic where positive values span a decade, with labels at 1, 2 and 5; five
    decades at most are shown.
    """
    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        if max(values) > 1e5 * min(values):
            axes.set_ylim(bottom=max(values) / 1e5)


def _legend_beside(axes: Axes) -> None:
    _legend(axes, axes.get_legend_handles_labels()[0], loc="center left", bbox_to_anchor=(1, 0.5))


def _legend(target: Axes | Figure, handles: Sequence[Artist], **where: Any) -> None:
    """Draws a legend of names; of too many to be read it says how many there are."""
    n = len(handles)
    if n > MOST_NAMES:
        target.legend(handles=[], title=f"{n:,} names", title_fontsize=6, frameon=False, **where)
    elif n:
        target.legend(handles=handles, fontsize=6, frameon=False, ncols=-(-n // NAMES_A_COLUMN), **where)
