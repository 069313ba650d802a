"""The pictures of a set that are most like a picture, or like each picture of a folder."""

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from saec import figures
from saec.config import Config
from saec.data.folder import SIDECAR
from saec.extraction import extract
from saec.faults import Fault
from saec.features import Features
from saec.report.sets import JudgedSet
from saec.session import Search
from saec.similarity import nearest
from saec.tables import Table

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
    if asked.to in judged.names:
        own = np.flatnonzero(judged.names == asked.to)
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
        indices, distances = nearest(*chosen, asked.n, own)
        tables.append(_table(called, names, judged, indices, distances))
    if judged.images and place:
        _show(figure, place, names[:N_SHOWN], judged, indices[:N_SHOWN, :N_RANKS])
    return pd.concat(tables, ignore_index=True)


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
    """Names and rows of other pictures, by the runs that made the set's features, in its columns."""
    names, queries = np.array([]), []
    with tempfile.TemporaryDirectory(prefix="saec_similar_", ignore_cleanup_errors=True) as made:
        images = place if place.is_dir() else _folder_of(place, Path(made))
        for number, table in enumerate(judged.tables.values()):
            found = _extracted(table, images, Path(made) / str(number), config)
            names = found.N
            queries.append(np.array(found.X))
            del found  # its file goes with the folder
    return names, queries


def _folder_of(picture: Path, made: Path) -> Path:
    folder = made / "one"
    folder.mkdir()
    shutil.copy2(picture, folder)
    if (picture.parent / SIDECAR).is_file():
        shutil.copy2(picture.parent / SIDECAR, folder)
    return folder


def _extracted(table: Table, images: Path, out: Path, config: Config) -> Features:
    """As the table's own features were made, and pooled."""
    about = made_by(table)
    said = about["session"]
    session = {key: said[key] for key in ("weights", "pooling", "latents")} | {
        "run": about["model"],
        "data": said["data"] | {"images": str(images)},
        "precision": about["settings"]["precision"],
        "out": str(out),
        "reduction": None,
        "reconstructions": 0,
    }
    if table.pooling is not None:
        session["pooling"] = table.pooling
    made = extract(session, config)
    return Features.load(next(file for file in made.files if file.name.startswith("pooled_")))


def made_by(table: Table) -> dict[str, Any]:
    """What the extraction that made this file says of itself.

    Raises:
        Fault: nothing of ours made it, or it holds reductions, in which other pictures have no place.
    """
    if table.file.name.startswith("dimred_"):
        raise Fault(
            f"{table.file} holds reductions, other pictures have no place in them: name pooled features"
        )
    for place in sorted(table.file.parent.glob("saec_*.json")):
        about = json.loads(place.read_text(encoding="utf-8"))
        if table.file.name in about.get("files", ()):
            return about
    raise Fault(
        f"{table.file} was not made by main_02_extract.py, so other pictures cannot be compared with it: "
        "extract features of both by one run"
    )


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
