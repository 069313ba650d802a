"""Features, runs and folders of pictures are judged: one folder of tables, figures and pages."""

from saec.report.evaluate import Report, carry_out, evaluate
from saec.report.plan import plan_evaluation

__all__ = ["Report", "carry_out", "evaluate", "plan_evaluation"]
