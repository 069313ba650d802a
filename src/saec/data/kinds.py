"""What a data kind is: where its samples lie, what is known before they are decoded, how they are opened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import PlainValidator

from saec.config import Config
from saec.data.batch import Dataset, FrontEnd
from saec.files import GB
from saec.registry import Component, Registry

Place = str | tuple[str, ...]  # one folder or file, or several folders


def _place(raw: Any) -> Place:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, list | tuple) and raw and all(isinstance(one, str) for one in raw):
        return tuple(raw)
    raise ValueError(f"must be a folder, or a list of folders, got {raw!r}")


def _place_or_share(raw: Any) -> Place | float:
    if isinstance(raw, float):
        if 0 < raw < 1:
            return raw
        raise ValueError(f"must be a folder, or a share between 0 and 1, got {raw!r}")
    try:
        return _place(raw)
    except ValueError as error:
        raise ValueError(f"must be a folder, or a share between 0 and 1, got {raw!r}") from error


class Places(Component):
    """What every data section of a training session says beside the options of its kind."""

    train: Annotated[Place, PlainValidator(_place)]
    valid: Annotated[Place | float, PlainValidator(_place_or_share)] = 0.1


DATA = Registry("data kind", key="kind", base=Places)


def paths_of(place: Place) -> Path | tuple[Path, ...]:
    return tuple(map(Path, place)) if isinstance(place, tuple) else Path(place)


def absolute(place: Place, config: Config) -> Place:
    """Raises a `Fault` where a path is of another system."""
    if isinstance(place, tuple):
        return tuple(str(config.data_path(one)) for one in place)
    return str(config.data_path(place))


@dataclass(frozen=True)
class Survey:
    """What is known of the samples before any of them is decoded."""

    n_samples: int
    n_bytes: int  # decoded
    front: FrontEnd
    no_room: str = ""  # why they are not kept decoded
    what: str = "pictures"
    decided: dict[str, Any] = field(default_factory=dict)  # options, by a training set for all others

    @property
    def room(self) -> str:
        """What they take, in words."""
        if self.no_room:
            return f"{self.n_bytes / GB:.2f} GB, decoded whenever they are used: {self.no_room}"
        return f"{self.n_bytes / GB:.2f} GB of cache"


class Kind(Protocol):
    """A data kind with its options, on one place; each file of it is (name, bytes, time of change, ...)."""

    folder: Path
    files: Sequence[tuple]
    undecided: dict[str, tuple[str, ...]]  # words for options that the training set has to decide

    @property
    def labels(self) -> np.ndarray:
        """Of the files, "" where unknown; nothing is decoded for them."""

    def survey(self) -> Survey:
        """Counts and sizes, from listing and headers alone."""

    def open(self, early: bool = False) -> Dataset:
        """The samples, decoded now or on an earlier day; `early`: perhaps before all of them are decoded.

        Such a dataset waits where a sample is not there yet. It has to be settled before what it gave is
        relied on, and closed.
        """
