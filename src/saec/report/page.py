"""`report.html`: all sections on one page that needs no other file; figures are in it."""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from saec.files import write_text
from saec.report.section import Section

MOST_ROWS = 60  # of a table on the page


def write_page(path: Path, title: str, sections: list[Section], folder: Path) -> None:
    templates = Environment(loader=PackageLoader("saec", "report"), autoescape=True)
    content = [_content(section, folder) for section in sections]
    write_text(path, templates.get_template("report.html").render(title=title, sections=content))


def _content(section: Section, folder: Path) -> dict[str, Any]:
    return {
        "title": section.title,
        "remarks": section.remarks,
        "tables": [_table(caption, table) for caption, table in section.tables.items()],
        "figures": [(_address(folder / name), caption) for name, caption in section.figures.items()],
        "pages": {name: what for name, what in section.files.items() if name.endswith(".html")},
        "files": {name: what for name, what in section.files.items() if not name.endswith(".html")},
    }


def _table(caption: str, table: pd.DataFrame) -> dict[str, Any]:
    """Cells as words; the best of each column of numbers is marked where methods are compared."""
    numbers = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    best = {name: table[name].max() for name in numbers} if "method" in table and len(table) > 1 else {}
    if "other" in table:
        best = {}
    rows = [
        [(_said(value), name in best and value == best[name]) for name, value in row.items()]
        for row in table.head(MOST_ROWS).to_dict("records")
    ]
    left = len(table) - len(rows)
    return {"caption": caption, "head": list(table.columns), "rows": rows, "left": left}


def _said(value: Any) -> str:
    if isinstance(value, float):
        return (
            ""
            if pd.isna(value)
            else f"{value:.3g}"
            if abs(value) < 1e-2
            else f"{value:.3f}".rstrip("0").rstrip(".")
        )
    return str(value)


def _address(figure: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(figure.read_bytes()).decode("ascii")
