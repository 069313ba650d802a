"""From a preparation session to a folder of pictures, on this machine."""

from dataclasses import dataclass
from pathlib import Path

from saec.config import Config, load_config
from saec.faults import collect_faults
from saec.preparation import check_preparation, prepare_folder
from saec.session import PreparationSession, SessionError, load_session


@dataclass(frozen=True)
class PictureFolder:
    """A finished folder of spectrogram pictures."""

    folder: Path

    @property
    def paths(self) -> list[Path]:
        return [self.folder]


@dataclass(frozen=True)
class PreparationJob:
    """A checked session with absolute paths, and what would come of it in words."""

    session: PreparationSession
    n_workers: int
    words: str

    def describe(self) -> str:
        return self.words

    def estimate(self) -> str:
        return ""

    def run(self) -> PictureFolder:
        """Makes the pictures of all recordings; after a kill the same call goes on."""
        return PictureFolder(prepare_folder(self.session, self.n_workers))


def plan_preparation(session: PreparationSession, config: Config) -> PreparationJob:
    """Checks the paths and the recordings; nothing is written.

    Raises:
        SessionError: with every fault of the paths.
        Fault: the recordings or the annotations cannot be used, or nothing can be written.
    """
    keys = [key for key in ("recordings", "out", "annotations") if getattr(session, key) is not None]
    faults: list[str] = []
    paths = {key: collect_faults(faults, key, config.data_path, getattr(session, key)) for key in keys}
    if faults:
        raise SessionError(f"session {session.name}", faults)
    session = session.but(**paths)
    return PreparationJob(session, config.n_workers, check_preparation(session))


def prepare(session: PreparationSession | dict | Path | str, config: Config | None = None) -> Path:
    """Makes the pictures of all recordings and returns their folder.

    Raises:
        Fault: the session or the recordings cannot be used, or nothing can be written.
    """
    return plan_preparation(load_session(session, PreparationSession), config or load_config()).run().folder
