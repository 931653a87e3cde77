"""Whose default initializers: what a parameter receives where the spec names no initializer.

Layers are those of Keras, with Keras's sets of parameters and their shapes; a framework's rules
say how it starts what does the same work there.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal

import msgspec

from initcli.defaults import flax, torch
from initcli.defaults.rules import Rules, note_of, rule_of
from initcli.layers import Layer
from initcli.parameter import Parameter
from initcli.types import CODES

Framework = Literal["keras", "torch", "flax"]

_RULES: dict[str, Rules] = {"torch": torch.RULES, "flax": flax.RULES}


def with_defaults(
    framework: Framework, parameters: Iterable[Parameter]
) -> tuple[list[Parameter], list[str]]:
    """The parameters of one layer as that framework starts them.

    Returns:
        The parameters, and what the framework does otherwise than the layer can show.
    """
    if framework == "keras":
        return list(parameters), []
    found: list[Parameter] = []
    notes: list[str] = []
    for _, group in groupby(parameters, key=_owner):
        mine = list(group)
        origin = mine[0].origin
        layer: Layer = origin.layer if origin else Layer()
        unset = {each.path for each in mine if _is_unset(each)}
        quantized = any(each.dtype in CODES for each in mine)
        rule = None if quantized else rule_of(_RULES[framework], layer)
        if rule is None or not unset:
            found += mine
            if unset and rule is None:
                kind = f"{'quantized ' * quantized}{layer.type_name}"
                notes.append(f"{framework} has no {kind}; its initializers are those of Keras")
            continue
        started = rule(layer, {_name(each): each for each in mine})
        for each in mine:
            initializer = started.get(_name(each))
            if initializer is not None and each.path in unset:
                found.append(msgspec.structs.replace(each, initializer=initializer))
            else:
                found.append(each)
        notes += note_of(_RULES[framework], layer)
    return found, notes


def _owner(parameter: Parameter) -> tuple[int, str]:
    """The layer that declares a parameter, and where it stands."""
    assert parameter.origin is not None
    return id(parameter.origin.layer), parameter.path.removesuffix(parameter.origin.name)


def _name(parameter: Parameter) -> str:
    assert parameter.origin is not None
    return parameter.origin.name


def _is_unset(parameter: Parameter) -> bool:
    """Whether the spec leaves it to the layer what fills the parameter."""
    origin = parameter.origin
    if origin is None or origin.argument is None:
        return True
    default = _defaults(type(origin.layer))[origin.argument]
    return getattr(origin.layer, origin.argument) is default


def _defaults(cls: type[Layer]) -> dict[str, Any]:
    return {field.name: field.default for field in msgspec.structs.fields(cls)}
