"""Classifiers of standardised rows: a pipeline is fitted, an SVM with the best of a grid."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from saec.evaluation.folds import Split

N_NEIGHBORS = 5
N_TREES = 100
MAX_ITER = 1000
N_INNER = 3  # folds that the grid is searched in
COSTS = (0.1, 1.0, 10.0, 100.0)
SVM = "svm"
CLASSIFIERS: dict[str, Callable[[], ClassifierMixin]] = {
    "forest": lambda: RandomForestClassifier(N_TREES, random_state=0),
    "knn": lambda: KNeighborsClassifier(N_NEIGHBORS, weights="distance"),
    "linear": lambda: LogisticRegression(max_iter=MAX_ITER),
    SVM: SVC,
}
Costs = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
Gammas = Annotated[tuple[Literal["scale", "auto"] | PositiveFloat, ...], Field(min_length=1)]
ClassWeight = Literal["balanced"] | None


@dataclass(frozen=True)
class Fitted:
    """A pipeline that answers for rows; what it was given by the search, and its macro-F1 there."""

    model: Pipeline
    chosen: dict[str, Any] = field(default_factory=dict)
    macro_f1: float | None = None


@dataclass(frozen=True)
class ClassifierOptions:
    """A classifier of standardised rows, and of at most `pca` principal components of them.

    `blocks` are widths of parts that stand side by side in a row, each scaled and reduced by itself. `C`,
    `gamma` and `class_weight` are an SVM's.
    """

    classifier: str
    pca: int | None = None
    blocks: tuple[int, ...] | None = None
    C: Costs = COSTS
    gamma: Gammas = ("scale",)
    class_weight: ClassWeight = None
    seed: int = 0

    def fit(self, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Fitted:
        """Of rows (n, features); of a grid what has the best macro-F1 in folds that keep groups whole.

        Where some class has too few groups for such folds, an SVM has the middle C and the first gamma.
        """
        folds = self.inner_folds(labels, groups)
        fewest = min([len(rows) // 2, *(len(learnt) for learnt, _ in folds)])
        chosen = {"C": self.C[len(self.C) // 2], "gamma": self.gamma[0]} if self.classifier == SVM else {}
        macro_f1 = None
        if folds:
            chosen, macro_f1 = self._best(rows, labels, folds, fewest)
        model = make_pipeline(self._scaling(rows.shape[1], fewest), self._model(len(rows), chosen))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change no answer
            return Fitted(model.fit(rows, labels), chosen, macro_f1)

    def inner_folds(self, labels: np.ndarray, groups: np.ndarray) -> list[Split]:
        """Those that the grid is searched in; none without a grid, or where a class has too few groups."""
        if self.classifier != SVM or len(self.C) * len(self.gamma) == 1:
            return []
        if min(len(np.unique(groups[labels == label])) for label in np.unique(labels)) < N_INNER:
            return []
        folds = StratifiedGroupKFold(N_INNER, shuffle=True, random_state=self.seed)
        splits = folds.split(labels, labels, groups)
        return [(learnt, asked) for learnt, asked in splits if len(asked) and len(set(labels[learnt])) > 1]

    def _best(
        self, rows: np.ndarray, labels: np.ndarray, folds: list[Split], fewest: int
    ) -> tuple[dict[str, Any], float]:
        """As `GridSearchCV` finds it; but a fold's rows are scaled and reduced once, not for each choice."""
        grid = [{"C": cost, "gamma": gamma} for cost, gamma in product(self.C, self.gamma)]
        scores = np.zeros((len(folds), len(grid)))
        for fold, (learnt, asked) in enumerate(folds):
            scaling = self._scaling(rows.shape[1], fewest)
            known, other = scaling.fit_transform(rows[learnt]), scaling.transform(rows[asked])
            for place, chosen in enumerate(grid):
                said = self._model(len(learnt), chosen).fit(known, labels[learnt]).predict(other)
                scores[fold, place] = f1_score(labels[asked], said, average="macro")
        means = scores.mean(axis=0)
        return grid[means.argmax()], float(means.max())

    def _model(self, n_rows: int, chosen: dict[str, Any]) -> ClassifierMixin:
        model = CLASSIFIERS[self.classifier]()
        if isinstance(model, KNeighborsClassifier):
            return model.set_params(n_neighbors=min(N_NEIGHBORS, n_rows))
        if isinstance(model, RandomForestClassifier):
            return model.set_params(random_state=self.seed)
        return model.set_params(class_weight=self.class_weight, **chosen) if chosen else model

    def _scaling(self, width: int, fewest: int) -> TransformerMixin:
        """`fewest` are the rows that components are found in, at the least."""
        if self.blocks is None:
            return make_pipeline(*self._steps(width, fewest))
        ends = list(accumulate(self.blocks))
        parts = [
            (f"block_{place}", make_pipeline(*self._steps(width, fewest)), slice(end - width, end))
            for place, (width, end) in enumerate(zip(self.blocks, ends, strict=True))
        ]
        return ColumnTransformer(parts)

    def _steps(self, width: int, fewest: int) -> list[BaseEstimator]:
        fewer = [PCA(min(self.pca, fewest, width), random_state=self.seed)] if self.pca else []
        return [StandardScaler(), *fewer]
