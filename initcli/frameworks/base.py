"""What a framework says: how it starts the parameters of a layer, and what it has otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from initcli.initializers import Initializer
from initcli.initializers.base import compute_fans
from initcli.layers import Layer, applications, core, embedding, normalization
from initcli.parameter import Parameter
from initcli.types import CODES

Parameters = Mapping[str, Parameter]
"""The parameters of one layer, by their names within it."""
Rule = Callable[[Layer, Parameters], Mapping[str, Initializer]]
"""From a layer and its parameters to the initializers of some of them."""
Note = Callable[[Layer, Parameters], str]
"""From a layer and those of its parameters that have the default to what the framework has
otherwise; "" for nothing."""

SAME_EVERYWHERE = (
    embedding.ClassToken,
    normalization.BatchNormalization,
    normalization.LayerNormalization,
    normalization.GroupNormalization,
    normalization.RMSNormalization,
    applications.LayerScale,
    applications.Scale,
    core.Opaque,
)
"""Layers that start the same in every framework."""


class Defaults:
    """How a framework starts what does the work of Keras's layers there.

    A weight that is summed over starts as a ``kernel``, and a bias as the ``bias`` of the kernel
    before it, but where ``rules`` say otherwise for the layer's type or one that it derives from.
    ``layers`` are the types that the framework has; ``notes`` say what is otherwise there. To add a
    framework is to derive a class in a module that this package imports.
    """

    name: ClassVar[str]
    linear: ClassVar[str]
    """What a layer of one kernel and one bias is called."""
    layers: ClassVar[tuple[type[Layer], ...]] = ()
    rules: ClassVar[Mapping[type[Layer], Rule]] = {}
    notes: ClassVar[Mapping[type[Layer], Note]] = {}

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The name of the framework in a spec."""
        return (cls.name,)

    def kernel(self, kernel: Parameter) -> Initializer:
        """The initializer of a weight that is summed over the axes that it contracts."""
        raise NotImplementedError

    def bias(self, kernel: Parameter, initializer: Initializer) -> Initializer:
        """The initializer of the bias of that kernel, which has that initializer."""
        raise NotImplementedError

    def start(
        self, layer: Layer, parameters: Parameters, unset: Parameters
    ) -> tuple[Mapping[str, Initializer], list[str]]:
        """The initializers of a layer's parameters, and what the framework has otherwise.

        ``unset`` are the parameters for which the spec names no initializer.
        """
        rule = _of_type(self.rules, layer)
        is_quantized = any(each.dtype in CODES for each in parameters.values())
        is_had = rule is not None or isinstance(layer, (*SAME_EVERYWHERE, *self.layers))
        found: dict[str, Initializer] = {}
        if not is_quantized and not isinstance(layer, SAME_EVERYWHERE):
            # A recurrent kernel starts by a rule of its own.
            if rule is not None or layer.acts_as() != "recurs":
                found = self._general(parameters)
            found |= {} if rule is None else rule(layer, parameters)
        if not unset:
            return {}, []
        if is_had and not is_quantized:
            note = _of_type(self.notes, layer)
            said = "" if note is None else note(layer, unset)
            return found, [said] if said else []
        kind = f"{'quantized ' * is_quantized}{layer.type_name}"
        own = f"its kernels start as those of a {self.linear}"
        return found, [
            f"{self.name} has no {kind}; {own if found else 'its initializers are those of Keras'}"
        ]

    def _general(self, parameters: Parameters) -> dict[str, Initializer]:
        found: dict[str, Initializer] = {}
        kernel: tuple[Parameter, Initializer] | None = None
        for name, parameter in parameters.items():
            if parameter.contracts:
                kernel = parameter, self.kernel(parameter)
                found[name] = kernel[1]
            elif parameter.argument == "bias_initializer" and kernel is not None:
                found[name] = self.bias(*kernel)
        return found


def fan_axes(kernel: Parameter) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The axes whose sizes are the fans of a kernel; None where Keras's rule counts that fan-in."""
    inputs = kernel.contracts or ()
    if compute_fans(kernel.shape).fan_in == math.prod(kernel.shape[axis] for axis in inputs):
        return None, None
    return inputs, tuple(axis for axis in kernel.produces or () if axis not in inputs)


def constant_note(text: str) -> Note:
    """A note that holds whatever the layer's arguments are."""
    return lambda layer, parameters: text


def note_on(argument: str, text: str) -> Note:
    """A note on layers that set an argument."""
    return lambda layer, parameters: text if getattr(layer, argument, None) else ""


def _of_type(entries: Mapping[type[Layer], Any], layer: Layer) -> Any:
    return next((entries[cls] for cls in type(layer).__mro__ if cls in entries), None)
