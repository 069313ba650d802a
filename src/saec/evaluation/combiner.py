"""Defines combiners, which classify samples by features of several methods; their files need no pickle."""

import json
import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from saec.evaluation.classifiers import CLASSIFIERS, SVM, Costs, Gammas, fit_classifier
from saec.faults import Fault, MissingFault, listing
from saec.files import DAMAGE, GB, appearing

LOG = logging.getLogger(__name__)
KIND = "saec combiner 1"  # what a file says it is
REFITTED = (KNeighborsClassifier, RandomForestClassifier)  # forged trees could read outside of memory
BROKEN: tuple[type[Exception], ...] = (*DAMAGE, ImportError)  # of skops
MOST_GB = 4  # unpacked
ESTIMATORS = """
    pipeline.Pipeline compose._column_transformer.ColumnTransformer preprocessing._data.StandardScaler
    decomposition._pca.PCA svm._classes.SVC linear_model._logistic.LogisticRegression
    neighbors._classification.KNeighborsClassifier ensemble._forest.RandomForestClassifier
    tree._classes.DecisionTreeClassifier
""".split()
PARTS = {  # what a file may hold, by the names that skops has for its readers; None is what skops trusts
    "ObjectNode": {f"sklearn.{name}" for name in ESTIMATORS},
    **{f"{kind.title()}Node": {f"builtins.{kind}"} for kind in ("dict", "list", "tuple", "slice")},
    "JsonNode": {"builtins.str"},
    "TypeNode": {"builtins.str"},
    "NdArrayNode": None,
    "CachedNode": None,  # a part that stands elsewhere in the file, too
}
DANGEROUS = ("memory", "n_jobs")  # options that read or write files, or start processes
Blocks = dict[str, np.ndarray]  # rows (n, features) by method


@dataclass(frozen=True, eq=False)
class Combiner:
    """Classifies samples by the features that several methods have computed of them.

    `widths` are numbers of features by method, in order; `chosen` are the options that the grid search chose
    for an SVM, `macro_f1` their mean in its folds: the best of many, so better than for new samples.
    """

    widths: dict[str, int]
    model: Pipeline
    chosen: dict[str, float | str] = field(default_factory=dict)
    macro_f1: float | None = None
    training: tuple[np.ndarray, np.ndarray] | None = None  # scaled rows and labels, of `REFITTED`

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
        """Fits a combiner on all rows that have a label ("" is none); an SVM weighs classes evenly."""
        widths = {method: rows.shape[1] for method, rows in blocks.items() if rows.ndim == 2}
        rows = _side_by_side(blocks, widths)
        if not len(rows) == len(labels) == len(groups):
            counts = f"{len(labels)} and {len(groups)}"
            raise Fault(f"{len(rows)} rows of features need as many labels and groups, got {counts}")
        kept = labels != ""
        rows, labels, groups = rows[kept], labels[kept], groups[kept]
        if len(np.unique(labels)) < 2:
            got = ", ".join(map(str, np.unique(labels))) or "none"
            raise Fault(f"a combiner tells classes apart: labels must be of two at least, got {got}")
        fitted = fit_classifier(
            rows,
            labels,
            groups,
            classifier=classifier,
            pca=pca,
            blocks=tuple(widths.values()),
            C=C,
            gamma=gamma,
            class_weight="balanced" if classifier == SVM else None,
            seed=seed,
        )
        training = None
        if isinstance(fitted.model[-1], REFITTED):
            training = fitted.model[:-1].transform(rows), labels
            fitted.model[-1].fit(*training)  # as it will be when the file is read
        return cls(widths, fitted.model, fitted.chosen, fitted.macro_f1, training)

    @property
    def classes(self) -> list[str]:
        return self.model.classes_.tolist()

    @property
    def has_probabilities(self) -> bool:
        """Says whether scores are probabilities, and not decision values."""
        return hasattr(self.model, "predict_proba")

    def predict(self, blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
        """Returns classes (n,), and scores (n, classes) float32, of which the largest is the class's.

        Scores are probabilities where the classifier has them; an SVM's are decision values. Methods, and
        numbers of their features, must be those that it was fitted on.
        """
        rows = _side_by_side(blocks, self.widths)
        scores = (self.model.predict_proba if self.has_probabilities else self.model.decision_function)(rows)
        scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
        scores = scores.astype(np.float32)
        return self.model.classes_[scores.argmax(axis=1)], scores

    def save(self, file: Path) -> None:
        """Writes a zip of JSON and arrays, which holds no code."""
        from skops.io import dump

        model = self.model if self.training is None else make_pipeline(self.model[:-1], clone(self.model[-1]))
        content = {
            "kind": KIND,
            "scikit-learn": sklearn.__version__,
            "methods": list(self.widths),
            "widths": list(self.widths.values()),
            "chosen": self.chosen,
            "macro_f1": self.macro_f1,
            "model": model,
            "learnt": self.training and list(self.training),
        }
        with appearing(Path(file)) as temporary:
            dump(content, temporary, compression=ZIP_DEFLATED)

    @classmethod
    def load(cls, file: Path) -> "Combiner":
        """Reads what `save` has written; no object of a type that a combiner does not need is made."""
        from skops.io import get_untrusted_types, load

        file = Path(file)
        if not file.is_file():
            raise MissingFault(f"no such file of a combiner: {file}")
        try:
            _refuse(file, _foreign_types(file) or get_untrusted_types(file=file))
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", InconsistentVersionWarning)  # logged below, once
                content = load(file)
                _refuse(file, _foreign_options(content))
                return _restored(content, file)
        except BROKEN as error:
            raise Fault(f"{file} is damaged, or no combiner ({error!r}): fit it again") from error


def _refuse(file: Path, foreign: list[str]) -> None:
    if foreign:
        raise Fault(
            f"{file} is refused: it holds what no combiner has, and could do anything:\n{listing(foreign)}\n"
            "fit the combiner again"
        )


def _foreign_types(file: Path) -> list[str]:
    """Returns types in the file's description that no combiner has; nothing is made for it."""
    with ZipFile(file) as archive:
        if sum(part.file_size for part in archive.infolist()) > MOST_GB * GB:
            raise ValueError(f"it unpacks to more than {MOST_GB} GB")
        todo, foreign = [json.loads(archive.read("schema.json"))], set()
    while todo:
        part = todo.pop()
        if isinstance(part, dict) and "__loader__" in part:
            name = f"{part['__module__']}.{part['__class__']}"
            allowed = PARTS.get(part["__loader__"], set())
            foreign |= {name} if allowed is not None and name not in allowed else set()
        todo += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return sorted(foreign)


def _foreign_options(content: Any) -> list[str]:
    """Returns options, of whatever estimator in what was read, that no combiner has."""
    todo, seen, foreign = [content], set(), set()
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, BaseEstimator):
            given = [key for key in DANGEROUS if getattr(part, key, None) is not None]
            foreign |= {f"{type(part).__name__}: {key}" for key in given}
            part = vars(part)
        if isinstance(part, np.ndarray) and part.dtype.hasobject:
            part = part.ravel().tolist()
        todo += part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ()
    return sorted(foreign)


