"""What an evaluation may be told of the truth: labels of samples, and predictions that are judged by it."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from saec.registry import Strict
from saec.session.base import Count


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
