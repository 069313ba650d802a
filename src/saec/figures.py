"""Figures take arrays and write PNG files; they know nothing of sessions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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


def way(
    path: Path,
    sound: np.ndarray,
    rate_hz: int,
    picture: np.ndarray,
    latent: np.ndarray,
    pooled: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
) -> None:
    """From a recording to features.

    Sound (samples,), picture (height, width), latent (channels, time), pooled (features,), and of all
    pictures the 2-D map `rows` (n, 2) with their labels (n,).
    """
    figure = Figure((13, 2.9), DPI, layout="constrained")
    axes = figure.subplots(1, 5, width_ratios=(2, 2, 1.6, 0.5, 2))
    seconds = np.arange(len(sound)) / rate_hz
    axes[0].plot(seconds, sound, linewidth=0.3, color=COLOURS["train"])
    axes[0].set(title="recording", xlabel="time (s)", yticks=[], xlim=(0, seconds[-1]))
    axes[1].imshow(picture, cmap=PICTURE_MAP, aspect="auto", interpolation="nearest")
    axes[1].set(title="picture of a syllable", xlabel="time (columns)", ylabel="frequency (rows)")
    axes[2].imshow(latent, cmap="cividis", aspect="auto", interpolation="nearest")
    axes[2].set(title="latent", xlabel="time (steps)", ylabel="channel")
    axes[3].imshow(pooled[:, None], cmap="cividis", aspect="auto", interpolation="nearest")
    axes[3].set(title="pooled", xticks=[], ylabel="feature")
    for place, label in enumerate(np.unique(labels)):
        x, y = rows[labels == label].T
        colour = colormaps["tab10"](place % 10)
        axes[4].scatter(x, y, 9, [colour], marker=MARKERS[place % len(MARKERS)], label=label, linewidths=0)
    axes[4].set(title="all syllables, reduced to 2-D", xticks=[], yticks=[])
    axes[4].legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    write_figure(path, figure)


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
