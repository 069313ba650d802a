"""Registers architectures by the names that sessions use: `MODELS.parse("GenB3blocks")(input_shape)`."""

from saec.models.base import MODELS, Model, feature_shape, model_table
from saec.registry import import_submodules

__all__ = ["MODELS", "Model", "feature_shape", "model_table"]

import_submodules(__name__, __path__)
