"""What a framework's rules are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from initcli.initializers import Initializer
from initcli.layers import Layer, embedding, normalization
from initcli.parameter import Parameter

Rule = Callable[[Layer, Mapping[str, Parameter]], Mapping[str, Initializer]]
"""From a layer and its parameters by name to the initializers of some of them."""


class Rules(NamedTuple):
    """How a framework starts layers, by their type and those it derives from.

    ``notes`` say where its own parameters are others than those of Keras.
    """

    rules: Mapping[type[Layer], Rule]
    notes: Mapping[type[Layer], str]


def rule_of(rules: Rules, layer: Layer) -> Rule | None:
    """The rule of the layer's type, or of the nearest that it derives from."""
    return next((rules.rules[cls] for cls in type(layer).__mro__ if cls in rules.rules), None)


def note_of(rules: Rules, layer: Layer) -> Iterable[str]:
    """What there is to say of the layer's type."""
    return [rules.notes[cls] for cls in type(layer).__mro__ if cls in rules.notes][:1]


def _kept(layer: Layer, parameters: Mapping[str, Parameter]) -> Mapping[str, Initializer]:
    return {}


KEPT: Mapping[type[Layer], Rule] = dict.fromkeys(
    (
        embedding.ClassToken,
        normalization.BatchNormalization,
        normalization.LayerNormalization,
        normalization.GroupNormalization,
        normalization.RMSNormalization,
    ),
    _kept,
)
"""Layers that start the same everywhere."""
