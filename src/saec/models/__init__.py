"""Registers architectures by the names that sessions use: `MODELS.parse("GenB3blocks")(input_shape)`."""

from saec.models.base import MODELS, Model, feature_shape
from saec.registry import import_submodules

__all__ = ["MODELS", "Model", "feature_shape"]

import_submodules(__name__, __path__)
