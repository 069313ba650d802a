"""Where evaluations are registered: (rows, labels, groups) and options in, named scores out."""

from saec.registry import Registry

EVALUATIONS = Registry("evaluation")
