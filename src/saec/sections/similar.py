"""Finds the samples of a set that are nearest to one sample, or to each one of a folder."""

import math
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saec.config import Config
from saec.data.photos import picture_of
from saec.data.png import sidecar_axes
from saec.extraction import extract
from saec.extraction.sources.base import for_samples
from saec.faults import MissingFault, Unusable
from saec.features import Features
from saec.files import as_file_name
from saec.gallery import panels
from saec.reduction import search
from saec.registry import Strict
from saec.samples import means_per_recording, recording_of
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.sets import FeatureSet, recipe_for
from saec.session import Count

N_SHOWN, N_RANKS = 12, 10  # queries, and pictures near each, that are drawn
LARGEST = 512 * 512  # pixels of a picture in a figure
MOST_ROWS = 20  # of a table on the page; files have all of them
TOGETHER = "all together"


class Search(Strict):
    """Asks for the `n` samples nearest to a sample (of the features, or another), or to each of a folder."""

    to: str
    n: Count = 10


@SECTIONS.register("similar")
class Similar:
    """Searches every set, method by method, and last by all methods together."""

    position = 50

    def __init__(self, inputs: Inputs, *, similar: Search | None = None):
        self.config = inputs.config
        self.searches = [(one, similar) for one in inputs.sets.values()] if similar else []
        if similar and not self.searches:
            inputs.faults.append("similar: nearest samples are looked for among `features`: name some")
        for one, options in self.searches:
            inputs.check("similar", _require_query, options.to, one, inputs.config)

    def describe(self) -> list[str]:
        return [f"nearest to {options.to}" for _, options in self.searches[:1]]

    def write(self, folder: Path) -> list[Content]:
        contents = []
        for one, options in self.searches:
            content = Content(f"Nearest to {options.to}, set {one.name}", folder)
            table = _find_similar(one, options, self.config, content)
            what = f"nearest {one.samples_are}: method, query, rank, file, label, distance"
            content.write(f"similar_{as_file_name(one.name)}.csv", table, what)
            some = f"the first {min(MOST_ROWS, len(table))} of {len(table):,} rows"
            content.tables[f"Nearest {one.samples_are}: {some}"] = table.head(MOST_ROWS)
            contents.append(content)
        return contents


def _require_query(to: str, one: FeatureSet, config: Config) -> None:
    """Raises a `Fault` where the query is of no set, or cannot be encoded as the set's features were."""
    if (to if one.per == "sample" else recording_of(to)) in one.names:
        return
    if not config.data_path(to).exists():
        raise MissingFault(
            f"{to} is no picture of set {one.name} (such as {one.names[0]}), no picture, no folder"
        )
    for table in one.tables.values():
        recipe_for(table)


def _find_similar(one: FeatureSet, options: Search, config: Config, content: Content) -> pd.DataFrame:
    """Returns method, query, rank, file, label, distance of what is nearest by each method and by all.

    All methods together weigh the same each; the figure shows these.
    """
    arrays = {method: table.rows for method, table in one.tables.items()}
    to = options.to if one.per == "sample" else recording_of(options.to)
    own = np.flatnonzero(one.names == to) if to in one.names else None
    if own is not None:
        names, folder, queries = one.names[own], one.images, [rows[own] for rows in arrays.values()]
    else:
        path = config.data_path(options.to)
        names, queries = _encoded(one, path, config)
        folder = path if path.is_dir() else path.parent
    query_of, tables = dict(zip(arrays, queries, strict=True)), []
    searches = {method: [method] for method in arrays} | ({TOGETHER: list(arrays)} if len(arrays) > 1 else {})
    for called, methods in searches.items():
        rows_to, rows_in = ([of[method] for method in methods] for of in (query_of, arrays))
        file = one.tables[methods[0]].file if methods == [called] else None
        indices, distances = search(rows_to, rows_in, options.n, own, file)
        (query, rank), near = (number.ravel() for number in np.indices(indices.shape)), indices.ravel()
        columns = {"method": called, "query": names[query], "rank": rank + 1, "file": one.names[near]}
        columns |= {"label": one.samples.labels[near], "distance": distances.ravel()}
        tables.append(pd.DataFrame(columns))
    _draw(folder, names[:N_SHOWN], one, indices[:N_SHOWN, :N_RANKS], content)
    return pd.concat(tables, ignore_index=True)


def _encoded(one: FeatureSet, path: Path, config: Config) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns names and rows of other samples, made as the set's features were, in its columns."""
    names, queries = np.array([]), []
    with tempfile.TemporaryDirectory(prefix="saec_similar_", ignore_cleanup_errors=True) as made:
        for number, table in enumerate(one.tables.values()):
            out = Path(made) / str(number)
            out.mkdir()
            names, rows = _pooled(for_samples(recipe_for(table), str(path), out), config)
            if one.per == "recording":
                names, rows = means_per_recording(names, rows)
            queries.append(rows)
    return names, queries


def _pooled(recipe: dict[str, Any], config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Returns names and rows of features that are made by the recipe; no file stays mapped."""
    extracted: Any = extract(recipe, config)  # of all, not of a shard
    pooled = Features.load(extracted.roles["pooled"])
    return pooled.N, np.array(pooled.X)


def _draw(
    folder: Path | None, names: np.ndarray, one: FeatureSet, indices: np.ndarray, content: Content
) -> None:
    """Draws one row a query: itself, then the pictures near it, the nearest first; where there are any."""
    if not (one.images and folder):
        return
    files = {"query": [folder / str(name) for name in names]}
    near = enumerate(indices.T, start=1)
    files |= {str(rank): [one.images / name for name in one.names[of]] for rank, of in near}
    size = (1, 1)
    for file in (file for column in files.values() for file in column):
        with suppress(Unusable):
            size = picture_of(file, size).size
            break
    scale = min(1, (LARGEST / math.prod(size)) ** 0.5)
    height, width = (max(1, round(side * scale)) for side in size)
    size = height, width
    columns = {heading: np.stack([_picture(file, size) for file in of]) for heading, of in files.items()}
    title = f"nearest {one.samples_are}, by {', '.join(one.tables)}"
    caption = "Queries, and what is nearest to each, from left to right; all of it is in the table"
    figure = f"similar_{as_file_name(one.name)}.png"
    axes = sidecar_axes(one.images, size)
    content.draw(figure, caption, panels, columns, [str(name) for name in names], title, axes)


def _picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Returns (3, height, width) in [0, 1]; one that cannot be read is white."""
    try:
        pixels = picture_of(file, size, "pad").pixels
    except Unusable:
        return np.ones((3, *size), dtype=np.float32)
    return np.asarray(pixels, dtype=np.float32).transpose(2, 0, 1) / 255
