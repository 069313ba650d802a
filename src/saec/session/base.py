"""What all sessions are: settings read from one file, checked whole."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr

from saec.faults import Fault
from saec.files import as_file_name
from saec.registry import Strict

Count = Annotated[int, Field(gt=0, strict=True)]


class SessionError(Fault, ValueError):
    """A session that cannot be run, with every fault it has."""

    def __init__(self, source: str, faults: Sequence[str]):
        self.faults = list(faults)
        count = f"{len(self.faults)} faults" if len(self.faults) > 1 else "a fault"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {fault}" for fault in self.faults)]))


class Session(Strict):
    """Settings read from one file; its stem is the session's name."""

    _name: str = PrivateAttr("session")

    @classmethod
    def upgrade(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """Returns what a file says in the present spelling; raises `ValueError` for keys that are neither."""
        return raw

    @property
    def name(self) -> str:
        return self._name

    @property
    def folders(self) -> list[str]:
        """The folders that are read, as the session says them."""
        return []

    def named(self, name: str) -> Self:
        copy = self.model_copy()
        copy._name = as_file_name(name)
        return copy

    def but(self, **changes: Any) -> Self:
        """The same session with other values."""
        return self.model_copy(update=changes).named(self.name)
