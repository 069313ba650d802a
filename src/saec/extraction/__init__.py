"""From a run and a folder of pictures to feature files."""

from saec.extraction.extract import extract
from saec.extraction.plan import ExtractionPlan, plan_extraction

__all__ = ["ExtractionPlan", "extract", "plan_extraction"]
