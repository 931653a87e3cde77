"""One draw of a signal: every output and gradient of a model, with its weights drawn once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from initcli.choices import Loss
from initcli.layers.experts import MixtureOfExperts
from initcli.layers.flow import Mask
from initcli.layers.preprocessing import Preprocessing
from initcli.model import Model
from initcli.signal.attending import Scores, attention_heads, measured_attention
from initcli.signal.cost import weights_room
from initcli.signal.figures import RouterFigures
from initcli.signal.first_loss import loss_of, measured_loss
from initcli.signal.graph import Graph
from initcli.signal.inputs import drawn_inputs, standard_normal
from initcli.signal.observing import difference, dimension, output_figures, rms
from initcli.signal.passes import Gradients, Pass, backwards, drawn_values, flow_of, forwards
from initcli.signal.program import Program, Step
from initcli.signal.routing import measured_routing
from initcli.types import Array

REACHED = 1e-4
"""The fraction of the largest gradient of a time step with which another step is within reach."""


class Draw(msgspec.Struct):
    """What one draw measured, by the index of the step, the tensor, or the path of the parameter.

    ``tensors`` has the RMS of a parameter's gradient and of its values. ``hidden`` is as in
    :class:`Pass`, and ``differences`` to ``reaches`` are as in :class:`Signal`.
    """

    outputs: dict[int, dict[str, float]] = {}
    gradients: dict[int, float] = {}
    tensors: dict[str, tuple[float, float]] = {}
    hidden: dict[int, float] = {}
    differences: dict[int, float] = {}
    dimensions: dict[int, float] = {}
    onsets: dict[int, float] = {}
    reaches: dict[int, float] = {}
    losses: dict[int, float] = {}
    attention: dict[int, Scores] = {}
    routing: dict[int, RouterFigures] = {}


def one_draw(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    number: int,
    advance: Callable[[], None],
    loss: Loss | None,
    threads: int,
) -> Draw:
    """Pass the signal forwards and backwards once.

    Args:
        model: the model.
        built: its program.
        given: inputs by tensor; the others are drawn.
        number: of the draw; its seed is the seed of the model plus this number.
        advance: called after each step of either pass.
        loss: the loss of outputs whose activation does not decide it.
        threads: BLAS threads for large products.
    """
    seed = model.seed + number
    values = drawn_values(weights_room(), seed - built.seed)
    about = Pass(values, str(seed), threads)
    tensors = drawn_inputs(built, seed, model, given)
    draw = Draw(hidden=about.hidden)
    with np.errstate(all="ignore"):
        for index, (step, outputs) in enumerate(forwards(built, tensors, about)):
            if _is_real(outputs[0]):
                draw.outputs[index] = output_figures(step.layer, outputs[0])
                _measure_loss(draw, index, step, outputs[0], built, loss)
            _measure_call(draw, index, step, tensors, about)
            advance()
        trunk = Graph(built).hidden_trunk
        followed = [each.tensor for each in built.inputs if tensors[each.tensor].dtype.kind == "f"]
        draw.differences = {t: difference(tensors[t]) for t in (*followed, *trunk)}
        draw.dimensions = {t: dimension(tensors[t]) for t in (*followed, *trunk[-1:])}
        cotangents = {
            tensor: _cotangent(f"cotangent {k}", seed, tensors[tensor], about.masks.get(tensor))
            for k, tensor in enumerate(built.results)
            if _is_real(tensors[tensor])
        }
        back = backwards(built, tensors, cotangents, about)
        totals: dict[str, Array] = {}
        for index, gradient in zip(reversed(range(len(built.steps))), back, strict=True):
            _measure_gradient(draw, index, gradient)
            _measure_weights(draw, gradient, totals, about)
            advance()
    return draw


def _is_real(x: Array) -> bool:
    return np.issubdtype(x.dtype, np.floating)


def _measure_loss(
    draw: Draw, index: int, step: Step, output: Array, built: Program, loss: Loss | None
) -> None:
    kind = loss_of(step, output.shape, loss) if step.outputs[0] in built.results else None
    if kind is not None and math.isfinite(value := measured_loss(step, output, kind)):
        draw.losses[index] = value


def _measure_call(
    draw: Draw, index: int, step: Step, tensors: Mapping[int, Array], about: Pass
) -> None:
    """Measure attention, and the routing of a mixture of experts."""
    inputs = [tensors[i] for i in step.inputs]
    if isinstance(step.layer, MixtureOfExperts):
        flow = flow_of(step, tensors, about)
        if (routed := measured_routing(step.layer, flow, inputs[0])) is not None:
            draw.routing[index] = routed
    elif attention_heads(step) is not None:
        flow = flow_of(step, tensors, about)
        if (attended := measured_attention(step, flow, inputs)) is not None:
            draw.attention[index] = attended


def _measure_gradient(draw: Draw, index: int, gradient: Gradients) -> None:
    if gradient.outputs[0] is None:
        return
    draw.gradients[index] = rms(gradient.outputs[0])
    if over_time := _over_time(gradient):
        largest = max(over_time)
        draw.onsets[index] = largest / over_time[-1]
        draw.reaches[index] = sum(size >= REACHED * largest for size in over_time)


def _measure_weights(
    draw: Draw, gradient: Gradients, totals: dict[str, Array], about: Pass
) -> None:
    """Add the gradients of weights to the totals; measure these at the first call of a layer."""
    step = gradient.step
    if not isinstance(step.layer, Preprocessing):
        gradient.add_to(totals)
    if step.call == 0:  # The first call comes last.
        for parameter in step.parameters:
            if parameter.path in totals:
                total = totals.pop(parameter.path)
                draw.tensors[parameter.path] = rms(total), rms(about.values(parameter))


def _cotangent(purpose: str, seed: int, result: Array, mask: Mask) -> Array:
    """The gradient of a result, which is 0 at masked steps."""
    cotangent = standard_normal(purpose, seed, result.shape, result.dtype)
    if mask is None:
        return cotangent
    return cotangent * mask.reshape(*mask.shape, *(1,) * (cotangent.ndim - mask.ndim))


def _over_time(gradient: Gradients) -> Sequence[float]:
    """The gradient of each time step of a layer that returns its last state alone.

    Empty for other layers, and where no gradient reaches the last step.
    """
    (output, *_), (source, *_) = gradient.outputs, (*gradient.inputs, None)
    if gradient.step.layer.acts_as() != "recurs" or output is None or source is None:
        return ()
    _, x = source
    sizes = [rms(each) for each in np.moveaxis(x, 1, 0)] if x.ndim > output.ndim else []
    return sizes if sizes and sizes[-1] > 0 else ()
