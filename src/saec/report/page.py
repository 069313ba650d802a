"""The page of a report: one HTML file with all its tables and figures, readable without a network."""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from saec.files import write_text
from saec.sections.base import Content

MOST_ROWS = 60  # of a table on the page


def write_page(path: Path, title: str, contents: list[Content]) -> None:
    templates = Environment(loader=PackageLoader("saec", "report"), autoescape=True)
    sections = [_section(content) for content in contents]
    write_text(path, templates.get_template("report.html").render(title=title, sections=sections))


def _section(content: Content) -> dict[str, Any]:
    pages = {name: what for name, what in content.files.items() if name.endswith(".html")}
    return {
        "title": content.title,
        "remarks": content.remarks,
        "tables": [_table(caption, table) for caption, table in content.tables.items()],
        "figures": [(_data_address(content.folder / name), text) for name, text in content.figures.items()],
        "pages": pages,
        "files": {name: what for name, what in content.files.items() if name not in pages},
    }


def _table(caption: str, table: pd.DataFrame) -> dict[str, Any]:
    """Makes cells words; the best of each column of numbers is marked where methods are compared."""
    numbers = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    compares = "method" in table and "other" not in table and len(table) > 1
    best = {name: table[name].max() for name in numbers} if compares else {}
    rows = [
        [(_words(value), name in best and value == best[name]) for name, value in row.items()]
        for row in table.head(MOST_ROWS).to_dict("records")
    ]
    return {"caption": caption, "head": list(table.columns), "rows": rows, "left": len(table) - len(rows)}


def _words(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if abs(value) < 1e-2 else f"{value:.3f}".rstrip("0").rstrip(".")


def _data_address(figure: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(figure.read_bytes()).decode("ascii")
