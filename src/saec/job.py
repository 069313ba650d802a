"""The one contract of everything that a session asks for: it is planned once, described, and run."""

from pathlib import Path
from typing import Protocol

from saec.session import Session


class Result(Protocol):
    """What a job leaves: a run, features, a report, a folder of pictures."""

    @property
    def paths(self) -> list[Path]:
        """The absolute paths of what is complete, in the order in which a script prints them."""


class Job(Protocol):
    """A session that was checked on this machine, with everything that its work needs already listed."""

    @property
    def session(self) -> Session:
        """The session with its paths, its precision and all defaults written out."""

    def describe(self) -> str:
        """Returns what will be done, in lines for people; nothing is computed or measured for it."""

    def estimate(self) -> str:
        """Returns the time and room to expect, which may be measured; "" where they are unclear."""

    def run(self) -> Result:
        """Does the work and returns what it leaves."""
