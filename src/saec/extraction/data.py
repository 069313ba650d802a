"""Defines what an extraction session says of its samples: where they lie, and what is not as in the run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import PositiveFloat, PrivateAttr, ValidationError, create_model, model_validator

from saec.config import Config
from saec.data import DATA
from saec.data.kind import DataOptions, Kind, Location, absolute
from saec.faults import Fault
from saec.registry import Strict, sentences

LOCATIONS = sorted({DATA[name].target.session_key for name in DATA.names()})  # keys: images, sounds


class _ExtractionData(Strict):
    """Names what to extract from, pictures, sounds or arrays: a folder, class folders, a table, one file.

    `fit`, `recursive`, `skip_bad`, `several`, `segment_s` and `step_s` where they are not to be as in the
    run: one that was trained on short sounds takes long recordings in segments.
    """

    fit: str | None = None
    recursive: bool | None = None
    skip_bad: bool | None = None
    several: Literal["first"] | None = None
    segment_s: PositiveFloat | None = None
    step_s: PositiveFloat | None = None
    _out: Path | None = PrivateAttr(None)
    fewest: ClassVar[int] = 1  # locations that are named

    @property
    def changes(self) -> dict[str, Any]:
        """Returns the options that differ from those of the run."""
        return self.model_dump(include=set(_ExtractionData.model_fields), exclude_none=True)

    @model_validator(mode="after")
    def _names_one(self) -> "_ExtractionData":
        if not self.fewest <= sum(getattr(self, key) is not None for key in LOCATIONS) <= 1:
            raise ValueError(f"name one of {', '.join(f'`{key}`' for key in LOCATIONS)}")
        return self

    @property
    def key(self) -> str:
        """Returns the key that says where the samples lie; "" where none does."""
        return next((key for key in LOCATIONS if getattr(self, key) is not None), "")

    @property
    def location(self) -> Location:
        return getattr(self, self.key)

    def absolute(self, config: Config, out: Path | None = None) -> Self:
        """Returns the same with absolute paths, and the folder in which to list what cannot be used.

        Raises:
            Fault: a path is of another system.
        """
        made = self.model_copy(update={self.key: absolute(self.location, config)})
        made._out = out
        return made

    def open(self, source: str, options: DataOptions, config: Config) -> Kind:
        """Returns the samples, read with these options, but all of them, each once: features are complete.

        Raises:
            Fault: there are none, the options cannot be, or the source takes another kind of data.
        """
        takes = options.target.session_key
        if self.key != takes:
            raise Fault(f"{source} takes {takes}: say `data: {{{takes}: ...}}`, not `{self.key}`")
        try:
            once = {"several": "first"} if getattr(options, "several", "") == "all" else {}
            data = DATA.parse(options.for_all().model_dump() | once | self.changes)
        except ValidationError as error:
            raise Fault("; ".join(sentences(error))) from error
        kind = data.at(self.location, config)
        kind.lists_in = self._out
        return kind

    def require_files(self, config: Config) -> None:
        """Raises a `Fault` where nothing is listed there, whatever the options."""
        kinds = [name for name in DATA.names() if DATA[name].target.session_key == self.key]
        kind = DATA.parse({"kind": kinds[-1], "train": ""})  # of those of pictures `photos`, which takes all
        _ = kind.at(self.location, config).state


if TYPE_CHECKING:
    ExtractionData = _ExtractionData
else:
    ExtractionData = create_model(
        "ExtractionData", __base__=_ExtractionData, **{key: (Location | None, None) for key in LOCATIONS}
    )
