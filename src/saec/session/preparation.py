"""What a preparation session may say."""

from saec.preparation import Preparation
from saec.session.base import Session


class PreparationSession(Session, Preparation):
    """What `Preparation` says, from a file."""

    @property
    def folders(self) -> list[str]:
        return [str(self.recordings)]
