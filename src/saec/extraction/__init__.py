"""From a run, or what needs none, and samples to feature files and predictions."""

from saec.extraction.combined import extract, plan_extraction
from saec.extraction.plan import ExtractionPlan
from saec.extraction.predict import Prediction, predict

__all__ = ["ExtractionPlan", "Prediction", "extract", "plan_extraction", "predict"]
