"""Features, runs and folders of pictures are judged: one folder of tables, figures and pages."""

from saec.report.evaluate import Report, evaluate, plan_evaluation

__all__ = ["Report", "evaluate", "plan_evaluation"]
