"""From an evaluation session to a folder of tables, figures and pages."""

import base64
import logging
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader

from saec.config import Config, load_config
from saec.files import TEMPORARY, as_file_name, map_npz, write_json, write_text
from saec.report.combined import fit_combined
from saec.report.explored import explored, layouts_of
from saec.report.judge import judge, with_floor
from saec.report.judged import judged_section, set_section
from saec.report.others import folder_section, rebuilt_section, runs_section, similar_section
from saec.report.plan import EvaluationPlan, check_evaluation
from saec.report.predicted import predicted_section
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.report.sounds import sounds_section
from saec.session import EvaluationSession, load_session
from saec.tables import Table, beside, write_table

LOG = logging.getLogger(__name__)
DAY_S = 86_400
ABOUT, PAGE = "report.json", "report.html"


@dataclass(frozen=True)
class Report:
    """A folder of tables, figures and pages; `scores` is the tidy table of all scores."""

    folder: Path
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def paths(self) -> list[Path]:
        return [self.folder]


class EvaluationJob(EvaluationPlan):
    """A checked session that can be run."""

    def describe(self) -> str:
        return str(self)

    def estimate(self) -> str:
        return ""

    def run(self) -> Report:
        return carry_out(self)


def plan_evaluation(session: EvaluationSession, config: Config) -> EvaluationJob:
    """Reads feature files and labels, and finds runs and folders.

    Raises:
        SessionError: with every fault found, each with its key.
    """
    return EvaluationJob(**vars(check_evaluation(session, config)))


def evaluate(session: EvaluationSession | dict | Path | str, config: Config | None = None) -> Report:
    """Judges what the session names and writes a report; what was judged before is not judged again.

    Raises:
        Fault: the session, its files or its labels cannot be used.
    """
    return plan_evaluation(load_session(session, EvaluationSession), config or load_config()).run()


def carry_out(plan: EvaluationPlan) -> Report:
    """The work of a session that has been checked."""
    LOG.info("%s", plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    _sweep(plan.out)
    part = plan.out / f"{TEMPORARY}{secrets.token_hex(4)}"
    part.mkdir()
    try:
        scores = _write(plan, part)
        return Report(_settled(part, plan), scores)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sweep(reports: Path) -> None:
    """Removes what killed calls have left, once nobody can be at work on it any more."""
    for part in reports.glob(f"{TEMPORARY}*"):
        if part.is_dir() and part.stat().st_mtime < time.time() - DAY_S:
            shutil.rmtree(part, ignore_errors=True)


def _write(plan: EvaluationPlan, folder: Path) -> pd.DataFrame:
    """All parts that the session asks for, into a folder; returns the scores."""
    session, config = plan.session, plan.config
    sections, scores = _sets(plan, folder)
    if session.similar:
        for judged in plan.sets.values():
            sections.append(similar_section(judged, session.similar, config, folder))
    if plan.predicted:
        sections.append(predicted_section(plan.predicted, folder))
    if plan.runs:
        sections.append(runs_section(plan.runs, folder))
    if session.rebuilt:
        sections.append(rebuilt_section(session.rebuilt, config, folder))
    for number, images in enumerate(plan.folders):
        sections.append(folder_section(images, number, config, folder))
    if plan.sounds:
        sections.append(sounds_section(plan.sounds, config.n_workers, folder))
    write_json(folder / ABOUT, _facts(plan, sections, scores))
    write_page(folder / PAGE, session.name, sections, folder)
    return scores


def _sets(plan: EvaluationPlan, folder: Path) -> tuple[list[Section], pd.DataFrame]:
    """What evaluations say of every set; the sections on all sets come first."""
    sections, everything, maps = [], [], {}
    for name, judged in plan.sets.items():
        tables = with_floor(judged, plan.config) if plan.session.pixels else judged.tables
        results = judge(judged, tables, plan.evaluations[name], plan.config, plan.session.combine)
        everything += results
        layouts = layouts_of(tables) if results or plan.session.explorer else {}
        maps |= {(name, method): (layout, judged.known.labels) for method, layout in layouts.items()}
        section = set_section(judged, results, folder)
        explored(judged, tables, layouts, results, plan, section, folder)
        if plan.session.table:
            export_features(judged, plan.session.table, section, folder)
        if plan.session.combine:
            fit_combined(plan.session.combine, judged, results, section, folder)
        sections.append(section)
    if not everything:
        return sections, pd.DataFrame()
    first, scores = judged_section(everything, maps, folder)
    return [first, *sections], scores


def _settled(part: Path, plan: EvaluationPlan) -> Path:
    """Puts the finished folder in place: `<timestamp>_<session>`, the next second if that one is taken."""
    while True:
        folder = plan.out / f"{time.strftime('%Y%m%d_%H%M%S')}_{plan.session.name}"
        if not folder.exists():
            os.replace(part, folder)
            return folder
        time.sleep(0.1)


def _facts(plan: EvaluationPlan, sections: list[Section], scores: pd.DataFrame) -> dict:
    """Everything in one file, for programs."""
    return {
        "session": plan.session.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("saec", "scikit-learn", "umap-learn", "numpy")},
        "sets": {name: _about(judged) for name, judged in plan.sets.items()},
        "scores": _records(scores),
        "sections": [
            {
                "title": section.title,
                "remarks": section.remarks,
                "tables": {caption: _records(table) for caption, table in section.tables.items()},
                "figures": section.figures,
                "files": section.files,
            }
            for section in sections
        ],
    }


def _about(judged: JudgedSet) -> dict:
    return {
        "n_pictures": len(judged.names),
        "classes": judged.known.classes.tolist(),
        "n_labelled": int((judged.known.labels != "").sum()),
        "images": judged.images and str(judged.images),
        "methods": {method: str(table.file) for method, table in judged.tables.items()},
    }


def _records(table: pd.DataFrame) -> list[dict]:
    """Rows as plain values; what is no number is null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


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


def export_features(judged: JudgedSet, kind: str, section: Section, folder: Path) -> None:
    """`features_<set>_<method>.<kind>`: file, label, group, features, and the reductions made with them."""
    for method, table in judged.tables.items():
        name = as_file_name(f"features_{judged.name}_{method}") + f".{kind}"
        facts = {"file": judged.names, "label": judged.known.labels, "group": judged.known.groups}
        parts = [pd.DataFrame(facts), _features(table), *_reductions(table)]
        write_table(folder / name, pd.concat(parts, axis=1))
        section.files[name] = f"features and reductions of {method}, one row a picture"


def _features(table: Table) -> pd.DataFrame:
    names = table.columns or [f"Feature_{place + 1}" for place in range(table.rows.shape[1])]
    return pd.DataFrame(np.asarray(table.rows, dtype=np.float32), columns=list(names))


def _reductions(table: Table) -> list[pd.DataFrame]:
    """Of the files that the same extraction has made of the same pictures."""
    found = []
    for file in beside(table.file):
        if not np.array_equal(map_npz(file, "N"), table.names):
            continue
        rows = np.array(map_npz(file, "X_red"))
        columns = [f"UMAP{rows.shape[1]}_{place + 1}" for place in range(rows.shape[1])]
        found.append(pd.DataFrame(rows, columns=columns))
    return found
