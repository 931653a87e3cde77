"""Whose default initializers: what a parameter receives where the spec names no initializer.

Layers are those of Keras, with Keras's sets of parameters and their shapes; a framework's rules
say how it starts what does the same work there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from initcli.frameworks import flax, torch
from initcli.frameworks.rules import Rules, note_of, rule_of
from initcli.initializers import Initializer
from initcli.layers import Layer
from initcli.parameter import Parameter
from initcli.types import CODES, ArgumentError

Framework = Literal["keras", "torch", "flax"]

_RULES: dict[str, Rules] = {"torch": torch.RULES, "flax": flax.RULES}


def with_defaults(
    framework: Framework, parameters: Iterable[Parameter]
) -> tuple[list[Parameter], list[str]]:
    """The parameters of one layer as that framework starts them.

    Returns:
        The parameters, and what the framework does otherwise than the layer can show.

    Raises:
        ArgumentError: a layer has an argument that only another framework has.
    """
    given = list(parameters)
    _refuse_foreign(framework, given)
    if framework == "keras":
        return given, []
    rules = _RULES[framework]
    owned: dict[tuple[int, str], list[Parameter]] = {}
    for parameter in given:
        owned.setdefault(_owner(parameter), []).append(parameter)
    started: dict[str, Initializer] = {}
    notes: list[str] = []
    for mine in owned.values():
        owner = mine[0].owner
        assert owner is not None
        layer: Layer = owner.layer
        unset = [each for each in mine if _is_unset(each)]
        quantized = any(each.dtype in CODES for each in mine)
        rule = None if quantized else rule_of(rules, layer)
        if rule is None and unset:
            kind = f"{'quantized ' * quantized}{layer.type_name}"
            notes.append(f"{framework} has no {kind}; its initializers are those of Keras")
        if rule is None or not unset:
            continue
        named = {_name(each): each for each in mine}
        found = rule(layer, named)
        started |= {each.path: found[_name(each)] for each in unset if _name(each) in found}
        notes += note_of(rules, layer, {_name(each): each for each in unset})
    return [
        msgspec.structs.replace(each, initializer=started.get(each.path, each.initializer))
        for each in given
    ], notes


def _refuse_foreign(framework: Framework, parameters: Iterable[Parameter]) -> None:
    for parameter in parameters:
        assert parameter.owner is not None
        layer: Layer = parameter.owner.layer
        defaults = _defaults(type(layer))
        for argument, other in layer.only_in.items():
            if framework != other and getattr(layer, argument) != defaults[argument]:
                raise ArgumentError(
                    argument,
                    f"{framework}'s {layer.type_name} has no `{argument}`",
                    f"`defaults: {other}` has it",
                )


def _owner(parameter: Parameter) -> tuple[int, str]:
    """The layer that declares a parameter, and where it stands."""
    assert parameter.owner is not None
    return id(parameter.owner.layer), parameter.path.removesuffix(parameter.owner.name)


def _name(parameter: Parameter) -> str:
    assert parameter.owner is not None
    return parameter.owner.name


def _is_unset(parameter: Parameter) -> bool:
    """Whether the spec leaves it to the layer what fills the parameter."""
    argument, owner = parameter.argument, parameter.owner
    if argument is None or owner is None:
        return True
    return getattr(owner.layer, argument) is _defaults(type(owner.layer))[argument]


def _defaults(cls: type[Layer]) -> dict[str, Any]:
    return {field.name: field.default for field in msgspec.structs.fields(cls)}
