"""Draws pictures side by side, and so what a run learns from, and what it reconstructs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from unicodedata import east_asian_width

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from saec.data import Dataset, Draws, Loader
from saec.data.batch import Axes as DataAxes
from saec.data.batch import own_columns
from saec.data.kind import evenly
from saec.data.views import marks_of
from saec.devices import computing, to_device
from saec.figures import DPI, plain, write_figure
from saec.models import Model
from saec.models.base import PIECE

PANEL_HEIGHT = 0.75  # inches
FONT, SMALL = 8, 4.5  # points of letters
LEFT, GAP = 0.5, 0.06  # inches left of all pictures, and between them
ERROR_MAP = "magma"
PICTURE_MAP = "viridis"
MOST_NAMED, LETTERS = 14, 12  # rows of a picture that are named, and letters of a name
NO_AXES = DataAxes()
OWN_SCALE = "; each row in its own range, from dark to bright: 99 of 100 values"
MOST_ROWS = 16  # pictures one below the other before a second block of columns begins
WIDEST = 3100  # pixels of all panels side by side before blocks are stacked again
N_VIEWS = 12
N_REBUILT = 16


def show_views(loader: Loader, file: Path, title: str) -> None:
    """Draws pairs as training gets them: what goes in and the target."""
    data = loader.data
    chosen = np.array(evenly(range(len(data)), N_VIEWS))
    batch = loader.batch(chosen, Draws.training(len(chosen), loader.device, (loader.seed, 0, 0, 0)))
    seen, target = ("view 1", "view 2") if "two" in marks_of(loader.view) else ("seen", "target")
    shown = _own(batch.seen, batch.lengths)
    columns = {
        seen: data.front.show(shown),
        target: data.front.show(_own(batch.target, batch.lengths), shown),
    }
    labels = data.samples.labels[chosen].tolist()
    names = [f"{label}: {name}" if label else name for name, label in zip(batch.names, labels, strict=True)]
    panels(file, _once(columns), names, title, data.axes, shown.shape[-1])


@torch.no_grad()
def show_rebuilt(loader: Loader, model: Model, precision: str, file: Path, title: str) -> None:
    """Draws validation samples: original, target, reconstruction and its error.

    Where a view distorts samples in validation, too, the original is the target.
    """
    data = loader.data
    chosen = np.array(evenly(range(len(data)), N_REBUILT))
    batch = loader.batch(chosen, Draws.validation(chosen, loader.device, loader.seed))
    stored = data.gather(chosen, loader.device)
    original, lengths = data.front(stored), data.lengths(stored)
    model = to_device(model, loader.device, precision).eval()
    with computing(loader.device, precision):
        rebuilt = model.decode(model.encode(original, lengths), lengths).float()
    target = batch.target if torch.equal(batch.seen, original) else original
    shown = {"original": data.original(stored), "target": target, "reconstruction": rebuilt}
    like = _own(original, lengths)
    shown = {name: _own(values, lengths) for name, values in shown.items()}
    compared(file, data, batch.names, title, like, shown)


def compared(
    file: Path, data: Dataset, names: Sequence[str], title: str, seen: Tensor, shown: dict[str, Tensor]
) -> None:
    """Draws samples as they are `shown`, and how reconstructions differ from the target, or what was seen."""
    columns = {name: data.front.show(values, seen) for name, values in shown.items()}
    target = columns.get("target", data.front.show(seen))  # as it is drawn: no row far outside sets the scale
    columns["error"] = np.abs(columns["reconstruction"].clip(0, 1) - target.clip(0, 1))
    panels(file, _once(columns) if "target" in shown else columns, names, title, data.axes, seen.shape[-1])


@torch.no_grad()
def show_folder(
    model: Model, data: Dataset, n: int, device: torch.device, precision: str, file: Path
) -> None:
    """Draws samples from all over the data, of long ones the beginning: original, reconstruction, error."""
    chosen = np.array(evenly(range(len(data)), n))
    seen, originals, rebuilt = list[Tensor](), list[Tensor](), list[Tensor]()
    end = PIECE if data.is_ragged else None
    encoder = getattr(model.encoder, "source", model.encoder)  # torch's own, where ONNX Runtime encodes
    for row in chosen:  # one by one, for a folder of very wide pictures
        stored = data.gather(np.array([row]), device)
        sample = data.front(stored)[..., :end]
        with computing(device, precision):
            decoded = model.decode(encoder(sample))
        all_three = (seen, sample), (originals, data.original(stored)[..., :end]), (rebuilt, decoded)
        for samples, values in all_three:
            samples.append(_own(values, data.lengths(stored)).float().cpu())
    shown = {"original": _together(originals), "reconstruction": _together(rebuilt)}
    title = f"{file.stem}: {len(chosen)} of {len(data)} {data.samples_are}"
    compared(file, data, data.samples.names[chosen].tolist(), title, _together(seen), shown)


def _together(samples: list[Tensor]) -> Tensor:
    """Returns samples (1, channels, height, width) as one batch, with no numbers behind shorter ones."""
    longest = max(sample.shape[-1] for sample in samples)
    return torch.cat([F.pad(one, (0, longest - one.shape[-1]), value=torch.nan) for one in samples])


def _own(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns values that are not numbers behind each sample's own columns, so that they are not drawn."""
    if lengths is None:
        return values
    own = own_columns(lengths.to(values.device), values.shape[-1])
    return values.float().masked_fill(~own[:, None, None], torch.nan)


