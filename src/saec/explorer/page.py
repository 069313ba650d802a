"""Points and pictures become one HTML file."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib import colormaps

from saec.explorer.points import Points, Space
from saec.explorer.thumbnails import links, thumbnails
from saec.files import fingerprint, write_text

LIBRARY, STYLE = "d3.min.js", "explorer.css"
SCRIPTS = ("data.js", "looks.js", "map.js", "panels.js", "explorer.js")
RAMP = [tuple(round(255 * part) for part in colormaps["cividis"](step / 15)[:3]) for step in range(16)]
MOST_CATEGORIES = 2_000  # different words in a column beyond which nothing is coloured by it
SCRIPT_ENDS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": " ", "\u2029": " "})


def write_explorer(
    path: Path,
    points: Points,
    title: str,
    images: Path | None = None,
    thumbnails_mb: float = 6.0,
    color: str | None = None,
    final: Path | None = None,
) -> list[str]:
    """Writes the page; `final` is the folder that it will lie in, where that is another one.

    `color` is the column that it opens with, else the first. Returns the columns that tell nothing apart,
    which are left out.
    """
    templates = Environment(loader=PackageLoader("saec", "explorer"), autoescape=True)
    content = _content(points, title, color)
    if images is not None:
        content["links"] = links(images, points.names, final or path.parent)
        content["thumbnails"] = thumbnails(images, points.names, thumbnails_mb)
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    read = {part: templates.loader.get_source(templates, part)[0] for part in (LIBRARY, STYLE, *SCRIPTS)}
    page = templates.get_template("explorer.html").render(
        title=title,
        data=data.translate(SCRIPT_ENDS),
        style=read[STYLE],
        library=read[LIBRARY],
        script="\n".join(read[part] for part in SCRIPTS),
    )
    write_text(path, page)
    return [name for name in points.columns if name not in content["columns"]]


def _content(points: Points, title: str, color: str | None) -> dict[str, Any]:
    columns = {name: _column(values) for name, values in points.columns.items()}
    columns = {name: column for name, column in columns.items() if column}
    return {
        "id": fingerprint(title, points.names.tolist()),
        "title": title,
        "names": points.names.tolist(),
        "spaces": {name: _space(space) for name, space in points.spaces.items()},
        "columns": columns,
        "clusters": {name: points.cluster_list(name) for name in points.clusters if name in columns},
        "color": color if color in columns else next(iter(columns), None),
        "ramp": RAMP,
        "links": None,
        "thumbnails": None,
    }


def _space(space: Space) -> dict[str, Any]:
    """The map scaled into a square of 1; nearness as 16-bit numbers, scaled by the largest."""
    low, span = space.layout.min(0), max(float(np.ptp(space.layout, axis=0).max()), 1e-9)
    middle = (1 - np.ptp(space.layout, axis=0) / span) / 2
    places = (space.layout - low) / span + middle
    largest = max(float(np.abs(space.near).max()), 1e-9)
    return {
        "places": _packed(places, "<f4"),
        "neighbors": _packed(space.neighbors, "<i4"),
        "n_neighbors": space.neighbors.shape[1],
        "near": _packed(np.round(space.near / largest * 32_000), "<i2"),
        "n_near": space.near.shape[1],
    }


def _column(values: np.ndarray) -> dict[str, Any] | None:
    """Words with a code for each picture, or numbers; None where neither tells pictures apart."""
    if values.dtype.kind in "fiu":
        if not np.isfinite(values).all():
            return None
        return {"kind": "number", "values": _packed(values, "<f4")}
    words, codes = np.unique(values.astype(str), return_inverse=True)
    if len(words) > MOST_CATEGORIES:
        return None
    return {"kind": "category", "words": words.tolist(), "codes": _packed(codes, "<i4")}


def _packed(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")
