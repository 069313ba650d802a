"""From a source, such as a run, and samples to feature files and predictions."""

from saec.extraction.job import ExtractionJob, extract, plan_extraction
from saec.extraction.predict import Prediction, predict
from saec.extraction.session import ExtractionSession

__all__ = ["ExtractionJob", "ExtractionSession", "Prediction", "extract", "plan_extraction", "predict"]
