"""Defines a section of a report: planned from a session's sets of features, described, then written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import pandas as pd

from saec.config import Config
from saec.faults import collect_faults
from saec.registry import Registry
from saec.sections.sets import FeatureSet
from saec.tables import write_table

SECTIONS = Registry("section", given="inputs")
T = TypeVar("T")


@dataclass
class Inputs:
    """Holds what sections are planned from; each adds its faults, with the session's key, to `faults`."""

    config: Config
    reports: Path  # the folder that the report will lie in
    images: str | None = None  # as the session names them
    sounds: tuple[str, ...] | None = None
    has_features: bool = False  # whether the session names any, read or not
    sets: dict[str, FeatureSet] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def check(self, key: str, function: Callable[..., T], *arguments: Any) -> T | None:
        """Calls the function; returns None, with the fault noted under the key, where it raises one."""
        return collect_faults(self.faults, key, function, *arguments)


@dataclass
class Content:
    """Holds what stands under one heading: remarks, tables by caption, figures and files of the folder."""

    title: str
    folder: Path  # the report's
    remarks: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)  # captions by name
    files: dict[str, str] = field(default_factory=dict)  # what they hold, by name
    scores: pd.DataFrame | None = None  # rows of the tidy table of all scores
    findings: list[str] = field(default_factory=list)  # sentences for the top of the report
    doubts: list[str] = field(default_factory=list)  # what is suspicious, in few words each

    def write(self, name: str, table: pd.DataFrame, what: str, caption: str | None = None) -> None:
        """Writes a table that has rows into the folder; under a caption it stands on the page, too."""
        if table.empty:
            return
        write_table(self.folder / name, table)
        self.files[name] = what
        if caption:
            self.tables[caption] = table

    def draw(self, name: str, caption: str, figure: Callable[..., None], *given: Any, **options: Any) -> None:
        """Draws a figure, by a function that takes its path first, into the folder."""
        figure(self.folder / name, *given, **options)
        self.figures[name] = caption


class Section(Protocol):
    """Is a registered class whose keyword-only parameters are keys of the session, with their defaults.

    `__init__(inputs, *, ...)` checks all that can be checked before work begins. A section that the session
    does not ask for describes nothing, and is not written.
    """

    position: ClassVar[int]  # sections are planned, written and shown in this order

    def describe(self) -> list[str]:
        """Returns lines that say what will be done."""

    def write(self, folder: Path) -> list[Content]:
        """Does the work: tables, figures and files go into the folder."""
