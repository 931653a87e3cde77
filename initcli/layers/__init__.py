"""Layers: one class a layer type, one file a family.

Importing this package makes every layer type known.
"""

from initcli.layers import (
    activation,
    applications,
    attention,
    convolution,
    core,
    einsum,
    embedding,
    features,
    image_augmentation,
    image_colours,
    image_mixtures,
    image_warps,
    images,
    merging,
    network,
    normalization,
    operations,
    pooling,
    recurrent,
    regularization,
    reshaping,
    spectrograms,
    wrappers,
)
from initcli.layers.base import Layer, known_layers

__all__ = [
    "Layer",
    "activation",
    "applications",
    "attention",
    "convolution",
    "core",
    "einsum",
    "embedding",
    "features",
    "image_augmentation",
    "image_colours",
    "image_mixtures",
    "image_warps",
    "images",
    "known_layers",
    "merging",
    "network",
    "normalization",
    "operations",
    "pooling",
    "recurrent",
    "regularization",
    "reshaping",
    "spectrograms",
    "wrappers",
]
