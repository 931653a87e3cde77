"""The predicted logits of an output, which are the input of a softmax or a loss.

At initialization the logits of one example are independent, except for a common part of all
classes, which has no effect on a softmax. In a head that is the transposed table of an embedding,
one logit differs: that of the token at the position, if its row is still in the stream (Press &
Wolf 2017, arXiv:1608.05859, for tied heads).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from initcli.activations import Activation, LogSoftmax, Sigmoid, Softmax
from initcli.layers import convolution, core, einsum
from initcli.layers.activation import Softmax as SoftmaxLayer
from initcli.layers.embedding import ReversibleEmbedding
from initcli.layers.wrappers import TimeDistributed
from initcli.signal.field import Field, field, moments_of
from initcli.signal.hermite import NODES, WEIGHTS
from initcli.signal.moments import Weight
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import Context
from initcli.signal.rules.layout import predicted
from initcli.signal.rules.mixing import capped
from initcli.signal.scatter import scatter
from initcli.signal.ties import Ties, is_weighted
from initcli.signal.typical import scaled
from initcli.types import Array


class Logits(NamedTuple):
    """Logits of one position, as values at :data:`initcli.signal.hermite.NODES`.

    ``values`` are those of any class, and ``apart`` those without the common part of all classes.
    ``own`` are those of the token at the position, if it differs.
    """

    values: Array
    apart: Array
    own: Array | None


class Head(NamedTuple):
    """The layer that computes logits, and the steps between it and the loss."""

    step: Step
    after: tuple[Step, ...]


def is_reverse(step: Step) -> bool:
    """Whether a step computes a score for each row of a table."""
    return isinstance(step.layer, ReversibleEmbedding) and step.options.get("reverse", False)


def output_activation(step: Step) -> Activation | None:
    """The activation of a step, as an argument of its layer or the layer itself."""
    layer = step.layer
    if isinstance(layer, SoftmaxLayer):
        axes = (layer.axis,) if isinstance(layer.axis, int) else layer.axis
        return Softmax(axis=axes[0]) if len(axes) == 1 else None
    return layer.last_activation


def head_of(program: Program, index: int) -> Head | None:
    """The head of an output; None if no single layer computes its logits.

    Args:
        program: of the model.
        index: of the step with the output.
    """
    makers = _makers(program)
    step, after = program.steps[index], list[Step]()
    while not is_weighted(step):
        if step.parameters or len(step.inputs) != 1 or step.inputs[0] not in makers:
            return None
        if after or not _ends_with_loss(step):
            after.insert(0, step)
        step = makers[step.inputs[0]]
    layer = step.layer.layer if isinstance(step.layer, TimeDistributed) else step.layer
    return Head(step, tuple(after)) if is_reverse(step) or isinstance(layer, _HEADS) else None


def logits(
    program: Program,
    fields: Mapping[int, Field],
    context: Callable[[Step], Context],
    ties: Ties,
    index: int,
) -> Logits | None:
    """The logits of a typical draw; None where they are not known.

    Args:
        program: of the model.
        fields: of its tensors.
        context: the context of a step.
        ties: cross moments of tensors.
        index: of the step with the output.

    Raises:
        NoTheory: a rule does not cover a layer.
    """
    head = head_of(program, index)
    if head is None:
        return _of_several(program, fields, context, index)
    if head.step.inputs[0] not in fields:
        return None
    step, known = head.step, context(head.step)
    layer: Any = (step.without_activation if step is program.steps[index] else step).layer
    given = fields[step.inputs[0]]
    given = scaled(given, -scatter(given, program.batch) / 2)

    def passed(x: Field) -> Array:
        for each in head.after:
            x = predicted(each.layer, context(each), x).output
        return _values(x)

    def made(weights: dict[str, Weight]) -> Array:
        return passed(predicted(layer, known._replace(weights=weights), given).output)

    common = ties.with_table(step)
    return Logits(
        values=made(known.weights),
        apart=made({name: each._replace(mean=0.0) for name, each in known.weights.items()}),
        own=None if common is None else passed(_own(layer, known, given, common)),
    )


def _of_several(
    program: Program,
    fields: Mapping[int, Field],
    context: Callable[[Step], Context],
    index: int,
) -> Logits | None:
    """Logits that several layers compute, such as the sum of two heads, or a normalization.

    With kernels of mean 0, classes have no common part.
    """
    step = program.steps[index]
    tensor = step.inputs[0] if _ends_with_loss(step) else step.outputs[0]
    if tensor not in fields or (is_weighted(step) and tensor == step.outputs[0]):
        return None
    makers, waiting, seen = _makers(program), [tensor], set[int]()
    while waiting:
        made = makers.get(waiting.pop())
        if made is None or made.outputs[0] in seen:
            continue
        seen.add(made.outputs[0])
        if not is_weighted(made):
            waiting += made.inputs
        elif is_reverse(made) or any(
            len(known.sizes[name]) > 1 and weight.mean
            for known in (context(made),)
            for name, weight in known.weights.items()
        ):
            return None
    values = _values(scaled(fields[tensor], -scatter(fields[tensor], program.batch) / 2))
    return Logits(values, values - float(WEIGHTS @ values), None)


def _makers(program: Program) -> dict[int, Step]:
    """The steps by the tensor that they compute."""
    return {each.outputs[0]: each for each in program.steps if each.inputs != each.outputs}


def _ends_with_loss(step: Step) -> bool:
    """Whether a step is only the softmax or sigmoid before a loss."""
    is_last = isinstance(output_activation(step), Softmax | LogSoftmax | Sigmoid)
    return is_last and not step.parameters and len(step.inputs) == 1


def _values(given: Field) -> Array:
    values: Array = math.sqrt(given.mean_square) * given.profile
    return values


def _own(layer: ReversibleEmbedding, known: Context, given: Field, common: float) -> Field:
    """Σ x e for the row e that produced x, with the mean E[x e] of each term."""
    table, width = known.weights["embeddings"], layer.output_dim
    mean = width * common
    # Compared to other rows, terms e² also vary, with Var[e²] / E[e²]² = κ − 1.
    variance = width * (table.variance * given.mean_square + (table.kurtosis - 2) * common**2)
    values = mean + math.sqrt(max(variance, 0.0)) * NODES
    square = mean**2
    moments = moments_of(given.grid, square + variance, square, square, square)
    return capped(layer, field(moments, 1, values)).output


_HEADS = (core.Dense, einsum.EinsumDense, convolution.Convolution)
