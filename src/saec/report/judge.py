"""Every method's features of a set, through every evaluation; what was found before is remembered."""

import logging
from functools import partial

import numpy as np

from saec.config import Config
from saec.evaluation.probes import CLASSIFIERS
from saec.faults import Fault
from saec.progress import progress
from saec.registry import Component
from saec.report.combined import combined_blocks
from saec.report.pictures import FLOOR, pixel_floor
from saec.report.remember import remembered
from saec.report.results import Result
from saec.report.sets import JudgedSet
from saec.session import Combine
from saec.tables import Table

LOG = logging.getLogger(__name__)


def with_floor(judged: JudgedSet, config: Config) -> dict[str, Table]:
    """The set's tables, and small pixels beside them where the pictures are at hand and of one size."""
    if judged.images is None or FLOOR in judged.tables:
        return judged.tables
    try:
        return judged.tables | {FLOOR: pixel_floor(judged.images, judged.names, config)}
    except Fault as fault:
        LOG.warning("no pixels to compare with: %s", fault)
        judged.remarks.append(f"no pixels to compare with: {fault}")
        return judged.tables


def judge(
    judged: JudgedSet,
    tables: dict[str, Table],
    evaluations: list[Component],
    config: Config,
    combine: Combine | None = None,
) -> list[Result]:
    """In the order of methods, then of evaluations; one that is asked for twice has a number in its name.

    The combination comes last, by probes alone.
    """
    known = judged.known
    asked = [(method, place) for method in tables for place in range(len(evaluations))]
    if combine:
        asked += [(combine.name, place) for place, one in enumerate(evaluations) if one.name in CLASSIFIERS]
    results = []
    for method, place in progress(asked, f"judging {judged.name}", len(asked), " evaluations"):
        component, given = evaluations[place], (known.labels, known.groups, known.split)
        if combine and method == combine.name:
            component, rows, blocks = _side_by_side(component, combine, judged)
            given = (rows, *given, blocks)
        else:
            given = (np.asarray(tables[method].rows, dtype=np.float32), *given)
        options = component.model_dump(mode="json")
        found = remembered(config.cache, (options, *given), partial(component, *given))
        LOG.info("%s, %s, %s: %s", judged.name, method, component.name, _headline(found.scores))
        for remark in found.remarks:
            who = "probes" if component.name in CLASSIFIERS else f"{method}, {component.name}"
            if (said := f"{who}: {remark}") not in judged.remarks:
                judged.remarks.append(said)
        results.append(Result(judged.name, method, _called(evaluations, place), found, known.labels))
    return results


def _side_by_side(
    probe: Component, combine: Combine, judged: JudgedSet
) -> tuple[Component, np.ndarray, tuple[int, ...]]:
    """The probe with its own `pca` or the combination's; features (n, all); the width of each method's."""
    blocks = list(combined_blocks(combine, judged).values())
    probe = probe if probe.pca else probe.model_copy(update={"pca": combine.pca})
    return probe, np.hstack(blocks), tuple(rows.shape[1] for rows in blocks)


def _called(evaluations: list[Component], place: int) -> str:
    name = evaluations[place].name
    before = sum(one.name == name for one in evaluations[:place])
    return f"{name} {before + 1}" if before else name


def _headline(scores: dict[str, float]) -> str:
    shown = [
        name for name in ("macro_f1", "v_measure", "n_clusters", "silhouette", "stability") if name in scores
    ]
    return ", ".join(f"{name} {scores[name]:.3g}" for name in shown)
