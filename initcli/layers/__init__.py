"""Layers: one class a layer type, one file a family. A file here needs to be told nowhere else."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from initcli.layers.base import Layer
from initcli.registry import known

__all__ = ["Layer", "known_layers"]


@cache
def known_layers() -> dict[str, type[Layer]]:
    """Every layer type by each of its names."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    return known(Layer)
