"""Layers: one class for each layer type, one file for each family."""

from initcli.layers.base import Layer
from initcli.registry import import_modules, known

__all__ = ["Layer", "known_layers"]

import_modules(__name__, __path__)


def known_layers() -> dict[str, type[Layer]]:
    """Every registered layer type, by each of its names."""
    return known(Layer)
