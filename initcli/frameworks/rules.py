"""What a framework's rules are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from initcli.initializers import Initializer
from initcli.layers import Layer, applications, core, embedding, normalization
from initcli.parameter import Parameter

Rule = Callable[[Layer, Mapping[str, Parameter]], Mapping[str, Initializer]]
"""From a layer and its parameters by name to the initializers of some of them."""
Note = Callable[[Layer, Mapping[str, Parameter]], str]
"""From a layer, and its parameters by name that have the default, to what the framework has
otherwise; "" for nothing."""


class Rules(NamedTuple):
    """How a framework starts layers, by their type and those it derives from.

    ``notes`` say where its own parameters are others than those of Keras.
    """

    rules: Mapping[type[Layer], Rule]
    notes: Mapping[type[Layer], Note]


def rule_of(rules: Rules, layer: Layer) -> Rule | None:
    """The rule of the layer's type, or of the nearest that it derives from."""
    return next((rules.rules[cls] for cls in type(layer).__mro__ if cls in rules.rules), None)


def note_of(rules: Rules, layer: Layer, parameters: Mapping[str, Parameter]) -> Iterable[str]:
    """What there is to say of the layer, by its type or the nearest that it derives from."""
    note = next((rules.notes[cls] for cls in type(layer).__mro__ if cls in rules.notes), None)
    said = "" if note is None else note(layer, parameters)
    return [said] if said else []


def always(text: str) -> Note:
    """A note that holds whatever the layer's arguments are."""
    return lambda layer, parameters: text


def renorm(layer: Layer, parameters: Mapping[str, Parameter]) -> str:
    """That only Keras renormalizes."""
    return "only Keras has `renorm`" if getattr(layer, "renorm", False) else ""


def kept(layer: Layer, parameters: Mapping[str, Parameter]) -> Mapping[str, Initializer]:
    """What a layer starts with everywhere."""
    return {}


KEPT: Mapping[type[Layer], Rule] = dict.fromkeys(
    (
        embedding.ClassToken,
        normalization.BatchNormalization,
        normalization.LayerNormalization,
        normalization.GroupNormalization,
        normalization.RMSNormalization,
        applications.LayerScale,
        applications.Scale,
        core.Opaque,
    ),
    kept,
)
"""Layers that start the same everywhere."""
