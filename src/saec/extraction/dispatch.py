"""An extraction session is carried out: features of samples, or what a combiner says of them."""

from pathlib import Path

from saec.config import Config, load_config
from saec.extraction.combined import CombinedPlan, plan_combined, predict_combined
from saec.extraction.extract import extract_features
from saec.extraction.plan import plan_features
from saec.extraction.planned import ExtractionPlan
from saec.features import Features
from saec.session import ExtractionSession, load_session


def plan_extraction(session: ExtractionSession, config: Config) -> ExtractionPlan | CombinedPlan:
    """Checks everything that can be checked before samples are read.

    Raises:
        SessionError: with every fault found, each with its key.
        Fault: the files of this id were made with other settings.
    """
    return plan_combined(session, config) if session.combiner else plan_features(session, config)


def extract(session: ExtractionSession | dict | Path | str, config: Config | None = None) -> Features:
    """Extracts as the session says and returns the latents, hand-crafted features, or a combiner's scores,
    with all files that are there now.

    Raises:
        Fault: the session, the run, the samples or this machine cannot do it.
    """
    session, config = load_session(session, ExtractionSession), config or load_config()
    if session.combiner:
        return predict_combined(plan_combined(session, config), config)
    return extract_features(session, config)
