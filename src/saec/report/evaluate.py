"""From an evaluation session to a folder of tables, figures and pages."""

import logging
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from saec.config import Config, load_config
from saec.files import TEMPORARY, write_json
from saec.report.combined import fit_combined
from saec.report.explored import explored, layouts_of
from saec.report.exported import export_features
from saec.report.judge import judge, with_floor
from saec.report.judged import judged_section, set_section
from saec.report.others import folder_section, rebuilt_section, runs_section, similar_section
from saec.report.page import write_page
from saec.report.plan import EvaluationPlan, plan_evaluation
from saec.report.predicted import predicted_section
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.report.sounds import sounds_section
from saec.session import EvaluationSession, load_session

LOG = logging.getLogger(__name__)
DAY_S = 86_400
ABOUT, PAGE = "report.json", "report.html"


@dataclass(frozen=True)
class Report:
    """A folder of tables, figures and pages; `scores` is the tidy table of all scores."""

    folder: Path
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)


def evaluate(session: EvaluationSession | dict | Path | str, config: Config | None = None) -> Report:
    """Judges what the session names and writes a report; what was judged before is not judged again.

    Raises:
        Fault: the session, its files or its labels cannot be used.
    """
    return carry_out(plan_evaluation(load_session(session, EvaluationSession), config or load_config()))


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
    sections, scores = _features(plan, folder)
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


def _features(plan: EvaluationPlan, folder: Path) -> tuple[list[Section], pd.DataFrame]:
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
