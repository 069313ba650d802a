"""The samples of a set that are most like one, or like each one of a folder: pictures, or recordings."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from saec import figures
from saec.config import Config
from saec.data.decoding import SIDECAR
from saec.data.labels import recording_of
from saec.extraction import extract
from saec.extraction.outputs import for_samples, made_by, recipe_of
from saec.features import Features
from saec.report.sets import JudgedSet
from saec.session import Search
from saec.similarity import search
from saec.tables import Table, means_per_recording

N_SHOWN, N_RANKS = 12, 10  # queries, and pictures found for each, that are drawn
TOGETHER = "all together"


def find_similar(judged: JudgedSet, asked: Search, config: Config, figure: Path) -> pd.DataFrame:
    """One row a method, a query and a picture found: method, query, rank, file, label, distance.

    Distances are Euclidean, of standardised features, over the root of their number. Several methods are
    searched one by one, and last all together, each weighing the same; the figure shows the last.

    Raises:
        Fault: the features were not made by a run, so that other pictures cannot be compared with them.
    """
    arrays = {method: table.rows for method, table in judged.tables.items()}
    to = own_name(asked.to, judged)
    if to in judged.names:
        own = np.flatnonzero(judged.names == to)
        names, place = judged.names[own], judged.images
        queries = {method: rows[own] for method, rows in arrays.items()}
    else:
        place, own = config.data_path(asked.to), None
        names, found = _encoded(judged, place, config)
        queries = dict(zip(arrays, found, strict=True))
        place = place if place.is_dir() else place.parent
    searches = {method: [method] for method in arrays} | ({TOGETHER: list(arrays)} if len(arrays) > 1 else {})
    tables = []
    for called, methods in searches.items():
        chosen = ([of[method] for method in methods] for of in (queries, arrays))
        indices, distances = search(*chosen, asked.n, own)
        tables.append(_table(called, names, judged, indices, distances))
    if judged.images and place:
        _show(figure, place, names[:N_SHOWN], judged, indices[:N_SHOWN, :N_RANKS])
    return pd.concat(tables, ignore_index=True)


def own_name(to: str, judged: JudgedSet) -> str:
    """What is looked for, as the set would call it."""
    return to if judged.per == "sample" else recording_of(to)


def _table(
    method: str, names: np.ndarray, judged: JudgedSet, indices: np.ndarray, distances: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"method": method, "query": str(name), "rank": rank + 1, "file": str(judged.names[row])}
            | {"label": str(judged.known.labels[row]), "distance": float(distance)}
            for name, rows, apart in zip(names, indices, distances, strict=True)
            for rank, (row, distance) in enumerate(zip(rows, apart, strict=True))
        ]
    )


def _encoded(judged: JudgedSet, place: Path, config: Config) -> tuple[np.ndarray, list[np.ndarray]]:
    """Names and rows of other samples, made as the set's features were, in its columns."""
    names, queries = np.array([]), []
    with tempfile.TemporaryDirectory(prefix="saec_similar_", ignore_cleanup_errors=True) as made:
        for number, table in enumerate(judged.tables.values()):
            names, rows = _made(table, place, Path(made) / str(number), judged.per, config)
            queries.append(rows)
    return names, queries


def _made(table: Table, place: Path, out: Path, per: str, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """As the table's own features were made, and pooled."""
    recipe = recipe_of(made_by(table.file))
    if table.pooling is not None:
        recipe["pooling"] = table.pooling.model_dump(mode="json")
    out.mkdir()
    of_pictures = recipe["data"].get("images") is not None
    there = _folder_of(place, out) if of_pictures and not place.is_dir() else place
    made = extract(for_samples(recipe, str(there), out), config)
    pooled = next(file for file in made.files if file.name.startswith("pooled_"))
    found = Features.load(pooled)
    if per == "sample":
        return found.N, np.array(found.X)
    return means_per_recording(found.N, np.array(found.X))


def _folder_of(picture: Path, made: Path) -> Path:
    folder = made / "one"
    folder.mkdir()
    shutil.copy2(picture, folder)
    if (picture.parent / SIDECAR).is_file():
        shutil.copy2(picture.parent / SIDECAR, folder)
    return folder


def _show(figure: Path, place: Path, names: np.ndarray, judged: JudgedSet, indices: np.ndarray) -> None:
    """One row a query: itself, then what was found, the nearest first."""
    ranks = [f"{rank + 1}" for rank in range(indices.shape[1])]
    files = [[place / str(name) for name in names]]
    files += [[judged.images / str(judged.names[row]) for row in column] for column in indices.T]
    size = _size(files)
    columns = {
        heading: np.stack([_picture(file, size) for file in column])
        for heading, column in zip(["asked", *ranks], files, strict=True)
    }
    title = f"nearest pictures, by {', '.join(judged.tables)}"
    figures.panels(figure, columns, [str(name) for name in names], title)


def _size(files: list[list[Path]]) -> tuple[int, int]:
    """Width and height of the first picture that can be read."""
    for file in (file for column in files for file in column):
        with suppress(OSError), Image.open(file) as picture:
            return picture.size
    return 1, 1


def _picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    """(3, height, width) in [0, 1]; one that cannot be read is white."""
    try:
        with Image.open(file) as picture:
            pixels = picture.convert("RGB").resize(size)
    except OSError:
        return np.ones((3, *size[::-1]), dtype=np.float32)
    return np.asarray(pixels, dtype=np.float32).transpose(2, 0, 1) / 255
