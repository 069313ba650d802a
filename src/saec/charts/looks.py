"""How series are told apart: colours, strokes, hatches, and a legend where names are not too many."""

from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes

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
