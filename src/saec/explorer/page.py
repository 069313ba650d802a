"""Writes the explorer: one HTML file to look through samples by their features, clusters and pictures."""

import base64
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib import colormaps
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from saec.data.packed import member_at
from saec.data.photos import picture_of
from saec.evaluation.agreement import purity
from saec.explorer.sounds import MB, Stretch, listen, small_picture
from saec.faults import Unusable
from saec.files import fingerprint, write_text
from saec.progress import progress
from saec.reduction import search

N_NEIGHBORS = 12  # of each picture on the page
N_COMPONENTS = 16  # that nearness to the centre of a selection is computed from
N_MEDOIDS = 3
NOISE = "-1"
LIBRARY, STYLE = "d3.min.js", "explorer.css"
SCRIPTS = ("data.js", "looks.js", "map.js", "panels.js", "explorer.js")
RAMP, CYCLE = (
    [tuple(round(255 * part) for part in colormaps[name](step / last)[:3]) for step in range(n)]
    for name, n, last in (("cividis", 16, 15), ("twilight_shifted", 24, 24))
)
CYCLES = {"hour": 24}  # columns of numbers that begin again
IN_ORDER = ("date",)  # columns of words whose order tells
MOST_CATEGORIES = 2_000  # different words of a column that colours can show
SCRIPT_ENDS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": " ", "\u2029": " "})
WIDTH, HEIGHT = 160, 48  # of small pictures: pixels of the side that is scaled less


@dataclass(frozen=True)
class Space:
    """Holds one method's features: a 2-D map (n, 2), neighbours (n, k), components (n, d) for nearness."""

    layout: np.ndarray
    neighbors: np.ndarray
    near: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, layout: np.ndarray) -> "Space":
        """Makes a space of features (n, d): exact neighbours and principal components, both standardised."""
        if len(rows) == 1:
            return cls(layout, np.zeros((1, 0), dtype=int), np.zeros((1, 1)))
        n_neighbors, n_components = min(N_NEIGHBORS, len(rows) - 1), min(N_COMPONENTS, *rows.shape)
        neighbors, _ = search([rows], [rows], n_neighbors, np.arange(len(rows)))
        scaled = StandardScaler().fit_transform(rows.astype(np.float64))
        return cls(layout, neighbors, PCA(n_components, random_state=0).fit_transform(scaled))


@dataclass(frozen=True)
class Points:
    """Holds samples by name; `columns` are what they can be coloured by, some are clusters in a space.

    `stretches` say which sound each is of, where that is known.
    """

    names: np.ndarray
    spaces: dict[str, Space]
    columns: dict[str, np.ndarray]
    clusters: dict[str, str] = field(default_factory=dict)  # column: the space that was clustered
    stretches: list[Stretch] = field(default_factory=list)
    samples_are: str = "pictures"

    def cluster_list(self, column: str) -> list[dict[str, Any]]:
        """Returns each cluster's size, medoids, commonest label and its share, the purity; largest first.

        The medoid is the picture with the least sum of squared distances to the others, which is the one
        nearest to their mean.
        """
        clusters, near = self.columns[column], self.spaces[self.clusters[column]].near
        labels = self.columns.get("label", np.full(len(clusters), ""))
        listed = []
        for name in np.unique(clusters[(clusters != NOISE) & (clusters != "")]):
            rows = np.flatnonzero(clusters == name)
            distances = np.linalg.norm(near[rows] - near[rows].mean(0), axis=1)
            medoids = rows[np.argsort(distances, kind="stable")[:N_MEDOIDS]].tolist()
            one = {"name": str(name), "size": len(rows), "medoids": medoids, "label": None, "purity": None}
            listed.append(one | purity(labels[rows]))
        return sorted(listed, key=lambda one: (-one["size"], one["name"]))


def write_explorer(
    path: Path,
    points: Points,
    title: str,
    images: Path | None = None,
    thumbnails_mb: float = 6.0,
    sounds_mb: float = 12.0,
    color: str | None = None,
    final: Path | None = None,
) -> list[str]:
    """Writes the page; `final` is the folder that it will be moved to, where that is another one.

    `color` is the column that it opens with, else the first. Small pictures and sounds are in the page where
    all of a kind take so many MB at most, else by relative paths. Returns the columns that are left out,
    because they have too many words, or no finite number.
    """
    made = ((name, _column(values)) for name, values in points.columns.items())
    columns = {name: column for name, column in made if column}
    for name, column in columns.items():
        is_number = column["kind"] == "number"
        column |= {"cycle": CYCLES[name]} if is_number and name in CYCLES else {"ordered": name in IN_ORDER}
    content = {
        "id": fingerprint(title, points.names.tolist()),
        "title": title,
        "names": points.names.tolist(),
        "spaces": {name: _space(space) for name, space in points.spaces.items()},
        "columns": columns,
        "clusters": {name: points.cluster_list(name) for name in points.clusters if name in columns},
        "color": color if color in columns else next(iter(columns), None),
        "ramp": RAMP,
        "cycle": CYCLE,
        "many": points.samples_are,
        "links": None if images is None else links(images, points.names, final or path.parent),
        "thumbnails": None if images is None else thumbnails(images, points.names, thumbnails_mb),
        **_sounds(points, final or path.parent, sounds_mb, 0.0 if images else thumbnails_mb),
    }
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    loader = PackageLoader("saec", "explorer")
    templates = Environment(loader=loader, autoescape=True)
    parts = {part: loader.get_source(templates, part)[0] for part in (LIBRARY, STYLE, *SCRIPTS)}
    page = templates.get_template("explorer.html").render(
        title=title,
        many=points.samples_are,
        data=data.translate(SCRIPT_ENDS),
        style=parts[STYLE],
        library=parts[LIBRARY],
        script="\n".join(parts[part] for part in SCRIPTS),
    )
    write_text(path, page)
    return [name for name in points.columns if name not in columns]


