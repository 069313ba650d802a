"""2-D maps side by side, their points told apart by label."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saec.charts.looks import colour, legend
from saec.figures import DPI, MARKERS, plain, write_figure

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
