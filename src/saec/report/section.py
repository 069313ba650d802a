"""A section of a report: what a part of an evaluation has to say, and the files it has made."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass
class Section:
    """Remarks, tables by caption, figures and files (names in the report's folder) by caption."""

    title: str
    remarks: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def drawn(self, folder: Path, name: str, caption: str) -> None:
        """Takes a figure in, where it has been made."""
        if (folder / name).is_file():
            self.figures[name] = caption
