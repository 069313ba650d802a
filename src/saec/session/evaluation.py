"""What an evaluation session may say: one set of samples at the top, or several under `sets`."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from saec.evaluation import EVALUATIONS
from saec.evaluation.classifiers import CLASSIFIERS, COSTS, SVM, Costs, Gammas
from saec.features import POOLINGS
from saec.registry import Strict
from saec.session.base import Count, Session
from saec.session.training import Weights


def as_file(raw: Any) -> Any:
    """A text alone is the file of what it stands for."""
    return {"file": raw} if isinstance(raw, str) else raw


def _as_labels(raw: Any) -> Any:
    return {} if raw is None else as_file(raw)


class Labels(Strict):
    """Where labels come from: a table, the folders that pictures lie in, or a pattern on file names.

    `pattern` is a regular expression with groups named `label` and perhaps `group`, `split`. `least` leaves
    out classes that fewer groups (recordings) have.
    """

    file: str | None = None
    columns: dict[Literal["file", "label", "group", "split"], str] = {}
    folders: str | None = None
    pattern: str | None = None
    least: Count | None = None

    @field_validator("pattern")
    @classmethod
    def _is_one(cls, pattern: str | None) -> str | None:
        try:
            groups = set(re.compile(pattern).groupindex) if pattern is not None else {"label"}
        except re.error as error:
            raise ValueError(f"is no regular expression ({error}), got {pattern!r}") from error
        if "label" not in groups or groups - {"label", "group", "split"}:
            raise ValueError(f"names groups `(?P<label>...)` and perhaps group and split, got {pattern!r}")
        return pattern

    @model_validator(mode="after")
    def _one_source(self) -> "Labels":
        said = [name for name in ("file", "folders", "pattern") if getattr(self, name) is not None]
        if len(said) > 1:
            raise ValueError(f"labels come from one place, got {' and '.join(said)}")
        return self


AskedLabels = Annotated[Labels, BeforeValidator(_as_labels)]  # null: nothing is said


class Predictions(Strict):
    """A table of predictions is judged by labels, and by a truth along time on a grid of `grid_s` seconds.

    `labels` (a table, or a pattern on file names) stand in place of the column `label`; `truth` is a table of
    start, end, label and, for several recordings, file.
    """

    file: str
    labels: AskedLabels = Labels()
    truth: str | None = None
    grid_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1

    @field_validator("labels")
    @classmethod
    def _by_name(cls, labels: Labels) -> Labels:
        if labels.folders is not None or labels.least is not None:
            raise ValueError("come from a table (`file`, `columns`) or from a `pattern` on names of files")
        return labels


class FeatureFile(Strict):
    """A file of features, or a pattern of several: NPZ (X or X_red, and N), CSV or Parquet.

    `name` is what the method is called; `columns` is a pattern of the columns that are features, `names` and
    `label` are columns of a table; `pooling` makes one row a sample of latents.
    """

    file: str
    name: str | None = None
    key: str | None = None
    columns: str = "Feature_*"
    names: str = "file"
    label: str = "Label"
    pooling: POOLINGS.field | None = None


def _as_files(raw: Any) -> Any:
    """A file, a list of files, or files by the names of methods."""
    if isinstance(raw, dict) and "file" not in raw:
        return [
            one if isinstance(one, FeatureFile) else {"name": str(name)} | as_file(one)
            for name, one in raw.items()
        ]
    listed = raw if isinstance(raw, list | tuple) else [raw]
    return [as_file(one) for one in listed]


def _as_list(raw: Any) -> Any:
    return [raw] if isinstance(raw, str | dict) else raw


Places = Annotated[tuple[str, ...] | None, BeforeValidator(_as_list)]  # of sound: folders, or one table
Per = Literal["sample", "recording"]
Files = Annotated[tuple[FeatureFile, ...], BeforeValidator(_as_files), Field(min_length=1)]


class EvaluatedSet(Strict):
    """Features of the same samples, and what is known of these.

    `sounds`: where the recordings lie that they are of, which says labels, too. `per`: a row is a sample, or
    the mean over the samples of a recording.
    """

    images: str | None = None
    sounds: Places = None
    features: Files
    per: Per = "sample"
    labels: AskedLabels = Labels()


class Rebuilding(Strict):
    """A run is judged by what it makes of so many pictures of a folder."""

    run: str
    images: str
    weights: Weights = "best"
    limit: Count = 500


class Search(Strict):
    """The `n` pictures nearest to a picture (of the features, or any other), or to each one of a folder."""

    to: str
    n: Count = 10


class Combine(Strict):
    """Features of several methods make one more method, called `name`; the combiner is kept with the report.

    Those of `use` (null: of all files of the set) are standardised, brought to at most `pca` principal
    components each, and classified together. An SVM, which weighs classes evenly here, is searched over `C`
    and `gamma`; so is that of each single method then.
    """

    name: Annotated[str, Field(min_length=1)] = "combined"
    classifier: Literal[*CLASSIFIERS] = SVM
    pca: Count = 100
    C: Costs = COSTS
    gamma: Gammas = ("scale", 1e-3, 1e-4)
    use: Annotated[tuple[str, ...], Field(min_length=2)] | None = None


class ExplorerOptions(Strict):
    """`limit` pictures at most on the page; small pictures of so many MB are put into it."""

    limit: Count = 20_000
    thumbnails_mb: Annotated[float, Field(ge=0)] = 6.0
    color: str | None = None


class EvaluationSession(Session):
    images: str | None = None
    features: Files | None = None
    labels: AskedLabels = Labels()
    sets: dict[str, EvaluatedSet] = {}
    evaluations: Annotated[tuple[EVALUATIONS.field, ...] | None, BeforeValidator(_as_list)] = None
    pixels: bool = True
    inspect: bool = True
    runs: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    rebuilt: Rebuilding | None = None
    similar: Search | None = None
    combine: Combine | None = None
    predictions: Annotated[Predictions | None, BeforeValidator(as_file)] = None
    sounds: Places = None
    per: Per = "sample"
    explorer: ExplorerOptions | None = ExplorerOptions()
    table: Literal["csv", "parquet"] | None = "csv"
    out: str = "reports"

    @model_validator(mode="after")
    def _has_work(self) -> "EvaluationSession":
        own = ("features", "images", "labels", "per")
        beside = [key for key in own if getattr(self, key) != type(self).model_fields[key].default]
        if self.sets and beside:
            raise ValueError(
                f"several `sets` have {' and '.join(own)} of their own, got {beside[0]} beside them"
            )
        alone = (self.images, self.runs, self.rebuilt, self.predictions, self.sounds)
        if not (self.sets or self.features or any(alone)):
            raise ValueError(
                "name `features`, `images`, `sets`, `runs`, `rebuilt`, `predictions` or `sounds`: there is "
                "nothing to do"
            )
        return self

    @property
    def judged(self) -> dict[str, EvaluatedSet]:
        """The sets by name; a single one has the session's."""
        if self.sets or self.features is None:
            return self.sets
        own = {key: getattr(self, key) for key in EvaluatedSet.model_fields}
        return {self.name: EvaluatedSet(**own)}

    @property
    def folders(self) -> list[str]:
        """Of pictures, as the session says them."""
        rebuilt = self.rebuilt and self.rebuilt.images
        return [
            place for place in (self.images, rebuilt, *(one.images for one in self.sets.values())) if place
        ]
