"""Where evaluations are registered: (rows, labels) and options in, named scores out."""

from saec.registry import Registry

EVALUATIONS = Registry("evaluation")
