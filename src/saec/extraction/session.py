"""Defines what a session file of an extraction may say: its own keys, and those that sources bring."""

import re
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import create_model, field_validator, model_validator

from saec.extraction.data import ExtractionData
from saec.extraction.predictions import Detections
from saec.extraction.reductions import Reduction
from saec.extraction.sources import SOURCES
from saec.extraction.sources.base import FITTED, value_type
from saec.registry import stated_in
from saec.session import Session
from saec.upgrade import upgrade_extraction

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class _Extraction(Session):
    """Holds the keys that do not depend on the source, of which exactly one is named."""

    upgrade: ClassVar = staticmethod(upgrade_extraction)

    data: ExtractionData
    reduction: Reduction | None = Reduction()
    predictions: Detections | None = None
    variant: str | None = None
    out: str | None = None
    overwrite: bool = False

    @property
    def folders(self) -> list[str]:
        """Returns the folders that are read, as the session names them."""
        return [self.data.location] if isinstance(self.data.location, str) else list(self.data.location)

    @property
    def stated(self) -> set[str]:
        """Returns the keys that are stated; where all are spelled out, those that are not as by default."""
        plain = partial(type(self).model_validate, {"run": "", "data": self.data})
        return stated_in(self, plain, SOURCES.names())

    @model_validator(mode="after")
    def _has_one_source(self) -> "_Extraction":
        given = [key for key in SOURCES.names() if getattr(self, key) is not None]
        if len(given) != 1:
            names = ", ".join(f"`{name}`" for name in SOURCES.names())
            raise ValueError(f"features come of one of {names}, got {' and '.join(given) or 'none'}")
        own = {key: name for name in SOURCES.names() for key in SOURCES[name].options}
        holds_anyway = {"precision": "fp32"}  # of sources that compute in nothing else
        stated = {key for key in self.stated if getattr(self, key) not in (None, holds_anyway.get(key))}
        unused = sorted(stated & own.keys() - set(SOURCES[given[0]].options))
        if self.data.fit and given[0] not in FITTED:
            raise ValueError(f"data.fit: `{given[0]}` takes samples as they are: leave it out")
        if unused:
            words = "; ".join(f"`{option}` is an option of a `{own[option]}`" for option in unused)
            raise ValueError(f"{words}, without effect with `{given[0]}`: leave it out")
        return self

    @field_validator("variant")
    @classmethod
    def _is_a_word(cls, variant: str | None) -> str | None:
        if variant is not None and not WORD.fullmatch(variant):
            raise ValueError(f"must be one word of letters, digits and -, got {variant!r}")
        return variant


def _keys_of_sources() -> dict[str, tuple[Any, Any]]:
    """Returns the keys that sources bring, with types and defaults."""
    keys: dict[str, tuple[Any, Any]] = {}
    options: dict[str, tuple[Any, Any]] = {}
    for name in SOURCES.names():
        keys[name] = (value_type(name) | None, None)
        parameters = signature(SOURCES[name].target, eval_str=True).parameters
        options |= {o: (parameters[o].annotation, parameters[o].default) for o in SOURCES[name].options}
    return keys | options


KEYS: dict[str, Any] = _keys_of_sources()
if TYPE_CHECKING:
    ExtractionSession = _Extraction
else:
    ExtractionSession = create_model("ExtractionSession", __base__=_Extraction, __module__=__name__, **KEYS)
