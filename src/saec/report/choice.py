"""Which evaluations a set gets: those that the session names, else all that its labels allow."""

import logging

import numpy as np

from saec.evaluation import EVALUATIONS
from saec.evaluation.folds import given_split, require_two_groups
from saec.evaluation.probes import CLASSIFIERS
from saec.faults import Fault, did_you_mean
from saec.registry import Component
from saec.report.sets import JudgedSet
from saec.session import EvaluationSession

LOG = logging.getLogger(__name__)
ALONE = ("kmeans", {"name": "hdbscan", "umap": {}})  # what needs no label
PROBES = tuple(CLASSIFIERS)
MOST_FOR_SVM = 5_000  # labels that an SVM is fitted on without being asked: its time grows with their square


def chosen_evaluations(session: EvaluationSession, judged: JudgedSet) -> list[Component]:
    """What the session says; without a word all that the labels allow, and why no more.

    Raises:
        Fault: a probe is asked for, and the labels allow none.
    """
    if session.evaluations is not None:
        if any(one.name in PROBES for one in session.evaluations):
            _require_probes(judged)
        return list(session.evaluations)
    alone = [EVALUATIONS.parse(name) for name in ALONE]
    if not len(judged.known.classes):
        return alone
    try:
        _require_probes(judged)
    except Fault as fault:
        LOG.warning("no probes: %s", fault)
        judged.remarks.append(f"no probes: {fault}")
        return alone
    told = int((judged.known.labels != "").sum())
    if told > MOST_FOR_SVM:
        judged.remarks.append(f"no svm: {told:,} labels take it long; name it in `evaluations` to have it")
    return [*alone, *(EVALUATIONS.parse(name) for name in PROBES if name != "svm" or told <= MOST_FOR_SVM)]


def _require_probes(judged: JudgedSet) -> None:
    """Raises a `Fault` where labels are missing, of one class, of one group, or of classes in one group."""
    known = judged.known
    told = known.labels != ""
    if len(known.classes) < 2:
        found = f"one class, {known.classes[0]!s}" if len(known.classes) else "no labels"
        raise Fault(f"{judged.name}: probes need labels of two classes at least, got {found}")
    if known.split is not None:
        given_split(known.split[told])
        return
    if len(np.unique(known.groups[told])) < 2:
        raise Fault(f"{judged.name}: probes need pictures of two groups (recordings) at least, got one")
    require_two_groups(known.labels[told], known.groups[told])


def require_column(color: str, judged: JudgedSet, chosen: list[Component] | None) -> None:
    """Raises a `Fault` where the page will have no such column."""
    clusters = [f"{one.name} of {method}" for one in chosen or () for method in judged.tables]
    there = ["label", "recording", *judged.known.columns, *clusters]
    if color not in there:
        raise Fault(f"no column {color!r} of set {judged.name}, {did_you_mean(color, there)}")
