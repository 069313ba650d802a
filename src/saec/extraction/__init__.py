"""Computes features of samples with a source, such as a run, and writes feature files and predictions."""

from saec.extraction.job import ExtractionJob
from saec.extraction.plan import extract, plan_extraction
from saec.extraction.predictions import Prediction, predict
from saec.extraction.session import ExtractionSession

__all__ = ["ExtractionJob", "ExtractionSession", "Prediction", "extract", "plan_extraction", "predict"]
