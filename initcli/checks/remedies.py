"""Initializers of a given variance, as a spec or Keras names them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from initcli.documents.edit import yaml_flow
from initcli.initializers import (
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from initcli.initializers.base import compute_fans
from initcli.initializers.random import GlorotUniform, HeUniform, LecunUniform
from initcli.initializers.torch import (
    TorchNormal,
    TorchTruncNormal,
    TorchUniform,
    XavierNormal,
    XavierUniform,
)
from initcli.parameter import Parameter

_EXACT = 0.03
"""Relative difference up to which a scale gets the name of a standard one."""
_UNIFORM = (RandomUniform, HeUniform, GlorotUniform, LecunUniform)
_LINEAR: Mapping[type[Initializer], tuple[str, ...]] = {
    RandomNormal: ("stddev",),
    TruncatedNormal: ("stddev",),
    RandomUniform: ("minval", "maxval"),
    TorchNormal: ("std",),
    TorchTruncNormal: ("std", "a", "b"),
    TorchUniform: ("a", "b"),
    XavierNormal: ("gain",),
    XavierUniform: ("gain",),
}
"""Arguments proportional to the standard deviation, if the mean is 0."""
_NAMES = (("he", 2.0), ("lecun", 1.0))
"""Scales of the fan-in that have a name."""


def with_variance(parameter: Parameter, variance: float) -> Any:
    """An initializer that gives a kernel a variance, as a spec writes it.

    Uniform and orthogonal initializers keep their kind. Others become variance scaling by the
    kernel's fan-in, which also suits other sizes, under a standard name if it has one.
    """
    initializer, shape = parameter.initializer, parameter.shape
    if isinstance(initializer, Orthogonal):
        rows = math.prod(shape[:-1])
        return {"type": "Orthogonal", "gain": _rounded(math.sqrt(variance * max(rows, shape[-1])))}
    uniform = _is_uniform(parameter)
    fan_in = compute_fans(shape).fan_in
    axes: dict[str, Any] = {}
    inputs, outputs = parameter.fan_axes
    if parameter.wired_fans is not None and parameter.entries_on(inputs) != fan_in:
        fan_in = parameter.entries_on(inputs)
        if not _counts_axes(parameter):
            axes = {"input_axes": list(inputs), "output_axes": list(outputs)}
    scale = variance * fan_in
    if not axes:
        for name, known in _NAMES:
            if abs(scale / known - 1) < _EXACT:
                return f"{name}_{'uniform' if uniform else 'normal'}"
    value: dict[str, Any] = {"type": "VarianceScaling", "scale": _rounded(scale), "mode": "fan_in"}
    if uniform:
        value["distribution"] = "uniform"
    return value | axes


def scaled_by(parameter: Parameter, factor: float) -> Any:
    """An initializer that multiplies a kernel's standard deviation, as a spec writes it."""
    initializer, distribution = parameter.initializer, parameter.distribution
    scaled = _LINEAR.get(type(initializer), ())
    if scaled and getattr(initializer, "mean", 0.0) == 0:
        own = {name: float(f"{getattr(initializer, name) * factor:.5g}") for name in scaled}
        return with_arguments(initializer, own)
    assert distribution is not None
    return with_variance(parameter, (distribution.std * factor) ** 2)


def with_arguments(initializer: Initializer, values: Mapping[str, Any]) -> dict[str, Any]:
    """An initializer with other values of some arguments, as a spec writes it."""
    defaults = {each.name: each.default for each in msgspec.structs.fields(type(initializer))}
    own = {
        name: value
        for name, value in initializer.arguments.items()
        # The layer sets the axes that it sums over, not the spec.
        if value != defaults[name] and not name.endswith("_axes")
    }
    return {"type": initializer.type_name, **own, **values}


def _counts_axes(parameter: Parameter) -> bool:
    """Whether the layer tells initializers which axes it sums over."""
    layer = parameter.owner.layer if parameter.owner else None
    return getattr(layer, "fans", None) == "projection"


def _is_uniform(parameter: Parameter) -> bool:
    """Whether a parameter's entries are drawn uniformly."""
    initializer = parameter.initializer
    if isinstance(initializer, VarianceScaling):
        return initializer.distribution == "uniform"
    return isinstance(initializer, _UNIFORM)


def _rounded(value: float) -> float:
    """A number rounded to two digits if that changes little, otherwise to three."""
    short = float(f"{value:.2g}")
    return short if abs(short / value - 1) < 0.005 else float(f"{value:.3g}")


def written(argument: str, value: Any, dialect: str = "initcli") -> str:
    """An argument as text to paste into a spec, or into the Python that makes a model."""
    if dialect == "initcli":
        return f"{argument}: {yaml_flow(value)}"
    if isinstance(value, Mapping) and "type" in value:
        arguments = ", ".join(f"{k}={v!r}" for k, v in value.items() if k != "type")
        module = "keras.initializers." if dialect == "keras" else ""
        return f"{argument}={module}{value['type']}({arguments})"
    return f"{argument}={value!r}"
