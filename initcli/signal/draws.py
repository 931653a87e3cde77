"""One draw of a signal: every output and gradient of a model, with its weights drawn once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from initcli.choices import Loss
from initcli.layers.experts import MixtureOfExperts
from initcli.layers.flow import Mask
from initcli.layers.preprocessing import Preprocessing
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.signal.attending import Scores, attention_heads, measured_attention
from initcli.signal.cost import weights_room
from initcli.signal.figures import RouterFigures
from initcli.signal.first_loss import loss_of, measured_loss
from initcli.signal.graph import Graph
from initcli.signal.inputs import drawn_input, standard_normal
from initcli.signal.observing import difference, dimension, output_figures, rms
from initcli.signal.passes import (
    Gradients,
    Pass,
    Values,
    backwards,
    drawn_values,
    flow_of,
    forwards,
)
from initcli.signal.program import Program
from initcli.signal.routing import measured_routing
from initcli.types import Array

REACHED = 1e-4
"""Share of the largest gradient of a time step that others within reach get at least."""


class Draw(msgspec.Struct, frozen=True):
    """What was measured in one draw, by the number of the step, or the path of the parameter."""

    outputs: dict[int, dict[str, float]]
    gradients: dict[int, float]
    tensors: dict[str, tuple[float, float]]
    """The RMS of a parameter's gradient, and of its values."""
    hidden: dict[int, float]
    """As in :class:`Pass`."""
    differences: dict[int, float]
    dimensions: dict[int, float]
    onsets: dict[int, float]
    reaches: dict[int, float]
    """As in :class:`Signal`, as are the three before."""
    losses: dict[int, float]
    attention: dict[int, Scores]
    routing: dict[int, RouterFigures]


def one_draw(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    number: int,
    advance: Callable[[], None],
    loss: Loss | None,
    threads: int,
) -> Draw:
    """Pass the signal forwards and backwards once; draw ``number`` has the model's seed plus it.

    ``given`` are inputs by the number of their tensor; ``advance`` is called after each step of
    either pass; ``threads`` are those of BLAS for single large products.
    """
    seed = model.seed + number
    about = Pass(_values(built, seed), str(seed), threads)
    tensors = dict(given)
    for each in built.inputs:
        if each.tensor not in tensors:
            shape = built.shapes[each.tensor]
            tensors[each.tensor] = drawn_input(each, shape, seed, model)
    outputs: dict[int, dict[str, float]] = {}
    gradients: dict[int, float] = {}
    sizes: dict[str, tuple[float, float]] = {}
    losses: dict[int, float] = {}
    attention: dict[int, Scores] = {}
    routing: dict[int, RouterFigures] = {}
    with np.errstate(all="ignore"):
        for index, (step, (output, *_)) in enumerate(forwards(built, tensors, about)):
            if np.issubdtype(output.dtype, np.floating):
                outputs[index] = output_figures(step.layer, output)
                if step.outputs[0] in built.results and (kind := loss_of(step, output.shape, loss)):
                    value = measured_loss(step, output, kind)
                    if math.isfinite(value):
                        losses[index] = value
            if isinstance(step.layer, MixtureOfExperts):
                weights = {name: about.values(p) for name, p in step.weights.items()}
                routed = measured_routing(step, weights, tensors[step.inputs[0]])
                if routed is not None:
                    routing[index] = routed
            if attention_heads(step) is not None:
                weights = {name: about.values(p) for name, p in step.weights.items()}
                flow = flow_of(step, weights, tensors, about)
                found = measured_attention(step, flow, [tensors[i] for i in step.inputs])
                if found is not None:
                    attention[index] = found
            advance()
        trunk = Graph(built).hidden_trunk
        followed = [t for each in built.inputs if tensors[t := each.tensor].dtype.kind == "f"]
        differences = {tensor: difference(tensors[tensor]) for tensor in (*followed, *trunk)}
        dimensions = {tensor: dimension(tensors[tensor]) for tensor in (*followed, *trunk[-1:])}
        cotangents = {
            tensor: _cotangent(f"cotangent {k}", seed, tensors[tensor], about.masks.get(tensor))
            for k, tensor in enumerate(built.results)
            if np.issubdtype(tensors[tensor].dtype, np.floating)
        }
        totals: dict[str, Array] = {}
        onsets: dict[int, float] = {}
        reaches: dict[int, float] = {}
        back = backwards(built, tensors, cotangents, about)
        for index, gradient in zip(reversed(range(len(built.steps))), back, strict=True):
            step = gradient.step
            if gradient.outputs[0] is not None:
                gradients[index] = rms(gradient.outputs[0])
                if over_time := _over_time(gradient):
                    largest = max(over_time)
                    onsets[index] = largest / over_time[-1]
                    reaches[index] = sum(size >= REACHED * largest for size in over_time)
            weights = {} if isinstance(step.layer, Preprocessing) else gradient.weights
            for name, each in weights.items():
                path = step.weights[name].path
                totals[path] = totals[path] + each if path in totals else each
            if step.call == 0:  # The first call comes last.
                for parameter in step.parameters:
                    if parameter.path in totals:
                        values = about.values(parameter)
                        sizes[parameter.path] = rms(totals.pop(parameter.path)), rms(values)
            advance()
    measured = outputs, gradients, sizes, about.hidden, differences, dimensions, onsets, reaches
    return Draw(*measured, losses, attention, routing)


def _cotangent(purpose: str, seed: int, result: Array, mask: Mask) -> Array:
    """The gradient of a result, which is 0 at steps that a mask hides."""
    cotangent = standard_normal(purpose, seed, result.shape, result.dtype)
    if mask is None:
        return cotangent
    return cotangent * mask.reshape(*mask.shape, *(1,) * (cotangent.ndim - mask.ndim))


def _values(built: Program, seed: int) -> Values:
    """The weights of a seed, of which as many as there is room for are drawn once."""
    drawn = drawn_values(weights_room())

    def values(parameter: Parameter) -> Array:
        moved = parameter.seed + seed - built.seed
        return drawn(msgspec.structs.replace(parameter, seed=moved))

    return values


def _over_time(gradient: Gradients) -> list[float]:
    """Gradients of the time steps of a layer that ends with its last state; empty if it does not.

    Empty too where none comes back to the last step.
    """
    (output, *_), (fed, *_) = gradient.outputs, (*gradient.inputs, None)
    if gradient.step.layer.acts_as() != "recurs" or output is None or fed is None:
        return []
    _, x = fed
    sizes = [rms(each) for each in np.moveaxis(x, 1, 0)] if x.ndim > output.ndim else []
    return sizes if sizes and sizes[-1] > 0 else []