def _classifier(stored: BaseEstimator, training: tuple[np.ndarray, np.ndarray] | None) -> BaseEstimator:
    """Returns the classifier of a file: one of ours, whose numbers agree, or one that learns anew.

    Raises:
        ValueError: it is none of ours, or could read outside of its arrays.
    """
    all_ours = [make() for make in CLASSIFIERS.values()]
    ours = next((one for one in all_ours if type(one) is type(stored)), None)
    if ours is None or isinstance(ours, REFITTED) != (training is not None):
        raise ValueError(f"it has {type(stored).__name__} for a classifier")
    if training is not None:
        free = {key for key in ("n_neighbors", "random_state") if hasattr(ours, key)}
        return ours.set_params(**{key: int(getattr(stored, key)) for key in free}).fit(*training)
    if isinstance(stored, SVC):
        n, n_classes = len(stored.support_vectors_), len(stored.classes_)
        shapes = {
            "support_": (n,),
            "_n_support": (n_classes,),
            "_dual_coef_": (n_classes - 1, n),
            "_intercept_": (n_classes * (n_classes - 1) // 2,),
        }
        whole = all(getattr(stored, key).shape == shape for key, shape in shapes.items())
        plain = stored.kernel == "rbf" and not stored._sparse and not hasattr(stored, "predict_proba")
        if not whole or not plain or stored._n_support.min() < 0:
            raise ValueError("the numbers of its SVM do not fit each other")
    return stored


def _restored(content: Any, file: Path) -> Combiner:
    """Makes a combiner of what the file holds; one of `BROKEN` is raised where that is inconsistent."""
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"it does not say {KIND!r}")
    widths = dict(zip(content["methods"], content["widths"], strict=True))
    model, training = content["model"], content["learnt"]
    if type(model) is not Pipeline or model.n_features_in_ != sum(widths.values()):
        raise ValueError("its methods are not those of its classifier")
    model.steps[-1] = (model.steps[-1][0], _classifier(model[-1], training))
    version = content["scikit-learn"]
    if version != sklearn.__version__:
        words = "%s was fitted with scikit-learn %s, this is %s: fit it again where predictions differ"
        LOG.warning(words, file, version, sklearn.__version__)
    training = None if training is None else tuple(training)
    combiner = Combiner(widths, model, content["chosen"], content["macro_f1"], training)
    trial = {method: np.zeros((1, width), np.float32) for method, width in widths.items()}
    scores = combiner.predict(trial)[1]
    if scores.shape != (1, len(combiner.classes)) or not np.isfinite(scores).all():
        raise ValueError("it does not give one score a class")
    return combiner


def _side_by_side(blocks: Blocks, widths: dict[str, int]) -> np.ndarray:
    """Returns (n, all features) float32, methods in the order of `widths`."""
    fits = [rows.ndim == 2 and rows.shape[1] == widths.get(method) for method, rows in blocks.items()]
    if not blocks or blocks.keys() != widths.keys() or not all(fits):
        expected = listing([f"{method}: {width} features" for method, width in widths.items()])
        got = listing([f"{method}: an array of shape {rows.shape}" for method, rows in blocks.items()])
        raise Fault(f"expected are samples by features of these methods:\n{expected}\ngot\n{got or '  none'}")
    if len({len(rows) for rows in blocks.values()}) > 1:
        counts = listing([f"{method}: {len(rows)}" for method, rows in blocks.items()])
        raise Fault(f"methods must have features of the same samples, their numbers differ:\n{counts}")
    rows = np.hstack([np.asarray(blocks[method], dtype=np.float32) for method in widths])
    if not np.isfinite(rows).all():
        others = ", ".join(method for method, block in blocks.items() if not np.isfinite(block).all())
        raise Fault(f"features must be finite numbers, there are others (NaN, infinite) of {others}")
    return rows
