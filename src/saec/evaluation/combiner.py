"""Features of several methods answer together: fitted once, kept without pickle, asked again."""

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from saec.evaluation.base import has_label
from saec.evaluation.classifiers import SVM, ClassifierOptions, Costs, Gammas
from saec.faults import Fault, MissingFault, listing
from saec.features import DAMAGE
from saec.files import appearing

LOG = logging.getLogger(__name__)
KIND = "saec combiner 1"  # what a file of ours says it is
REFITTED = (KNeighborsClassifier, RandomForestClassifier)  # their trees, if made up, read outside of memory
BROKEN = (*DAMAGE, KeyError, IndexError, TypeError, AttributeError, ImportError, RecursionError)  # of skops
Blocks = dict[str, np.ndarray]  # rows (n, features) by method


@dataclass(frozen=True, eq=False)
class Combiner:
    """A classifier of samples by the features that several methods have found of them.

    `widths` are numbers of features by method, in order; `chosen` is what the search has found best for an
    SVM, `macro_f1` its mean in the folds of the search: best of many, so better than for new samples.
    """

    widths: dict[str, int]
    model: Pipeline
    chosen: dict[str, float | str] = field(default_factory=dict)
    macro_f1: float | None = None
    learnt: tuple[np.ndarray, np.ndarray] | None = None  # scaled rows and labels, where the file needs them

    @classmethod
    def fit(
        cls,
        blocks: Blocks,
        labels: np.ndarray,
        groups: np.ndarray,
        *,
        classifier: str,
        pca: int,
        C: Costs,
        gamma: Gammas,
        seed: int,
    ) -> "Combiner":
        """Learns from all rows that have a label ("" is none); an SVM weighs classes evenly.

        Raises:
            Fault: rows of methods and labels are not equally many, or labels are of less than two classes.
        """
        widths = {method: rows.shape[1] for method, rows in blocks.items() if rows.ndim == 2}
        rows = _side_by_side(blocks, widths)
        if not len(rows) == len(labels) == len(groups):
            counts = f"{len(labels)} and {len(groups)}"
            raise Fault(f"{len(rows)} rows of features need as many labels and groups, got {counts}")
        told = has_label(labels)
        if len(np.unique(labels[told])) < 2:
            got = ", ".join(map(str, np.unique(labels[told]))) or "none"
            raise Fault(f"a combiner tells classes apart: labels must be of two at least, got {got}")
        weight = "balanced" if classifier == SVM else None
        recipe = ClassifierOptions(classifier, pca, tuple(widths.values()), C, gamma, weight, seed)
        fitted = recipe.fit(rows[told], labels[told], groups[told])
        learnt = None
        if isinstance(fitted.model[-1], REFITTED):
            learnt = fitted.model[:-1].transform(rows[told]), labels[told]
            fitted.model[-1].fit(*learnt)  # as it will be when the file is read
        return cls(widths, fitted.model, fitted.chosen, fitted.macro_f1, learnt)

    @property
    def classes(self) -> list[str]:
        return self.model.classes_.tolist()

    @property
    def has_probabilities(self) -> bool:
        """Whether scores are probabilities, and no decision values."""
        return hasattr(self.model, "predict_proba")

    def predict(self, blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,), and scores (n, classes) float32, of which the largest is the label's.

        Scores are probabilities where the classifier has them; an SVM's are decision values.

        Raises:
            Fault: methods, or numbers of their features, are not those that it was fitted on.
        """
        rows = _side_by_side(blocks, self.widths)
        if self.has_probabilities:
            scores = self.model.predict_proba(rows)
        else:
            scores = self.model.decision_function(rows)
        scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
        scores = scores.astype(np.float32)
        return self.model.classes_[scores.argmax(axis=1)], scores

    def save(self, file: Path) -> None:
        """A zip of JSON and arrays, which holds no code."""
        from skops.io import dump

        model = self.model if self.learnt is None else make_pipeline(self.model[:-1], clone(self.model[-1]))
        content = {
            "kind": KIND,
            "scikit-learn": sklearn.__version__,
            "methods": list(self.widths),
            "widths": list(self.widths.values()),
            "chosen": self.chosen,
            "macro_f1": self.macro_f1,
            "model": model,
            "learnt": self.learnt and list(self.learnt),
        }
        with appearing(Path(file)) as temporary:
            dump(content, temporary, compression=ZIP_DEFLATED)

    @classmethod
    def load(cls, file: Path) -> "Combiner":
        """What `save` has written; types that a combiner has no need of are not even made.

        Raises:
            MissingFault: there is no such file.
            Fault: it is damaged, no combiner, or holds types that are not trusted.
        """
        from skops.io import get_untrusted_types, load

        file = Path(file)
        if not file.is_file():
            raise MissingFault(f"no such file of a combiner: {file}")
        try:
            untrusted = get_untrusted_types(file=file)
            if untrusted:
                raise Fault(
                    f"{file} is refused: it holds types that no combiner has, and could do anything:\n"
                    f"{listing(untrusted)}\nfit the combiner again"
                )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InconsistentVersionWarning)  # said below, once
                return _restored(load(file), file)
        except BROKEN as error:
            raise Fault(f"{file} is damaged, or no combiner ({error!r}): fit it again") from error


def _restored(content: Any, file: Path) -> Combiner:
    """From what the file holds; `BROKEN` is raised where that does not hold together."""
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"it does not say {KIND!r}")
    widths = dict(zip(content["methods"], content["widths"], strict=True))
    model, learnt = content["model"], content["learnt"]
    if learnt is not None:
        learnt = tuple(learnt)
        model[-1].fit(*learnt)
    if not isinstance(model, Pipeline) or model.n_features_in_ != sum(widths.values()):
        raise ValueError("its methods are not those of its classifier")
    if content["scikit-learn"] != sklearn.__version__:
        LOG.warning(
            "%s was fitted with scikit-learn %s, this is %s: fit it again where answers differ",
            file,
            content["scikit-learn"],
            sklearn.__version__,
        )
    return Combiner(widths, model, content["chosen"], content["macro_f1"], learnt)


def _side_by_side(blocks: Blocks, widths: dict[str, int]) -> np.ndarray:
    """(n, all features) float32, in the order of `widths`."""
    fits = {method: rows.ndim == 2 and rows.shape[1] == widths.get(method) for method, rows in blocks.items()}
    if not blocks or blocks.keys() != widths.keys() or not all(fits.values()):
        expected = listing([f"{method}: {width} features" for method, width in widths.items()])
        got = listing([f"{method}: an array of shape {rows.shape}" for method, rows in blocks.items()])
        raise Fault(f"expected are samples by features of these methods:\n{expected}\ngot\n{got or '  none'}")
    counts = {method: len(rows) for method, rows in blocks.items()}
    if len(set(counts.values())) > 1:
        lines = [f"{method}: {n}" for method, n in counts.items()]
        raise Fault(
            f"methods must have features of the same samples, their numbers differ:\n{listing(lines)}"
        )
    rows = np.hstack([np.asarray(blocks[method], dtype=np.float32) for method in widths])
    if not np.isfinite(rows).all():
        odd = [method for method, block in blocks.items() if not np.isfinite(block).all()]
        raise Fault(f"features must be finite numbers, there are others (NaN, infinite) of {', '.join(odd)}")
    return rows
