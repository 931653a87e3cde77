"""Layers: one class a layer type, one file a family.

Importing this package makes every layer type known.
"""

from initcli.layers import (
    activation,
    convolution,
    core,
    normalization,
    pooling,
    regularization,
    reshaping,
)
from initcli.layers.base import Layer, Parameter, known_layers

__all__ = [
    "Layer",
    "Parameter",
    "activation",
    "convolution",
    "core",
    "known_layers",
    "normalization",
    "pooling",
    "regularization",
    "reshaping",
]
