"""Writes an evaluation session's folder of tables, figures and pages, without naming any section."""

import base64
import logging
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from pydantic import create_model, model_validator

from saec.config import Config, load_config
from saec.devices import resolve_device
from saec.faults import Fault
from saec.files import move_to_timestamp, require_writable, temporary_folder, write_json, write_text
from saec.sections import SECTIONS
from saec.sections.base import Content, Inputs, Section
from saec.sections.labels import GivenLabels, Labels
from saec.sections.parts import read_parts
from saec.sections.sets import EvaluatedSet, FeatureSet, Files, Per, SoundPaths
from saec.session import Session, SessionError, load_session
from saec.tables import refuse_alike

LOG = logging.getLogger(__name__)
MOST_SENTENCES = 6  # at the top of the page
MOST_ROWS = 60  # of a table on the page
LONG = 70  # letters from which a cell has several lines
COMPONENTS = sorted(map(SECTIONS.__getitem__, SECTIONS.names()), key=lambda one: one.target.position)


class SharedKeys(Session):
    """Holds the keys from which all sections are planned: one set of samples, or several under `sets`."""

    images: str | None = None
    features: Files | None = None
    labels: GivenLabels = Labels()
    sets: dict[str, EvaluatedSet] = {}
    sounds: SoundPaths = None
    per: Per = "sample"
    by: str | None = None
    out: str = "reports"

    @model_validator(mode="after")
    def _one_set_or_several(self) -> "SharedKeys":
        own = ("features", "images", "labels", "per", "by")
        beside = [key for key in own if getattr(self, key) != type(self).model_fields[key].default]
        if self.sets and beside:
            raise ValueError(
                f"several `sets` have {' and '.join(own)} of their own, got {beside[0]} beside them"
            )
        return self

    @property
    def evaluated(self) -> dict[str, EvaluatedSet]:
        """Returns the sets by name; a single one has the session's name."""
        if self.sets or self.features is None:
            return self.sets
        return {self.name: EvaluatedSet(**{key: getattr(self, key) for key in EvaluatedSet.model_fields})}

    @property
    def folders(self) -> list[str]:
        """Returns the folders of pictures, as the session names them."""
        options = [self, *self.sets.values(), *(getattr(self, key) for key in type(self).model_fields)]
        return [images for one in options if isinstance(images := getattr(one, "images", None), str)]


KEYS_OF_SECTIONS: dict[str, Any] = {
    key: (component.model_fields[key].annotation, component.model_fields[key])
    for component in COMPONENTS
    for key in component.options
}
EvaluationSession = create_model("EvaluationSession", __base__=SharedKeys, **KEYS_OF_SECTIONS)


@dataclass(frozen=True)
class Report:
    """Is a folder of tables, figures and pages; `scores` is the tidy table of all scores."""

    folder: Path
    scores: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    findings: tuple[str, ...] = ()  # what the top of the page says

    @property
    def paths(self) -> list[Path]:
        return [self.folder]


@dataclass(frozen=True)
class EvaluationJob:
    """Holds a checked session whose sets of features have been read and whose sections are planned."""

    session: SharedKeys
    out: Path
    sets: dict[str, FeatureSet]
    sections: dict[str, Section]

    def describe(self) -> str:
        lines = [one.describe() for one in self.sets.values()]
        lines += [line for section in self.sections.values() for line in section.describe()]
        return "\n".join([*lines, f"report in a new folder of {self.out}"])

    def estimate(self) -> str:
        return ""

    def run(self) -> Report:
        """Writes all sections into a folder that appears whole."""
        LOG.info("%s", self.describe())
        with temporary_folder(self.out) as part:
            contents = [content for section in self.sections.values() for content in section.write(part)]
            scores = pd.concat([pd.DataFrame(), *(one.scores for one in contents if one.scores is not None)])
            found = summary(contents)
            write_json(part / "report.json", self._about(contents, scores, found))
            write_page(part / "report.html", self.session.name, contents, found)
            LOG.info("%s", "\n".join(found))
            return Report(move_to_timestamp(part, self.out, f"*_{self.session.name}"), scores, tuple(found))

    def _about(self, contents: list[Content], scores: pd.DataFrame, found: list[str]) -> dict[str, Any]:
        """Returns everything that the report says, for programs."""
        return {
            "session": self.session.model_dump(mode="json"),
            "versions": {name: version(name) for name in ("saec", "scikit-learn", "umap-learn", "numpy")},
            "findings": found,
            "sets": {name: one.about() for name, one in self.sets.items()},
            "scores": _records(scores),
            "sections": [
                {key: getattr(content, key) for key in ("title", "remarks", "figures", "files")}
                | {"tables": {caption: _records(table) for caption, table in content.tables.items()}}
                for content in contents
            ],
        }


