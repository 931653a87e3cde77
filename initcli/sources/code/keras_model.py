"""Keras models in memory: their configuration, and the values of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from initcli.checkpoint import Checkpoint
from initcli.errors import InvalidSpec
from initcli.model import Model
from initcli.sources.building import build
from initcli.sources.code.live import live
from initcli.sources.code.trees import Leaf
from initcli.sources.pairing import paired
from initcli.sources.read import parse


def weights(model: Any) -> tuple[Leaf, ...]:
    """The weights of a model."""
    return tuple(
        Leaf(each.path, each.value, trainable=each.trainable)
        if hasattr(each, "path")
        else Leaf(each.name.removesuffix(":0"), each, trainable=each.trainable)  # of Keras 2
        for each in model.weights
    )


def configured(model: Any, found: Sequence[Leaf], source: str, seed: int) -> Model | None:
    """The model that a configuration describes, with the values of the weights.

    None for a single layer, and for a subclass of ``Model``, whose configuration has no layers.
    """
    if not hasattr(model, "to_json"):
        return None
    try:
        document = parse(model.to_json(), source)
        built = build(document, seed=seed, defaults=None, functions={})
    except (InvalidSpec, NotImplementedError, TypeError, ValueError):
        return None
    tensors = tuple(live(each.path, each.array) for each in found)
    return paired(built, Checkpoint(name=model.name, tensors=tensors))
