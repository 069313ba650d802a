"""Draws what is special to codes: curves in stacked panels, kernels, and codes as a picture."""

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from saec.data.kind import evenly
from saec.figures import LINES, canvas, colour, plain

N_KERNELS, N_ACROSS = 64, 16  # that are drawn, and beside each other
N_CODES, MOST_NAMED = 64, 20  # rows of codes in a picture, and of a sample those that are named
FEW_VALUES = 2.0  # times the width of a kernel, that its height may be at most
MOST_MARKED = 40  # points of a curve that have markers
Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # x (n,) and y (rows, n), by name


def stacked(path: Path, columns: dict[str, Curves], rows: Sequence[str], title: str, x_label: str) -> None:
    """Draws curves over one axis: their rows down, one column a title across."""
    size = max(7, 4.6 * len(columns)), 0.9 + 1.3 * len(rows)
    with canvas(path, title, size, len(rows), len(columns), sharex="col", sharey="row") as grid:
        for across, (name, curves) in enumerate(columns.items()):
            for down, row in enumerate(rows):
                axes = grid[down, across]
                for number, (label, (x, y)) in enumerate(curves.items()):
                    look = {"color": colour(number), "linestyle": LINES[number], "linewidth": 1.1}
                    marker = "o" if len(x) <= MOST_MARKED else ""
                    axes.plot(x, y[down], label=label, marker=marker, markersize=3, **look)
                if axes.dataLim.y0 == 0:
                    axes.set_ylim(bottom=0)
                axes.tick_params(labelsize=7)
                if across == 0:
                    axes.set_ylabel(plain(row[:20]), fontsize=8)
            grid[0, across].set_title(plain(name[-60:]), fontsize=8)
            axes.set_xlabel(x_label, fontsize=8)
        handles = axes.get_legend_handles_labels()[0]
        axes.figure.legend(handles=handles, fontsize=7, frameon=False, loc="outside right center")


def weights(
    path: Path, kernel: np.ndarray, title: str, names: Sequence[str] = (), by_size: bool = True
) -> None:
    """Draws kernels (out, in, ...) as small pictures in one scale: those with the largest norms, or all.

    One along time alone is drawn over all its inputs, (in, time), one of pictures as the mean over these.
    `names` are those of inputs, which stand at the left where there are as many rows.
    """
    if kernel.ndim == 4:
        kernel = kernel[:, :, 0] if kernel.shape[2] == 1 else kernel.mean(axis=1)
    sizes = np.square(kernel).sum((1, 2)) if by_size else np.zeros(len(kernel))
    strongest = np.argsort(-sizes, kind="stable")[:N_KERNELS]
    n_across = min(N_ACROSS, len(strongest))
    n_down = -(-len(strongest) // n_across)
    height, width = kernel.shape[1:]
    shown = evenly(range(height), MOST_NAMED if len(names) == height else 0)
    tall = max(min(max(height / width, 1 / FEW_VALUES), FEW_VALUES), 0.09 * len(shown))
    size = (max(5.0, 1.6 + 0.6 * n_across), 0.8 + n_down * (0.6 * tall + 0.2))
    largest = max(float(np.abs(kernel[strongest]).max()), 1e-12)
    with canvas(path, title, size, n_down, n_across) as grid:
        for axes in grid.flat:
            axes.axis("off")
        for axes, number in zip(grid.flat, strongest.tolist(), strict=False):
            image = axes.imshow(kernel[number], aspect="auto", **_signed(largest))
            axes.set_title(str(number), fontsize=6, pad=1)
        for axes in grid[:, 0]:
            axes.axis("on")
            axes.set(xticks=[], frame_on=False)
            axes.set_yticks(shown, [plain(names[row][:20]) for row in shown], fontsize=4)
            axes.tick_params(length=0, pad=1)
        axes.set_xlabel(f"{width} frames", fontsize=6)
        axes.figure.colorbar(image, ax=grid, shrink=0.8, label="weight").ax.tick_params(labelsize=6)


def latents(path: Path, picture: np.ndarray, values: np.ndarray, title: str) -> None:
    """Draws a picture (channels, height, width) in [0, 1], and its latents (channels, height, width), those
    channels that have the largest beside each other.
    """
    strongest = np.argsort(-np.square(values).sum((1, 2)), kind="stable")[:N_KERNELS]
    n, (height, width) = len(strongest), values.shape[1:]
    n_across = min(n, ceil(sqrt(n * height / width)))
    n_down = ceil(n / n_across)
    tiles = np.full((n_down * n_across, height + (height > 1), width + (n_across > 1)), np.nan)
    tiles[:n, :height, :width] = values[strongest]
    tiles = tiles.reshape(n_down, n_across, *tiles.shape[1:]).swapaxes(1, 2)
    shown = picture.transpose(1, 2, 0).clip(0, 1) if len(picture) == 3 else picture.mean(0)
    with canvas(path, title, (9, 4), 1, 2, width_ratios=(2, 3)) as [[left, right]]:
        left.imshow(shown, cmap="viridis", vmin=0, vmax=1)
        look = _signed(max(float(np.abs(values).max()), 1e-12))
        image = right.imshow(tiles.reshape(-1, tiles.shape[3] * n_across), aspect="auto", **look)
        right.figure.colorbar(image, ax=right, label=f"latents: {n} of {len(values):,} channels")
        for axes in (left, right):
            axes.axis("off")


def _signed(largest: float) -> dict[str, Any]:
    """Returns how values up to this size are drawn: zero is white."""
    return {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "interpolation": "nearest"}


def encoding(
    path: Path,
    target: np.ndarray,
    codes: np.ndarray,
    names: Sequence[str],
    end: float,
    words: tuple[str, str],
) -> None:
    """Draws a sample (columns, frames) up to `end`, and below it its strongest codes (codes, steps).

    Zero is white where values have both signs. `words`: the title, and that of the time axis.
    """
    strongest = np.argsort(-np.square(codes).sum(1), kind="stable")[:N_CODES]
    pair = (target, "input"), (codes[strongest], "code")
    with canvas(path, words[0], (9, 6), 2, sharex=True, height_ratios=(1, 2)) as [[above], [below]]:
        for axes, (values, unit) in zip((above, below), pair, strict=True):
            low, high = np.percentile(values, (0.5, 99.5))
            low, high = min(low, 0.0), max(high, 1e-6)
            look = {"cmap": "viridis", "vmin": low, "vmax": high, "interpolation": "nearest"}
            look = _signed(max(-low, high)) if low < -0.05 * high else look
            image = axes.imshow(values, aspect="auto", extent=(0, end, len(values), 0), **look)
            axes.figure.colorbar(image, ax=axes, label=unit)
        shown = evenly(range(len(names)), MOST_NAMED)
        above.set_yticks(np.array(shown) + 0.5, [plain(names[row][:20]) for row in shown], fontsize=6)
        below.set_yticks(np.arange(len(strongest)) + 0.5, strongest, fontsize=4)
        below.set(ylabel=f"number of the code ({len(strongest)} of {len(codes):,})", xlabel=words[1])
