"""Several methods of a set as one more: which they are, what judges them, and the combiner that is kept."""

import logging
from importlib.metadata import version
from pathlib import Path

import numpy as np

from saec.evaluation import EVALUATIONS
from saec.evaluation.classifiers import SVM
from saec.evaluation.combiner import Blocks, Combiner
from saec.extraction.outputs import made_by, recipe_of
from saec.faults import Fault, did_you_mean
from saec.files import as_file_name, write_json
from saec.registry import Component
from saec.report.choice import chosen_evaluations
from saec.report.judged import MAIN_SCORE, Result
from saec.report.pictures import FLOOR
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.session import Combine, EvaluationSession
from saec.tables import Table

LOG = logging.getLogger(__name__)
SEED = 0


def combined_methods(asked: Combine, judged: JudgedSet) -> list[str]:
    """Those of the set that are combined, in order.

    Raises:
        Fault: they are less than two, or not of the set; or the combination is called as a method is.
    """
    there = list(judged.tables)
    if asked.name in (*there, FLOOR):
        raise Fault(f"{asked.name!r} is a method of set {judged.name} already: choose another `combine.name`")
    methods = list(dict.fromkeys(there if asked.use is None else asked.use))
    unknown = [f"{method!r} ({did_you_mean(method, there)})" for method in methods if method not in there]
    if unknown:
        raise Fault(f"`combine.use` names what is no method of set {judged.name}: {', '.join(unknown)}")
    if len(methods) < 2:
        raise Fault(
            f"features of two methods at least are combined, set {judged.name} has {', '.join(methods)} "
            "alone: name another file in `features`, or leave `combine` out"
        )
    return methods


def combined_blocks(asked: Combine, judged: JudgedSet) -> Blocks:
    return {
        method: np.asarray(judged.tables[method].rows, dtype=np.float32)
        for method in combined_methods(asked, judged)
    }


def combined_evaluations(
    session: EvaluationSession, judged: JudgedSet, chosen: list[Component]
) -> list[Component]:
    """The chosen ones, and a probe of the combination's classifier if there is none; an SVM with its grid.

    Raises:
        Fault: the labels allow no probe, or an SVM is asked for with another grid.
    """
    asked = session.combine
    if not any(one.name == asked.classifier for one in chosen):
        chosen = [*chosen, EVALUATIONS.parse(asked.classifier)]
        judged.remarks[:] = [
            said for said in judged.remarks if not said.startswith(f"no {asked.classifier}:")
        ]
    chosen_evaluations(session.but(evaluations=tuple(chosen)), judged)
    if asked.classifier != SVM:
        return chosen
    return [_searched_alike(one, asked) if one.name == SVM else one for one in chosen]


def _searched_alike(svm: Component, asked: Combine) -> Component:
    plain = EVALUATIONS.parse(SVM)
    for key in ("C", "gamma"):
        if getattr(svm, key) not in (getattr(plain, key), getattr(asked, key)):
            raise Fault(f"`{key}` of an svm in `evaluations` is that of `combine`: say it there alone")
    return svm.model_copy(update={"C": asked.C, "gamma": asked.gamma, "class_weight": "balanced"})


def fit_combined(
    asked: Combine, judged: JudgedSet, results: list[Result], section: Section, folder: Path
) -> None:
    """`combiner_<set>.skops`, fitted on all samples with a label; `combiner_<set>.json` says what it is."""
    blocks, known = combined_blocks(asked, judged), judged.known
    LOG.info("%s: the combiner of %s is fitted", judged.name, ", ".join(blocks))
    options = {"classifier": asked.classifier, "pca": asked.pca, "C": asked.C, "gamma": asked.gamma}
    combiner = Combiner.fit(blocks, known.labels, known.groups, **options, seed=SEED)
    stem = f"combiner_{as_file_name(judged.name)}"
    combiner.save(folder / f"{stem}.skops")
    write_json(folder / f"{stem}.json", _about(asked, judged, combiner, results))
    section.files[f"{stem}.skops"] = f"{asked.name}: fitted on all labels, answers by {', '.join(blocks)}"
    section.files[f"{stem}.json"] = "what the combiner was made of: files, classes, what was chosen, macro-F1"


def _about(asked: Combine, judged: JudgedSet, combiner: Combiner, results: list[Result]) -> dict:
    """`macro_f1` is that of the report, of folds that nothing was chosen in; the search's is of its best."""
    judged_as = next(
        one for one in results if one.method == asked.name and one.evaluation.split()[0] == asked.classifier
    )
    return {
        "name": asked.name,
        "set": judged.name,
        "classifier": asked.classifier,
        "pca": asked.pca,
        "methods": [
            {"method": method, "file": str(judged.tables[method].file.absolute()), "n_features": width}
            | {"recipe": _recipe(judged.tables[method])}
            for method, width in combiner.widths.items()
        ],
        "per": judged.per,
        "classes": combiner.classes,
        "n_labelled": int((judged.known.labels != "").sum()),
        "chosen": combiner.chosen,
        "macro_f1": judged_as.found.scores[MAIN_SCORE],
        "macro_f1_spread": judged_as.found.stds.get(MAIN_SCORE),
        "macro_f1_of_search": combiner.macro_f1,
        "versions": {name: version(name) for name in ("saec", "scikit-learn", "skops", "numpy")},
    }


def _recipe(table: Table) -> dict | None:
    """How such features of new samples are made, where an extraction of ours has made these."""
    try:
        recipe = recipe_of(made_by(table.file))
    except Fault as fault:
        LOG.warning("the combiner cannot answer for new samples: %s", fault)
        return None
    return recipe | ({"pooling": table.pooling.model_dump(mode="json")} if table.pooling else {})
