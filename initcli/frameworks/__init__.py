"""Default initializers of frameworks, for parameters without an initializer in the spec.

Layers have the parameters of Keras, with the initializers of the framework's counterpart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from initcli.choices import Framework
from initcli.frameworks.base import Defaults
from initcli.initializers import Initializer
from initcli.layers import Layer
from initcli.parameter import Owner, Parameter
from initcli.registry import import_modules, known
from initcli.types import ArgumentError

__all__ = ["Framework", "with_defaults"]

import_modules(__name__, __path__)


def with_defaults(
    framework: Framework, parameters: Iterable[Parameter]
) -> tuple[list[Parameter], list[str]]:
    """The parameters of one layer with that framework's default initializers.

    Returns:
        The parameters, and notes on how the framework differs from Keras.

    Raises:
        ArgumentError: a layer has an argument of another framework.
    """
    given = list(parameters)
    groups: dict[tuple[int, str], list[Parameter]] = {}
    for parameter in given:
        owner = _owner(parameter)
        _refuse_foreign(framework, owner.layer)
        key = id(owner.layer), parameter.path.removesuffix(owner.name)
        groups.setdefault(key, []).append(parameter)
    if framework == "keras":
        return given, []
    defaults = known(Defaults)[framework]()
    started: dict[str, Initializer] = {}
    notes: list[str] = []
    for group in groups.values():
        named = {_owner(each).name: each for each in group}
        unset = {name: each for name, each in named.items() if _is_unset(each)}
        found, more = defaults.start(_owner(group[0]).layer, named, unset)
        started |= {each.path: found[name] for name, each in unset.items() if name in found}
        notes += more
    return [
        msgspec.structs.replace(each, initializer=started.get(each.path, each.initializer))
        for each in given
    ], notes


def _owner(parameter: Parameter) -> Owner:
    assert parameter.owner is not None
    return parameter.owner


def _refuse_foreign(framework: Framework, layer: Layer) -> None:
    for argument, other in layer.only_in.items():
        if framework != other and getattr(layer, argument) != _default(layer, argument):
            raise ArgumentError(
                argument,
                f"{framework}'s {layer.type_name} has no `{argument}`",
                f"`defaults: {other}` has it",
            )


def _is_unset(parameter: Parameter) -> bool:
    """Whether the spec names no initializer for the parameter."""
    argument, layer = parameter.argument, _owner(parameter).layer
    return argument is None or getattr(layer, argument) is _default(layer, argument)


def _default(layer: Layer, argument: str) -> Any:
    return next(f.default for f in msgspec.structs.fields(type(layer)) if f.name == argument)
