"""What an extraction session may say."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from saec.data.fit import Fit
from saec.devices import Precision
from saec.features import POOLINGS
from saec.registry import Strict
from saec.session.base import Count, Session
from saec.session.training import Weights

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class PictureFolder(Strict):
    """Pictures to extract from; `fit` and `skip_bad` where they are not to be as in the run."""

    images: str
    fit: Fit | None = None
    skip_bad: bool | None = None


class Reduction(Strict):
    dims: Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 4, 8, 16)
    n_neighbors: int = Field(10, ge=2)
    seed: int = Field(0, ge=0)


class ExtractionSession(Session):
    run: str
    data: PictureFolder
    weights: Weights = "best"
    pooling: POOLINGS.field = "mean_std"
    reduction: Reduction | None = Reduction()
    variant: str | None = None
    out: str | None = None
    overwrite: bool = False
    latents: Literal["float32", "float16"] = "float32"
    precision: Precision = "auto"
    backend: Literal["torch", "onnx"] = "torch"
    reconstructions: int = Field(64, ge=0)

    @field_validator("variant")
    @classmethod
    def _is_a_word(cls, variant: str | None) -> str | None:
        if variant is not None and not WORD.fullmatch(variant):
            raise ValueError(f"must be one word of letters, digits and -, got {variant!r}")
        return variant
