"""The section on nearest samples: those of a set most like one sample, or like each one of a folder."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from saec import figures
from saec.config import Config
from saec.data.png import SIDECAR
from saec.extraction import extract
from saec.extraction.outputs import read_about_file
from saec.extraction.sources.base import for_samples, recipe_of
from saec.faults import MissingFault
from saec.features import Features
from saec.files import as_file_name
from saec.registry import Strict
from saec.samples import means_per_recording, recording_of
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.sets import FeatureSet
from saec.session import Count
from saec.similarity import search
from saec.tables import Table

N_SHOWN, N_RANKS = 12, 10  # queries, and pictures near each, that are drawn
MOST_ROWS = 20  # of a table on the page; files have all of them
TOGETHER = "all together"


class Search(Strict):
    """The `n` pictures nearest to a picture (of the features, or any other), or to each one of a folder."""

    to: str
    n: Count = 10


@SECTIONS.register("similar")
class Similar:
    """Searches every set, method by method, and last by all methods together."""

    position = 50

    def __init__(self, inputs: Inputs, *, similar: Search | None = None):
        self.options, self.config = similar, inputs.config
        self.sets = list(inputs.sets.values()) if similar else []
        if similar and not self.sets:
            inputs.faults.append("similar: nearest pictures are looked for among `features`: name some")
        for one in self.sets:
            inputs.check("similar", _require_query, similar.to, one, inputs.config)

    def describe(self) -> list[str]:
        return [f"pictures nearest to {self.options.to}"] if self.sets else []

    def write(self, folder: Path) -> list[Content]:
        contents = []
        for one in self.sets:
            content = Content(f"Nearest to {self.options.to}, set {one.name}", folder)
            name = f"similar_{as_file_name(one.name)}"
            table = find_similar(one, self.options, self.config, folder / f"{name}.png")
            what = "nearest pictures: method, query, rank, file, label, distance"
            content.write(f"{name}.csv", table, what)
            caption = f"Nearest pictures: the first {MOST_ROWS} of {len(table):,} rows"
            content.tables[caption] = table.head(MOST_ROWS)
            content.add_figure(f"{name}.png", "Queries, and what is nearest to each, from left to right")
            contents.append(content)
        return contents


def _own_name(to: str, one: FeatureSet) -> str:
    """Returns what is looked for as the set would call it."""
    return to if one.per == "sample" else recording_of(to)


def _require_query(to: str, one: FeatureSet, config: Config) -> None:
    """Raises a `Fault` where the query is of no set, or cannot be encoded as the set's features were."""
    if _own_name(to, one) in one.names:
        return
    if not config.data_path(to).exists():
        raise MissingFault(
            f"{to} is no picture of set {one.name} (such as {one.names[0]}), no picture, no folder"
        )
    for table in one.tables.values():
        read_about_file(table.file)


def find_similar(one: FeatureSet, options: Search, config: Config, figure: Path) -> pd.DataFrame:
    """Returns one row a method, a query and a near picture: method, query, rank, file, label, distance.

    Distances are Euclidean, of standardised features, over the root of their number. Several methods are
    searched one by one, and last all together, each weighing the same; the figure shows the last.

    Raises:
        Fault: the features were not made by a run, so that other pictures cannot be compared with them.
    """
    arrays = {method: table.rows for method, table in one.tables.items()}
    to = _own_name(options.to, one)
    if to in one.names:
        own = np.flatnonzero(one.names == to)
        names, folder = one.names[own], one.images
        queries = {method: rows[own] for method, rows in arrays.items()}
    else:
        path, own = config.data_path(options.to), None
        names, rows = _encoded(one, path, config)
        queries = dict(zip(arrays, rows, strict=True))
        folder = path if path.is_dir() else path.parent
    searches = {method: [method] for method in arrays} | ({TOGETHER: list(arrays)} if len(arrays) > 1 else {})
    rows, labels = [], one.samples.labels
    for called, methods in searches.items():
        chosen = ([of[method] for method in methods] for of in (queries, arrays))
        indices, distances = search(*chosen, options.n, own)
        rows += [
            {"method": called, "query": str(name), "rank": rank + 1, "file": str(one.names[row])}
            | {"label": str(labels[row]), "distance": float(distances[query, rank])}
            for query, name in enumerate(names)
            for rank, row in enumerate(indices[query])
        ]
    if one.images and folder:
        _show(figure, folder, names[:N_SHOWN], one, indices[:N_SHOWN, :N_RANKS])
    return pd.DataFrame(rows)


def _encoded(one: FeatureSet, path: Path, config: Config) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns names and rows of other samples, made as the set's features were, in its columns."""
    names, queries = np.array([]), []
    with tempfile.TemporaryDirectory(prefix="saec_similar_", ignore_cleanup_errors=True) as made:
        for number, table in enumerate(one.tables.values()):
            names, rows = _made_alike(table, path, Path(made) / str(number), config)
            if one.per == "recording":
                names, rows = means_per_recording(names, rows)
            queries.append(rows)
    return names, queries


def _made_alike(table: Table, path: Path, out: Path, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Extracts and pools features of other samples as the table's own were."""
    recipe = recipe_of(read_about_file(table.file))
    if table.pooling is not None:
        recipe["pooling"] = table.pooling.model_dump(mode="json")
    out.mkdir()
    of_pictures = recipe["data"].get("images") is not None
    there = _folder_of(path, out) if of_pictures and not path.is_dir() else path
    made = extract(for_samples(recipe, str(there), out), config)
    pooled = Features.load(made.roles["pooled"])
    return pooled.N, np.array(pooled.X)


def _folder_of(picture: Path, made: Path) -> Path:
    """Copies a picture into a folder of its own, with the sidecar that says what it shows."""
    folder = made / "one"
    folder.mkdir()
    for file in (picture, picture.parent / SIDECAR):
        if file.is_file():
            shutil.copy2(file, folder)
    return folder


def _show(figure: Path, folder: Path, names: np.ndarray, one: FeatureSet, indices: np.ndarray) -> None:
    """Draws one row a query: itself, then the pictures near it, the nearest first."""
    files = [[folder / str(name) for name in names]]
    files += [[one.images / str(one.names[row]) for row in column] for column in indices.T]
    size = _size(files)
    headings = ["query", *(str(rank + 1) for rank in range(indices.shape[1]))]
    columns = {
        heading: np.stack([_picture(file, size) for file in column])
        for heading, column in zip(headings, files, strict=True)
    }
    title = f"nearest pictures, by {', '.join(one.tables)}"
    figures.panels(figure, columns, [str(name) for name in names], title)


def _size(files: list[list[Path]]) -> tuple[int, int]:
    """Returns width and height of the first picture that can be read."""
    for file in (file for column in files for file in column):
        with suppress(OSError), Image.open(file) as picture:
            return picture.size
    return 1, 1


def _picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Returns (3, height, width) in [0, 1]; one that cannot be read is white."""
    try:
        with Image.open(file) as picture:
            pixels = picture.convert("RGB").resize(size)
    except OSError:
        return np.ones((3, *size[::-1]), dtype=np.float32)
    return np.asarray(pixels, dtype=np.float32).transpose(2, 0, 1) / 255
