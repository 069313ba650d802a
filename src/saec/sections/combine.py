"""Makes one more method of several methods of a set: scored beside them by probes, then fitted and kept."""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from saec.evaluation import EVALUATIONS
from saec.evaluation.classifiers import CLASSIFIERS, COSTS, SVM, Costs, Gammas
from saec.evaluation.combiner import Combiner
from saec.faults import Fault, did_you_mean
from saec.files import as_file_name, write_json
from saec.registry import Component, Strict
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.sets import PIXELS, Combination, FeatureSet, recipe_for, require_probes
from saec.session import Count
from saec.tables import Table

LOG = logging.getLogger(__name__)
SEED = 0


class Combine(Strict):
    """Says which methods make one more method, called `name`; the combiner is kept with the report.

    Those of `use` (null: of all files of the set), or one alone, are standardised, brought to at most `pca`
    principal components and the same variance each, and classified together. An SVM, which weighs classes
    evenly here, is searched over `C` and `gamma`; so is that of each single method then.
    """

    name: Annotated[str, Field(min_length=1)] = "combined"
    classifier: Literal[*CLASSIFIERS] = SVM  # type: ignore[valid-type]  # mypy reads no table's keys
    pca: Count = 100
    C: Costs = COSTS
    gamma: Gammas = ("scale", "0.1*scale", "0.01*scale")
    use: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


@SECTIONS.register("combine")
class Combined:
    """Adds the combination to the sets before they are scored, and fits the combiner on all labels then."""

    position = 10

    def __init__(self, inputs: Inputs, *, combine: Combine | None = None):
        self.combined: list[tuple[FeatureSet, Combine, Combination]] = []
        if combine is None:
            return
        if not inputs.has_features:
            inputs.faults.append("combine: features are combined, and there are none: name `features`")
        for one in inputs.sets.values():
            methods = inputs.check("combine", combined_methods, combine, one)
            one.evaluations = inputs.check("combine", _with_probe, combine, one) or []
            if methods:
                one.combination = Combination(combine.name, methods, combine.pca)
                self.combined.append((one, combine, one.combination))

    def describe(self) -> list[str]:
        return [
            f"{one.name}: {of.name}: {', '.join(of.methods)} together, {options.classifier}"
            for one, options, of in self.combined
        ]

    def write(self, folder: Path) -> list[Content]:
        """Writes `combiner_<set>.skops`, and `combiner_<set>.json`, which says what it was made of."""
        content = Content("Combined features", folder)
        for one, options, of in self.combined:
            LOG.info("%s: the combiner of %s is fitted", one.name, ", ".join(of.methods))
            how = options.model_dump(include={"classifier", "pca", "C", "gamma"})
            samples, blocks = one.samples, one.blocks(of.methods)
            combiner = Combiner.fit(blocks, samples.labels, samples.groups, **how, seed=SEED)
            stem = f"combiner_{as_file_name(one.name)}"
            combiner.save(folder / f"{stem}.skops")
            write_json(folder / f"{stem}.json", _about(options, one, combiner))
            content.files |= {
                f"{stem}.skops": f"{options.name}: fitted on all labels, answers by {', '.join(blocks)}",
                f"{stem}.json": "what it was made of: files, classes, what was chosen, macro-F1",
            }
        return [content]


def _about(options: Combine, one: FeatureSet, combiner: Combiner) -> dict:
    """Describes the combiner; `macro_f1` is the report's, of folds in which nothing was chosen."""
    scores = next(
        result.scores
        for result in one.results
        if result.method == options.name and result.evaluation.split()[0] == options.classifier
    )
    return {
        "name": options.name,
        "set": one.name,
        "classifier": options.classifier,
        "pca": options.pca,
        "methods": [
            {"method": method, "file": str(one.tables[method].file.absolute()), "n_features": width}
            | {"recipe": _recipe(one.tables[method])}
            for method, width in combiner.widths.items()
        ],
        "per": one.per,
        "classes": combiner.classes,
        "n_labelled": one.n_labelled,
        "chosen": combiner.chosen,
        "macro_f1": scores.scores["macro_f1"],
        "macro_f1_spread": scores.stds.get("macro_f1"),
        "macro_f1_of_search": combiner.macro_f1,
        "groups_are_given": one.has_groups,
        "versions": {name: version(name) for name in ("saec", "scikit-learn", "skops", "numpy")},
    }


def combined_methods(options: Combine, one: FeatureSet) -> list[str]:
    """Returns those of the set that are combined, in order; raises a `Fault` where there are none such."""
    there = list(one.tables)
    if options.name in (*there, PIXELS):
        raise Fault(f"{options.name!r} is a method of set {one.name} already: choose another `combine.name`")
    methods = list(dict.fromkeys(there if options.use is None else options.use))
    unknown = [f"{method!r} ({did_you_mean(method, there)})" for method in methods if method not in there]
    if unknown:
        raise Fault(f"`combine.use` names what is no method of set {one.name}: {', '.join(unknown)}")
    return methods


def _with_probe(options: Combine, one: FeatureSet) -> list[Component]:
    """Returns the set's evaluations, with a probe of the combination's classifier; an SVM has its grid."""
    require_probes(one)
    evaluations = list(one.evaluations)
    if not any(component.name == options.classifier for component in evaluations):
        evaluations.append(EVALUATIONS.parse(options.classifier))
    if options.classifier != SVM:
        return evaluations
    plain, grid = EVALUATIONS.parse(SVM), {"C": options.C, "gamma": options.gamma}
    for number, component in enumerate(evaluations):
        if component.name == SVM:
            other = [key for key in grid if getattr(component, key) not in (getattr(plain, key), grid[key])]
            if other:
                raise Fault(f"`{other[0]}` of an svm in `evaluations` is that of `combine`: say it there")
            evaluations[number] = component.model_copy(update=grid | {"class_weight": "balanced"})
    return evaluations


def _recipe(table: Table) -> dict | None:
    """Returns how such features of new samples are made, where an extraction of ours has made these."""
    try:
        return recipe_for(table)
    except Fault as fault:
        LOG.warning("the combiner cannot answer for new samples: %s", fault)
        return None
