"""From a source, such as a run, and samples to feature files and predictions."""

from saec.extraction.job import ExtractionJob, ExtractionSession, extract, plan_extraction
from saec.extraction.predictions import Prediction, predict

__all__ = ["ExtractionJob", "ExtractionSession", "Prediction", "extract", "plan_extraction", "predict"]
