"""The loss before the first step, beside that of a model that knows nothing.

Labels are independent of the outputs, since nothing is learned yet, and every class is as frequent.
With logits z of V classes, the cross-entropy is then E log Σ exp z − E z: ln V if they are equal,
about ln V + σ²/2 if they are normal with a small standard deviation σ, and more if it is large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from initcli.activations import Activation, Linear, Sigmoid, Softmax
from initcli.choices import Loss
from initcli.layers.activation import Softmax as SoftmaxLayer
from initcli.layers.core import Dense
from initcli.signal.figures import FirstLoss, LayerSignal, Spread
from initcli.signal.program import Program, Step
from initcli.types import Array

_MOST_POINTS = 20_000
"""Points of an integral at most, which spreads with the logits."""
_DEVIATIONS = np.linspace(-8, 8, 321)
_WEIGHTS = np.exp(-(_DEVIATIONS**2) / 2)
_WEIGHTS /= _WEIGHTS.sum()
"""Normal numbers and their probabilities, for means over a normal distribution."""


def loss_of(step: Step, shape: tuple[int, ...], chosen: Loss | None) -> Loss | None:
    """The loss that fits an output: as its activation says, else as was chosen.

    Args:
        step: the step with the output.
        shape: of the output, its classes last.
        chosen: the loss of outputs that no activation bounds.
    """
    function = _activation(step)
    if isinstance(function, Softmax):
        return "cross_entropy" if shape[-1] > 1 else None
    if isinstance(function, Sigmoid):
        return "binary_cross_entropy"
    return chosen if function is None or isinstance(function, Linear) else None


def measured_loss(step: Step, output: Array, loss: Loss) -> float:
    """The mean loss of an output with labels that are independent of it.

    It is not finite where a probability is rounded to 0 or 1.
    """
    function = _activation(step)
    z = np.asarray(output, np.float64)
    if loss == "mean_squared_error":
        return float(1 + np.mean(z * z))
    if loss == "binary_cross_entropy":
        if isinstance(function, Sigmoid):
            return float(-np.mean(np.log(z) + np.log1p(-z)) / 2)
        return float(np.mean(np.logaddexp(0, z) - z / 2))
    if isinstance(function, Softmax):
        return float(-np.mean(np.log(z)))
    top = z.max(axis=-1, keepdims=True)
    return float(np.mean(np.log(np.exp(z - top).sum(axis=-1)) - (z - top).mean(axis=-1)))


def first_losses(
    program: Program,
    layers: tuple[LayerSignal, ...],
    measured: Mapping[int, Spread | None],
    chosen: Loss | None,
) -> tuple[FirstLoss, ...]:
    """The first loss of each output of a model that has one.

    Args:
        program: of the model.
        layers: signal of each step.
        measured: losses over the draws, by the number of the step, where they are finite.
        chosen: as in :func:`loss_of`.
    """
    found = []
    for index, step in enumerate(program.steps):
        if not step.outputs or step.outputs[0] not in program.results:
            continue
        shape = program.shapes[step.outputs[0]]
        loss = loss_of(step, shape, chosen)
        if loss is None:
            continue
        head = head_of(program, index)
        size = None if head is None else _predicted_size(program, layers, head.inputs[0])
        variance = None if head is None or size is None else logit_variance(head, size)
        found.append(
            FirstLoss(
                layer=step.name,
                loss=loss,
                classes=shape[-1],
                knows_nothing=_knows_nothing(loss, shape[-1]),
                predicted=None if variance is None else expected_loss(loss, shape[-1], variance),
                measured=measured.get(index),
            )
        )
    return tuple(found)


def expected_loss(loss: Loss, classes: int, variance: float) -> float:
    """The mean loss of independent normal logits with mean 0.

    Of cross-entropy with V classes, with S = Σ exp z and φ(t) = E exp(−t exp z),
    E log S = ∫ (exp(−eᵘ) − φ(eᵘ)^V) du, by Frullani's integral of the logarithm.

    >>> round(expected_loss("cross_entropy", 1000, 0.0), 4) == round(math.log(1000), 4)
    True
    """
    if loss == "mean_squared_error":
        return 1 + variance
    z = math.sqrt(variance) * _DEVIATIONS
    if loss == "binary_cross_entropy":
        return float(_WEIGHTS @ np.logaddexp(0, z))
    low, high = -math.log(classes) - 40 - z[-1], 5 - z[0]
    u = np.linspace(low, high, min(2000 + int(20 * (high - low)), _MOST_POINTS))
    with np.errstate(over="ignore", under="ignore"):
        # 1 − φ keeps its digits where φ is near 1.
        misses = np.array([float(_WEIGHTS @ -np.expm1(-np.exp(each + z))) for each in u])
        integrand = np.exp(-np.exp(u)) - np.exp(classes * np.log1p(-np.minimum(misses, 1)))
    return float(np.trapezoid(integrand, u))


def _knows_nothing(loss: Loss, classes: int) -> float:
    if loss == "mean_squared_error":
        return 1.0
    return math.log(2 if loss == "binary_cross_entropy" else classes)


def _activation(step: Step) -> Activation | None:
    """The activation of a step: that of its layer, or the layer itself."""
    layer: Any = step.layer
    if isinstance(layer, SoftmaxLayer):
        return Softmax()
    return getattr(layer, "activation", None)


def head_of(program: Program, index: int) -> Step | None:
    """The dense layer that makes the logits of an output; None where another layer does.

    Args:
        program: of the model.
        index: of the step with the output, which may be an activation alone.
    """
    step = program.steps[index]
    makers = {tensor: each for each in program.steps for tensor in each.outputs}
    if not step.parameters and len(step.inputs) == 1 and step.inputs[0] in makers:
        step = makers[step.inputs[0]]
        if not isinstance(_activation(step), Linear):
            return None
    return step if isinstance(step.layer, Dense) and not step.call else None


def logit_variance(head: Step, size: float) -> float | None:
    """The variance of a logit between classes, n Var(w) E h² + Var(b); None where unknown.

    What all classes have in common makes no difference.

    Args:
        head: the dense layer that makes the logits.
        size: the mean square E h² of its inputs.
    """
    spread = []
    for parameter in head.parameters:
        if parameter.distribution is None:
            return None
        spread.append(parameter.distribution.std**2)
    variance = head.parameters[0].shape[0] * spread[0] * size + sum(spread[1:])
    return variance if math.isfinite(variance) else None


def _predicted_size(program: Program, layers: tuple[LayerSignal, ...], tensor: int) -> float | None:
    """The predicted mean square of a tensor; 1 of inputs."""
    for layer, step in zip(layers, program.steps, strict=True):
        if tensor in step.outputs:
            before = layer.predicted
            if before.std is None or before.mean is None:
                return None
            return before.std * before.std + before.mean * before.mean
    return 1.0
