"""Writes reports on features, predictions, runs and data: from an evaluation session to a folder."""

from saec.report.job import EvaluationJob, EvaluationSession, Report, evaluate, plan_evaluation

__all__ = ["EvaluationJob", "EvaluationSession", "Report", "evaluate", "plan_evaluation"]
