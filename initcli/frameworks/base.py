"""The defaults of a framework: its initializers for the parameters of a layer, and notes."""

from __future__ import annotations

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
"""Maps a layer and its parameters to the initializers of some of them."""
Note = str | Callable[[Layer, Parameters], str]
"""A note on a difference from Keras, or a function that returns one for a layer and its parameters
without an initializer in the spec; "" for no difference."""

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
"""Layers with the same initializers in every framework."""


class Defaults:
    """The default initializers of a framework.

    Weights that are summed over get the initializer of ``kernel``, and biases that of ``bias`` for
    the preceding kernel. ``rules`` override this by layer type, including derived types. ``layers``
    are further types that the framework has; ``notes`` explain how it differs from Keras. To add a
    framework, derive a class in a module of this package.
    """

    name: ClassVar[str]
    linear: ClassVar[str]
    """The framework's name for a layer of one kernel and one bias."""
    layers: ClassVar[tuple[type[Layer], ...]] = ()
    rules: ClassVar[Mapping[type[Layer], Rule]] = {}
    notes: ClassVar[Mapping[type[Layer], Note]] = {}

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The name of the framework in a spec."""
        return (cls.name,)

    def kernel(self, kernel: Parameter) -> Initializer:
        """The initializer of a kernel."""
        raise NotImplementedError

    def bias(self, kernel: Parameter, initializer: Initializer) -> Initializer:
        """The initializer of the bias that belongs to a kernel with that initializer."""
        raise NotImplementedError

    def start(
        self, layer: Layer, parameters: Parameters, unset: Parameters
    ) -> tuple[Mapping[str, Initializer], list[str]]:
        """The default initializers of a layer's parameters, and notes on them.

        ``unset`` are the parameters without an initializer in the spec.
        """
        rule = of_type(self.rules, layer, None)
        is_quantized = any(each.dtype in CODES for each in parameters.values())
        is_had = rule is not None or isinstance(layer, (*SAME_EVERYWHERE, *self.layers))
        found: dict[str, Initializer] = {}
        if not is_quantized and not isinstance(layer, SAME_EVERYWHERE):
            # Recurrent kernels need a rule.
            if rule is not None or layer.acts_as() != "recurs":
                found = self._general(parameters)
            found |= {} if rule is None else rule(layer, parameters)
        if not unset:
            return {}, []
        if is_had and not is_quantized:
            note = of_type(self.notes, layer, "")
            said = note if isinstance(note, str) else note(layer, unset)
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
    """The axes that form the fans of a kernel; None if Keras's rule gives the same fans."""
    fans = (kernel.entries_on(axes or ()) for axes in (kernel.contracts, kernel.produces))
    return (None, None) if compute_fans(kernel.shape) == tuple(fans) else kernel.fan_axes


def padded(layer: Layer, table: Initializer) -> Mapping[str, Initializer]:
    """The initializer of a table, with zeros in the row of the padding."""
    return {"embeddings": layer.padded(table) if isinstance(layer, embedding.Table) else table}


def two_convolutions(name: str) -> Note:
    """The note on separable convolutions, which the framework lacks."""
    text = f"{name} has no separable convolution; it starts as two"
    bias = ", of which the first would have a bias as well"
    return lambda layer, parameters: text + bias * ("bias" in parameters)


def only_keras_renormalizes(layer: Layer, parameters: Parameters) -> str:
    """The note on batch normalization."""
    return "only Keras has `renorm`" if getattr(layer, "renorm", False) else ""


def of_type(entries: Mapping[type[Layer], Any], layer: Layer, default: Any) -> Any:
    """The entry of the layer's type, or of its nearest base type."""
    return next((entries[cls] for cls in type(layer).__mro__ if cls in entries), default)
