"""What an extraction session may say."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, field_validator, model_validator

from saec.devices import Precision
from saec.features import POOLINGS
from saec.registry import Strict
from saec.session.base import Count, Session
from saec.session.training import Weights
from saec.sound.handcrafted import EXTRACTORS

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class Samples(Strict):
    """What to extract from: a folder of pictures, or sound (a folder, class folders, a table, a recording).

    `fit`, `skip_bad`, `segment_s` and `step_s` where they are not to be as in the run: one that knows short
    sounds hears long recordings in segments.
    """

    images: str | None = None
    sounds: str | tuple[str, ...] | None = None
    fit: str | None = None
    skip_bad: bool | None = None
    segment_s: PositiveFloat | None = None
    step_s: PositiveFloat | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """What is not to be as in the run."""
        said = self.model_dump(include={"fit", "skip_bad", "segment_s", "step_s"})
        return {key: value for key, value in said.items() if value is not None}

    @model_validator(mode="after")
    def _one_of_both(self) -> "Samples":
        if (self.images is None) == (self.sounds is None):
            raise ValueError("name `images`, a folder of pictures, or `sounds`, and not both")
        return self

    @property
    def key(self) -> str:
        return "images" if self.images is not None else "sounds"

    @property
    def place(self) -> str | tuple[str, ...]:
        return self.sounds if self.images is None else self.images


class Reduction(Strict):
    dims: Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 4, 8, 16)
    n_neighbors: int = Field(10, ge=2)
    seed: int = Field(0, ge=0)


class ExtractionSession(Session):
    run: str | None = None
    extractor: EXTRACTORS.field | None = None
    combiner: str | None = None
    data: Samples
    weights: Weights = "best"
    tap: str | None = None
    layers_dropped: NonNegativeInt | None = None
    pooling: POOLINGS.field = "mean_std"
    reduction: Reduction | None = Reduction()
    variant: str | None = None
    out: str | None = None
    overwrite: bool = False
    latents: Literal["float32", "float16"] = "float32"
    precision: Precision = "auto"
    backend: Literal["torch", "onnx"] = "torch"
    reconstructions: int = Field(64, ge=0)

    @property
    def folders(self) -> list[str]:
        return [self.data.images] if self.data.images else []

    @model_validator(mode="after")
    def _one_source(self) -> "ExtractionSession":
        said = [key for key in ("run", "extractor", "combiner") if getattr(self, key) is not None]
        if len(said) != 1:
            got = " and ".join(said) or "none"
            raise ValueError(f"features come of a `run`, an `extractor` or a `combiner`, got {got}")
        if self.tap is not None and self.layers_dropped is not None:
            raise ValueError("`tap` and `layers_dropped` both say where features are taken: keep one")
        if said != ["run"] and (self.tap, self.layers_dropped) != (None, None):
            raise ValueError("`tap` and `layers_dropped` are of a `run`'s model")
        return self

    @field_validator("variant")
    @classmethod
    def _is_a_word(cls, variant: str | None) -> str | None:
        if variant is not None and not WORD.fullmatch(variant):
            raise ValueError(f"must be one word of letters, digits and -, got {variant!r}")
        return variant
