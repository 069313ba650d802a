"""From a preparation session to a folder of pictures, on this machine."""

from pathlib import Path

from saec.config import Config, load_config
from saec.faults import collect_faults
from saec.preparation import check_preparation, prepare_folder
from saec.session import PreparationSession, SessionError, load_session


def prepare(session: PreparationSession | dict | Path | str, config: Config | None = None) -> Path:
    """Makes the pictures of all recordings and returns their folder; after a kill the same call goes on.

    Raises:
        Fault: the session or the recordings cannot be used, or nothing can be written.
    """
    config = config or load_config()
    session = load_session(session, PreparationSession)
    return prepare_folder(_absolute(session, config), config.n_workers)


def expect(session: PreparationSession, config: Config) -> str:
    """What would come of it, with the same faults; nothing is written."""
    return check_preparation(_absolute(session, config))


def _absolute(session: PreparationSession, config: Config) -> PreparationSession:
    keys = [key for key in ("recordings", "out", "annotations") if getattr(session, key) is not None]
    faults: list[str] = []
    paths = {key: collect_faults(faults, key, config.data_path, getattr(session, key)) for key in keys}
    if faults:
        raise SessionError(f"session {session.name}", faults)
    return session.but(**paths)
