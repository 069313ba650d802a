"""The pictures of a set that are most like a picture, or like each picture of a folder."""

import json
import shutil
import tempfile
from pathlib import Path

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

N_SHOWN = 12  # queries that are drawn


def find_similar(judged: JudgedSet, asked: Search, config: Config, figure: Path) -> pd.DataFrame:
    """One row a query and a picture found: query, rank, file, label, distance; the figure shows some.

    Raises:
        Fault: the features were not made by a run, so that other pictures cannot be compared with them.
    """
    arrays = [table.rows for table in judged.tables.values()]
    if asked.to in judged.names:
        own = np.flatnonzero(judged.names == asked.to)
        names, queries, place = judged.names[own], [rows[own] for rows in arrays], judged.images
    else:
        place = config.data_path(asked.to)
        own = None
        names, queries = _encoded(judged, place, config)
        place = place if place.is_dir() else place.parent
    indices, distances = nearest(queries, arrays, asked.n, own)
    table = pd.DataFrame(
        [
            {"query": str(name), "rank": rank + 1, "file": str(judged.names[row])}
            | {"label": str(judged.known.labels[row]), "distance": float(distance)}
            for name, rows, apart in zip(names, indices, distances, strict=True)
            for rank, (row, distance) in enumerate(zip(rows, apart, strict=True))
        ]
    )
    if judged.images and place:
        _show(figure, place, names[:N_SHOWN], judged, indices[:N_SHOWN])
    return table


def _encoded(judged: JudgedSet, place: Path, config: Config) -> tuple[np.ndarray, list[np.ndarray]]:
    """Names and rows of other pictures, by the runs that made the set's features, in its columns."""
    names, queries = np.array([]), []
    with tempfile.TemporaryDirectory(prefix="saec_similar_", ignore_cleanup_errors=True) as made:
        images = place if place.is_dir() else _folder_of(place, Path(made))
        for number, table in enumerate(judged.tables.values()):
            found = _extracted(table, images, Path(made) / str(number), config)
            names, rows = found.N, np.array(found.X)
            queries.append(rows if table.varies is None else rows[:, table.varies])
            del found
    return names, queries


def _folder_of(picture: Path, made: Path) -> Path:
    folder = made / "one"
    folder.mkdir()
    shutil.copy2(picture, folder)
    if (picture.parent / SIDECAR).is_file():
        shutil.copy2(picture.parent / SIDECAR, folder)
    return folder


def _extracted(table: Table, images: Path, out: Path, config: Config) -> Features:
    about = _about(table.file)
    same = {key: about["session"][key] for key in ("weights", "pooling", "latents")}
    changes = {"data": about["session"]["data"] | {"images": str(images)}, "precision": about["precision"]}
    session = (
        same | changes | {"run": about["model"], "out": str(out), "reduction": None, "reconstructions": 0}
    )
    made = extract(session, config)
    pooled = next(file for file in made.files if file.name.startswith("pooled_"))
    return Features.load(pooled)


def _about(file: Path) -> dict:
    """What the extraction that made this file says of itself."""
    for place in sorted(file.parent.glob("saec_*.json")):
        about = json.loads(place.read_text(encoding="utf-8"))
        if file.name in about.get("files", ()):
            return about | {"precision": about["settings"]["precision"]}
    raise Fault(
        f"{file} was not made by main_02_extract.py, so other pictures cannot be compared with it: extract "
        "features of both by one run"
    )


def _show(figure: Path, place: Path, names: np.ndarray, judged: JudgedSet, indices: np.ndarray) -> None:
    """One row a query: itself, then what was found, the nearest first."""
    ranks = [f"{rank + 1}" for rank in range(indices.shape[1])]
    files = [[place / str(name) for name in names]]
    files += [[judged.images / str(judged.names[row]) for row in column] for column in indices.T]
    with Image.open(files[0][0]) as first:
        size = first.size
    columns = {
        heading: np.stack([_picture(file, size) for file in column])
        for heading, column in zip(["asked", *ranks], files, strict=True)
    }
    title = f"nearest pictures, by {', '.join(judged.tables)}"
    figures.panels(figure, columns, [str(name) for name in names], title)


def _picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    """(3, height, width) in [0, 1]."""
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB").resize(size), dtype=np.float32).transpose(2, 0, 1) / 255