def thumbnails(images: Path, names: np.ndarray, limit_mb: float) -> list[str] | None:
    """Returns small pictures as data addresses, or None where they take more than `limit_mb`."""
    addresses, n_letters = [], 0
    for name in progress(names, "small pictures", len(names), " pictures"):
        if n_letters <= limit_mb * MB:
            addresses.append(_data_address(images / str(name)))
            n_letters += len(addresses[-1])
    return addresses if n_letters <= limit_mb * MB else None


def links(images: Path, names: np.ndarray, page: Path) -> list[str] | None:
    """Returns addresses of the pictures relative to the page's folder, absolute ones on another drive.

    None where they lie within shards: a browser opens none of these.
    """
    if len(names) and member_at(images / str(names[0])):
        return None
    folder = _link(images, page)
    return [f"{folder}/{quote(str(name))}" for name in names]


def _link(path: Path, page: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path, page)).as_posix())
    except ValueError:  # another drive of Windows
        return path.absolute().as_uri()


def _sounds(points: Points, page: Path, clips_mb: float, pictures_mb: float) -> dict[str, Any]:
    """Returns which stretches of sound the points are, and the sounds: in the page, else addresses of files.

    Where there are no pictures, small ones are made of the sounds.
    """
    if not points.stretches:
        return {}
    files, of = np.unique([one.file for one in points.stretches], return_inverse=True)
    content: dict[str, Any] = {
        "stretches": {
            "files": files.tolist(),
            "of": _packed(of, "<i4"),
            "times": _packed(np.array([[one.start_s, one.end_s] for one in points.stretches]), "<f8"),
            "bands": _packed(np.array([one.band or (math.nan, math.nan) for one in points.stretches]), "<f8"),
        }
    }
    paths = {one.file: one.path for one in points.stretches if one.path}
    if paths:
        clips, pictures = listen(points.stretches, clips_mb, pictures_mb)
        content["clips"] = clips
        content |= {"thumbnails": pictures} if pictures else {}
        content["recordings"] = [_link(paths[file], page) if file in paths else "" for file in files.tolist()]
    return content


def _data_address(file: Path) -> str:
    """Returns a small picture as a data address, "" where the picture cannot be read."""
    try:
        photo = picture_of(file, (HEIGHT, WIDTH))
    except Unusable:
        return ""
    picture = Image.fromarray(photo.pixels)
    scale = min(1.0, max(WIDTH / picture.width, HEIGHT / picture.height))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.BOX)
    return small_picture(picture, "webp" if photo.form == "PNG" else "jpeg")


def _space(space: Space) -> dict[str, Any]:
    """Returns the map scaled into a square of 1, neighbours, and components as 16-bit numbers."""
    extent = np.ptp(space.layout, axis=0)
    span, largest = max(float(extent.max()), 1e-9), max(float(np.abs(space.near).max()), 1e-9)
    return {
        "positions": _packed((space.layout - space.layout.min(0)) / span + (1 - extent / span) / 2, "<f4"),
        "neighbors": _packed(space.neighbors, "<i4"),
        "n_neighbors": space.neighbors.shape[1],
        "near": _packed(np.round(space.near / largest * 32_000), "<i2"),
        "n_near": space.near.shape[1],
    }


def _column(values: np.ndarray) -> dict[str, Any] | None:
    """Returns words with a code for each picture, or numbers; None for too many words or no finite number."""
    if values.dtype.kind in "fiu":
        values = np.where(np.isfinite(values), values, np.nan)
        return None if np.isnan(values).all() else {"kind": "number", "values": _packed(values, "<f4")}
    words, codes = np.unique(values.astype(str), return_inverse=True)
    if len(words) > MOST_CATEGORIES:
        return None
    return {"kind": "category", "words": words.tolist(), "codes": _packed(codes, "<i4")}


def _packed(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")
