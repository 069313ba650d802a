"""Every method's features of a set, through every evaluation; what was found before is remembered."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from saec import evaluation
from saec.config import Config
from saec.evaluation.base import Scores
from saec.evaluation.probes import CLASSIFIERS
from saec.faults import Fault
from saec.files import fingerprint, write_json
from saec.progress import progress
from saec.registry import Component
from saec.report.combined import combined_blocks
from saec.report.judged import Result
from saec.report.pictures import FLOOR, pixel_floor
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


FOLDER = "evaluations"
MADE_BY = ("saec", "scikit-learn", "umap-learn", "numpy", "scipy")


def remembered(folder: Path, what: tuple, ask: Callable[[], Scores]) -> Scores:
    """The answer of an earlier call with the same data, options and packages, else a new one, kept.

    `what` are plain values and arrays that the answer depends on.
    """
    plain = [_digest(part) if isinstance(part, np.ndarray) else part for part in what]
    key = fingerprint(plain, _code(), [version(package) for package in MADE_BY])
    file = folder / FOLDER / f"{key}.json"
    if file.is_file():
        content = json.loads(file.read_text(encoding="utf-8"))
        predicted = content.pop("predicted")
        return Scores(**content, predicted=None if predicted is None else np.array(predicted, dtype=str))
    found = ask()
    file.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(found)
    content["predicted"] = None if found.predicted is None else found.predicted.tolist()
    write_json(file, content)
    return found


@cache
def _code() -> str:
    """Of the evaluations themselves: what another version of them has found does not count."""
    files = sorted(Path(evaluation.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _digest(array: np.ndarray) -> str:

    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() + str((array.shape, array.dtype))
