"""Layers: one class for each layer type, one file for each family."""

from initcli.layers.base import Layer, known_layers
from initcli.registry import import_modules

import_modules(__name__, __path__)

__all__ = ["Layer", "known_layers"]