def _once(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns columns with the second under the name of both where the first holds the same."""
    (first, of), (second, other), *rest = columns.items()
    same = of.shape == other.shape and np.array_equal(of, other, equal_nan=True)
    return {f"{first} = {second}": of, **dict(rest)} if same else columns


def panels(
    path: Path,
    columns: dict[str, np.ndarray],
    names: Sequence[str],
    title: str,
    meaning: DataAxes = NO_AXES,
    width: int | None = None,
) -> None:
    """Draws one row a picture, one column a title; arrays are (n, channels, height, width) in [0, 1].

    A column called `error` is drawn in colours of its own, from 0 to its largest value. What is not a number
    is not drawn. `meaning` says what rows are, and how long pictures are, of so many columns as `width`.
    """
    n, (height, across) = len(names), next(iter(columns.values())).shape[2:]
    duration = meaning.length(width or across)
    largest = {name: max(float(np.nanmax(of)), 1e-6) for name, of in columns.items() if name == "error"}
    headings = [f"{name} (0 to {largest[name]:.2g})" if name in largest else plain(name) for name in columns]
    n_blocks = max(1, min(-(-n // MOST_ROWS), WIDEST // (across * len(columns))))
    n_rows, shown = -(-n // n_blocks), PANEL_HEIGHT * across / height
    wide = GAP + max(shown, *(_inches(heading, FONT) for heading in headings))
    n_letters = int(len(columns) * wide / _inches("0", SMALL))  # of a name
    inches = max(3.0, LEFT + n_blocks * len(columns) * wide)
    lines = wrap(plain(title) + OWN_SCALE * bool(meaning.names), int(inches / _inches("0", FONT))) or [""]
    first, down = 0.4 + 0.15 * len(lines), PANEL_HEIGHT + 0.16
    figure, axes = _inch_axes(inches, first + n_rows * down)
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
            if column == block == 0:
                _label_rows(axes, left, (top, bottom), meaning)
            if duration and (row == n_rows - 1 or number == n - 1):
                text = partial(axes.text, fontsize=SMALL, va="top")
                is_wide = shown > _inches("0 " + duration, SMALL)
                text(left, bottom + 0.02, "0" if is_wide else duration)
                text(left + shown, bottom + 0.02, duration if is_wide else "", ha="right")
    write_figure(path, figure)


def _inch_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure and its one axes, in inches from its top left: one a picture takes seconds."""
    figure = Figure((width, height), DPI)
    axes = figure.add_axes((0, 0, 1, 1), autoscale_on=False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def _label_rows(axes: Axes, left: float, edges: tuple[float, float], meaning: DataAxes) -> None:
    """Writes names left of a picture, or kHz: of its highest, its middle and its lowest row."""
    names, hertz = meaning.names, meaning.hertz
    shown = evenly(range(len(names)), MOST_NAMED)
    words = [(1 - (row + 0.5) / len(names), plain(names[row][:LETTERS])) for row in shown]
    if hertz is not None and not words:
        middle, low = (f"{hertz[row] / 1000:.3g}" for row in (len(hertz) // 2, 0))
        words = [(0.96, f"{hertz[-1] / 1000:.3g} kHz"), (0.5, middle), (0.04, low)]
    size = min(SMALL, 72 * PANEL_HEIGHT / max(1, len(words)))
    for share, word in words:
        height = edges[1] + share * (edges[0] - edges[1])
        axes.text(left - 0.02, height, word, fontsize=size, ha="right", va="center")


def _inches(text: str, size: float) -> float:
    """Returns about how wide a line of text of a size in points is."""
    return sum(1.0 if east_asian_width(letter) in "WF" else 0.62 for letter in text) * size / 72


def _draw_picture(
    axes: Axes, edges: tuple[float, float, float, float], picture: np.ndarray, largest: float | None
) -> None:
    """Draws one picture (channels, height, width) between edges (left, right, bottom, top).

    `largest` is the largest value of an error.
    """
    show = partial(axes.imshow, interpolation="nearest", aspect="auto", extent=edges)
    if picture.shape[0] == 3 and largest is None:
        show(picture.transpose(1, 2, 0).clip(0, 1))
    else:
        colours, top = (PICTURE_MAP, 1.0) if largest is None else (ERROR_MAP, largest)
        show(picture.mean(0), cmap=colours, vmin=0, vmax=top)
