"""From a preparation session to a folder of pictures, on this machine."""

from pathlib import Path

from saec.config import Config, load_config
from saec.faults import collect_faults
from saec.preparation import PreparationJob, plan_pictures
from saec.session import PreparationSession, SessionError, load_session


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
    return plan_pictures(session.but(**paths), config.n_workers)


def prepare(session: PreparationSession | dict | Path | str, config: Config | None = None) -> Path:
    """Makes the pictures of all recordings and returns their folder.

    Raises:
        Fault: the session or the recordings cannot be used, or nothing can be written.
    """
    return plan_preparation(load_session(session, PreparationSession), config or load_config()).run().folder