def plan_evaluation(session: SharedKeys, config: Config) -> EvaluationJob:
    """Reads feature files and labels, and checks everything that can be checked before work begins."""
    has_features = bool(session.evaluated)
    inputs = Inputs(config, config.data, session.images, session.sounds, has_features)
    inputs.reports = inputs.check("out", config.data_path, session.out) or config.data
    inputs.check("out", require_writable, inputs.reports)
    inputs.check("config.cache", require_writable, config.cache)
    inputs.check("config.device", resolve_device, config.device)
    inputs.check("sets", refuse_alike, "sets", list(session.evaluated))
    alone, sets = len(session.evaluated) == 1, []
    for name, of in session.evaluated.items():
        try:
            sets += read_parts(name, of, config, alone)
        except Fault as fault:
            faults = getattr(fault, "faults", [str(fault)])
            inputs.faults += [f"sets.{name}.{one}" if session.sets else one for one in faults]
    if len(sets) > len(session.evaluated):
        inputs.check("by", refuse_alike, "sets", [one.name for one in sets])
    inputs.sets = {one.name: one for one in sets}
    sections = {
        component.model_fields["name"].default: component.target(
            inputs, **{key: getattr(session, key) for key in component.options}
        )
        for component in COMPONENTS
    }
    planned = {name: section for name, section in sections.items() if inputs.faults or section.describe()}
    if not planned:
        inputs.faults.append(
            "there is nothing to do: name `features`, `images`, `sounds`, `sets`, or a key of one of the "
            f"sections {', '.join(sections)}"
        )
    if inputs.faults:
        raise SessionError(f"session {session.name}", inputs.faults)
    return EvaluationJob(session, inputs.reports, inputs.sets, planned)


def evaluate(session: SharedKeys | dict | Path | str, config: Config | None = None) -> Report:
    """Scores what the session names and writes a report; what was scored before is not scored again."""
    return plan_evaluation(load_session(session, EvaluationSession), config or load_config()).run()


def summary(contents: list[Content]) -> list[str]:
    """Returns the first sentences that sections have found, and one of what is suspicious."""
    sentences = [sentence for one in contents for sentence in one.findings]
    doubts = list(dict.fromkeys(doubt for one in contents for doubt in one.doubts))
    if not sentences + doubts:
        return []
    beside = ", beside the remarks in boxes below" if any(one.remarks for one in contents) else ""
    last = (
        f"Look at this first: {'; '.join(doubts)}." if doubts else f"Nothing suspicious was noticed{beside}."
    )
    return [*sentences[: MOST_SENTENCES - 1], last]


def write_page(path: Path, title: str, contents: list[Content], found: list[str]) -> None:
    """Writes one HTML file with what was found, all tables and figures, readable without a network."""
    templates = Environment(loader=PackageLoader("saec", "report"), autoescape=True)
    templates.filters["cells"] = _cells
    templates.filters["encoded"] = lambda figure: base64.b64encode(figure.read_bytes()).decode("ascii")
    page = templates.get_template("report.html")
    write_text(path, page.render(title=title, contents=contents, found=found))


def _cells(table: pd.DataFrame) -> dict[str, Any]:
    """Makes cells words; the best of a column is marked where methods are compared and differ."""
    numbers, best = table.select_dtypes("floating"), {}
    if list(table.columns) == ["method", *numbers.columns]:
        best = {name: of.max() for name, of in numbers.items() if of.max() > 0 and of.nunique() > 1}
    rows = [
        [(words := _words(value), _class_of(words, value == best.get(name))) for name, value in row.items()]
        for row in table.head(MOST_ROWS).to_dict("records")
    ]
    return {"head": list(table.columns), "rows": rows, "left": len(table) - len(rows)}


def _class_of(words: str, is_best: bool) -> str:
    return "best" if is_best else "long" if len(words) > LONG else ""


def _words(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if abs(value) < 1e-2 else f"{value:.3f}".rstrip("0").rstrip(".")


def _records(table: pd.DataFrame) -> list[dict]:
    """Returns rows as plain values; what is no number is null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
