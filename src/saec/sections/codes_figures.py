"""Draws what is special to codes: losses apart, errors by alpha, traces, kernels, and codes as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saec.figures import COLOURS, DPI, MARKERS, colour, plain, write_figure

N_KERNELS = 64  # that are drawn
N_CODES, MOST_NAMED = 64, 20  # codes of a picture, and columns up to which each has its name
FEW_VALUES = 2.0  # times the width of a kernel, that its height may be at most
SCORES = {"mse": "mean squared error", "l1": "mean size of codes (L1)", "sparsity": "share of zeros"}


def losses(path: Path, history: Sequence[dict[str, float]], best_epoch: int) -> None:
    """Draws training and validation loss by epoch, both in one panel, then each in one of its own."""
    figure = Figure((12, 3.4), DPI, layout="constrained")
    panels = {"both": tuple(COLOURS), "training": ("train",), "validation": ("valid",)}
    epochs = [row["epoch"] for row in history]
    for axes, (title, parts) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for part in parts:
            values = [row[f"{part}_loss"] for row in history]
            axes.plot(epochs, values, color=COLOURS[part], marker="o", markersize=3, label=part)
        axes.axvline(best_epoch, color="0.5", linewidth=0.8, linestyle="--", label="best epoch")
        axes.set(title=f"Loss by epoch, {title}", xlabel="epoch", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False, fontsize=7)
    write_figure(path, figure)


def alphas(path: Path, table: pd.DataFrame, title: str) -> None:
    """Draws error, size and sparsity of codes against alpha, one panel each."""
    there = [name for name in SCORES if table[name].notna().any()]
    figure = Figure((4 * len(there), 3.4), DPI, layout="constrained")
    for number, (axes, name) in enumerate(
        zip(figure.subplots(1, len(there), squeeze=False)[0], there, strict=True)
    ):
        axes.plot(table["alpha"], table[name], color=colour(number), marker=MARKERS[number], markersize=4)
        axes.set(xlabel="alpha", ylabel=SCORES[name])
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


def traces(
    path: Path,
    samples: dict[str, tuple[np.ndarray, np.ndarray]],
    columns: Sequence[str],
    title: str,
    rate_hz: float | None,
) -> None:
    """Draws truth and prediction (columns, frames) over time: columns down, samples across."""
    figure = Figure((4.6 * len(samples), 0.9 + 1.3 * len(columns)), DPI, layout="constrained")
    grid = figure.subplots(len(columns), len(samples), squeeze=False, sharex="col", sharey="row")
    for across, (name, pair) in enumerate(samples.items()):
        for down, column in enumerate(columns):
            axes = grid[down, across]
            for number, (values, label) in enumerate(zip(pair, ("truth", "prediction"), strict=True)):
                look = {"color": colour(number), "linestyle": ("-", "--")[number], "linewidth": 1.1}
                axes.plot(_times(values.shape[1], rate_hz), values[down], label=label, **look)
            axes.tick_params(labelsize=7)
            if across == 0:
                axes.set_ylabel(plain(column[:20]), fontsize=8)
        grid[0, across].set_title(plain(name[-60:]), fontsize=8)
        grid[-1, across].set_xlabel(_time_axis(rate_hz), fontsize=8)
    handles = grid[0, 0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, fontsize=7, frameon=False, loc="outside right upper")
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


def weights(path: Path, kernel: np.ndarray, title: str) -> None:
    """Draws kernels (out, in, ...) as small pictures, those with the largest norms, all in one scale.

    One along time alone is drawn over all its inputs, (in, time), one of pictures as the mean over these.
    """
    kernel = kernel[:, :, 0] if kernel.ndim == 4 and kernel.shape[2] == 1 else kernel
    kernel = kernel.mean(axis=1) if kernel.ndim == 4 else kernel
    strongest = np.argsort(-np.square(kernel).sum((1, 2)), kind="stable")[:N_KERNELS]
    n_across = min(16, len(strongest))
    n_down = -(-len(strongest) // n_across)
    height, width = kernel.shape[1:]
    tall = min(max(height / width, 1 / FEW_VALUES), FEW_VALUES)
    figure = Figure(
        (max(5.0, 1.6 + 0.6 * n_across), 0.8 + n_down * (0.6 * tall + 0.2)), DPI, layout="constrained"
    )
    grid = figure.subplots(n_down, n_across, squeeze=False)
    largest = max(float(np.abs(kernel[strongest]).max()), 1e-12)
    for axes in grid.flat:
        axes.axis("off")
    for axes, number in zip(grid.flat, strongest.tolist(), strict=False):
        look = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
        image = axes.imshow(kernel[number], aspect="auto", **look)
        axes.set_title(str(number), fontsize=6, pad=1)
    figure.colorbar(image, ax=grid, shrink=0.8, label="weight").ax.tick_params(labelsize=6)
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


def encoding(
    path: Path,
    target: np.ndarray,
    codes: np.ndarray,
    columns: Sequence[str],
    title: str,
    rate_hz: float | None,
) -> None:
    """Draws a sample (columns, frames), and below it its strongest codes (codes, steps)."""
    figure = Figure((9, 6), DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    end = target.shape[1] / (rate_hz or 1.0)
    strongest = np.argsort(-np.square(codes).sum(1), kind="stable")[:N_CODES]
    _picture(figure, above, target, end, "input", "column")
    _picture(figure, below, codes[strongest], end, "code", f"{len(strongest)} of {len(codes):,} codes")
    if len(columns) <= MOST_NAMED:
        above.set_yticks(np.arange(len(columns)) + 0.5, [plain(name[:20]) for name in columns], fontsize=6)
    below.set_xlabel(_time_axis(rate_hz))
    figure.suptitle(plain(title), fontsize=9)
    write_figure(path, figure)


def _picture(figure: Figure, axes: Axes, values: np.ndarray, end: float, unit: str, words: str) -> None:
    """Draws rows over time; zero is white where values have both signs."""
    low, high = np.percentile(values, (0.5, 99.5))
    low, high = min(low, 0.0), max(high, 1e-6)
    look = {"cmap": "viridis", "vmin": low, "vmax": high}
    if low < -0.05 * high:
        most = max(-low, high)
        look = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    extent = (0, end, len(values), 0)
    image = axes.imshow(values, aspect="auto", interpolation="nearest", extent=extent, **look)
    axes.set_ylabel(words)
    figure.colorbar(image, ax=axes, label=unit)


def _times(n: int, rate_hz: float | None) -> np.ndarray:
    return np.arange(n) / (rate_hz or 1.0)


def _time_axis(rate_hz: float | None) -> str:
    return "time (s)" if rate_hz else "time (frames)"
