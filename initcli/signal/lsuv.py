"""Layer-sequential unit variance: kernels are scaled on a batch, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from initcli.errors import some
from initcli.initializers.composite import Multiple
from initcli.model import Model, with_notes, with_parameters
from initcli.parameter import Parameter
from initcli.signal.cost import weights_room
from initcli.signal.inputs import drawn_inputs, fitting_inputs
from initcli.signal.passes import Pass, computed_step, drawn_values, flow_of, forwards
from initcli.signal.planning import planned
from initcli.signal.program import Step
from initcli.types import Array

_TOLERANCE = 0.01
"""Distance of a variance from 1 at which scaling ends."""
_MISSED = 0.1
"""Distance of a variance from 1 above which the kernel stays as it was."""
_MOST = 10
"""The largest number of times to scale a kernel: a bias also contributes to the variance."""


def lsuv(
    model: Model, *, batch: int | None = None, inputs: Mapping[str, Array] | None = None
) -> Model:
    """Scale the last kernel of each layer so that the layer's sums have variance 1.

    Layers are scaled in the order of computation, on one batch, before the activation (Mishkin &
    Matas 2015, arXiv:1511.06422, algorithm 1, which begins with orthogonal kernels). A kernel is
    unchanged if its sums are the same for all inputs. So are those of recurrent layers, and those
    that no factor gives variance 1; a note of the model names them.

    Args:
        model: the model.
        batch: number of examples; by default 64, or what fits in memory and a minute.
        inputs: arrays by the name of the input; standard normal by default.

    Raises:
        SignalError: a layer cannot be computed, the inputs do not fit, or it takes too much.
        TooLarge: a tensor cannot be held.

    >>> import initcli
    >>> text = "{input_shape: [8], layers: [{type: Dense, units: 9}, {type: Dense, units: 4}]}"
    >>> model = lsuv(initcli.parse(text), batch=32)
    >>> [round(layer.output.std.median, 2) for layer in
    ...  initcli.measure_signal(model, batch=32, draws=1).layers]
    [1.0, 1.0]
    """
    built = planned(model, batch=batch, draws=1, inputs=inputs).program
    drawn = drawn_values(weights_room())
    factors: dict[str, float] = {}
    missed: list[str] = []

    def values(parameter: Parameter) -> Array:
        x, factor = drawn(parameter), factors.get(parameter.path)
        return x if factor is None else x * x.dtype.type(factor)

    about = Pass(values, str(model.seed))
    tensors = drawn_inputs(built, model.seed, model, fitting_inputs(built, inputs or {}))
    with np.errstate(all="ignore"):
        for step, _ in forwards(built, tensors, about):
            # Of a separable convolution the last kernel sets the size of the sums.
            *_, kernel = (None, *(each for each in step.parameters if each.is_kernel))
            if kernel is None or step.call:
                continue
            if step.layer.acts_as() == "recurs":
                missed.append(step.name)
                continue
            for _ in range(_MOST):
                variance = _variance(step.without_activation, tensors, about)
                if not 0 < variance < math.inf or abs(variance - 1) < _TOLERANCE:
                    break
                factors[kernel.path] = factors.get(kernel.path, 1.0) / math.sqrt(variance)
            else:
                if abs(_variance(step.without_activation, tensors, about) - 1) > _MISSED:
                    del factors[kernel.path]
                    missed.append(step.name)
            tensors.update(zip(step.outputs, _outputs(step, tensors, about), strict=True))

    def scaled(parameter: Parameter) -> Parameter:
        factor = factors.get(parameter.path)
        if factor is None:
            return parameter
        made = Multiple(declared=parameter.initializer, times=factor)
        return msgspec.structs.replace(parameter, initializer=made)

    layers = tuple(with_parameters(layer, scaled) for layer in model.layers)
    note = f"the kernels of {some(missed)} are not scaled" if missed else ""
    return with_notes(msgspec.structs.replace(model, layers=layers), [note] if missed else ())


def _outputs(step: Step, tensors: Mapping[int, Array], about: Pass) -> list[Array]:
    flow = flow_of(step, tensors, about)
    return computed_step(step, flow, [tensors[tensor] for tensor in step.inputs])


def _variance(step: Step, tensors: Mapping[int, Array], about: Pass) -> float:
    return float(np.var(_outputs(step, tensors, about)[0], dtype=np.float64))
