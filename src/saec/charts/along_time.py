"""Labels along time, what is true above what was said."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from saec.charts.looks import NAMED, OKABE_ITO, colour, legend_look
from saec.figures import DPI, plain, write_figure

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
