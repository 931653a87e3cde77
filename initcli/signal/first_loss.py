"""The loss before the first step of training, compared to that of equal outputs for all classes.

Before training the labels are independent of the outputs, and all classes are equally frequent.
With logits z of V classes, the cross-entropy is then E log Σ exp z − E z: ln V if they are equal,
about ln V + σ²/2 if they are normal with a small standard deviation σ, and more if it is large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from initcli.activations import LogSoftmax, Sigmoid, Softmax
from initcli.choices import Loss
from initcli.signal.figures import FirstLoss, Spread
from initcli.signal.hermite import NODES, WEIGHTS
from initcli.signal.logits import Logits, is_reverse, output_activation
from initcli.signal.program import Program, Step
from initcli.types import Array

_MOST_POINTS = 20_000
"""The largest number of points of an integral, whose range grows with the logits."""
_COARSE = slice(None, None, 2)
_WEIGHTS = WEIGHTS[_COARSE] / WEIGHTS[_COARSE].sum()


def loss_of(step: Step, shape: tuple[int, ...], chosen: Loss | None) -> Loss | None:
    """The loss of an output, by its activation or else by choice.

    Scores of the rows of a table have a cross-entropy by default.

    Args:
        step: the step with the output.
        shape: of the output, its classes last.
        chosen: the loss of outputs whose activation does not decide it.
    """
    function = output_activation(step)
    if isinstance(function, Softmax | LogSoftmax):
        if function.axis not in (-1, len(shape) - 1):
            return None  # The classes are on another axis.
        found: Loss | None = "cross_entropy"
    elif isinstance(function, Sigmoid):
        found = "binary_cross_entropy"
    elif chosen is None and is_reverse(step):
        found = "cross_entropy"
    else:
        found = chosen if function is None else None
    return None if found == "cross_entropy" and shape[-1] == 1 else found


def measured_loss(step: Step, output: Array, loss: Loss) -> float:
    """The mean loss of an output for independent labels.

    It is infinite or NaN if a probability is rounded to 0 or 1.
    """
    function = output_activation(step)
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
    logits: Mapping[int, Logits],
    measured: Mapping[int, Spread | None],
    chosen: Loss | None,
) -> tuple[FirstLoss, ...]:
    """The first loss of each output that has a loss.

    Args:
        program: of the model.
        logits: predicted logits, by the index of the step.
        measured: finite losses over the draws, by the index of the step.
        chosen: as in :func:`loss_of`.
    """
    found = []
    for index, step in enumerate(program.steps):
        if step.outputs[0] not in program.results:
            continue
        shape = program.shapes[step.outputs[0]]
        loss = loss_of(step, shape, chosen)
        if loss is None:
            continue
        made = logits.get(index)
        own = None if made is None or made.own is None else float(WEIGHTS @ made.own)
        found.append(
            FirstLoss(
                layer=step.name,
                loss=loss,
                classes=shape[-1],
                knows_nothing=_knows_nothing(loss, shape[-1]),
                predicted=None if made is None else _finite(expected_loss(loss, shape[-1], made)),
                measured=measured.get(index),
                logit_std=None if made is None else _finite(_std(made.apart)),
                own_logit=own,
            )
        )
    return tuple(found)


def expected_loss(loss: Loss, classes: int, logits: Logits) -> float:
    """The mean loss of independent logits, for independent labels.

    For cross-entropy with V classes, S = Σ exp z and φ(t) = E exp(−t exp z), it follows from
    E log S = ∫ (exp(−eᵘ) − φ(eᵘ)^V) du, by Frullani's integral of the logarithm. A logit with
    another distribution has its own φ in place of one of the V factors.

    >>> none = np.zeros(len(NODES))
    >>> round(expected_loss("cross_entropy", 1000, Logits(none, none, None)), 4)
    6.9078
    """
    own, share = logits.own, 1 / classes
    if loss != "cross_entropy":
        each = [
            float(
                WEIGHTS
                @ (1 + z * z if loss == "mean_squared_error" else np.logaddexp(0, z) - z / 2)
            )
            for z in (logits.values, logits.values if own is None else own)
        ]
        return (1 - share) * each[0] + share * each[1]
    kinds = [(logits.apart, classes)] if own is None else [(logits.apart, classes - 1), (own, 1)]
    kinds = [(z[_COARSE], count) for z, count in kinds]
    low = -math.log(classes) - 40 - max(float(z.max()) for z, _ in kinds)
    high = 5 - float(logits.apart.min())
    u = np.linspace(low, high, min(2000 + int(20 * (high - low)), _MOST_POINTS))
    logs = np.zeros(len(u))
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        for z, count in kinds:
            # 1 − φ is accurate where φ is near 1.
            misses = np.array([float(_WEIGHTS @ -np.expm1(-np.exp(each + z))) for each in u])
            logs += count * np.log1p(-np.minimum(misses, 1))
        integrand = np.exp(-np.exp(u)) - np.exp(logs)
    label = sum(count * float(_WEIGHTS @ z) for z, count in kinds) / classes
    return float(np.trapezoid(integrand, u)) - label


def normal_logits(std: float) -> Logits:
    """Independent normal logits with mean 0."""
    return Logits(std * NODES, std * NODES, None)


def _std(z: Array) -> float:
    return math.sqrt(max(float(WEIGHTS @ (z * z)) - float(WEIGHTS @ z) ** 2, 0.0))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _knows_nothing(loss: Loss, classes: int) -> float:
    if loss == "mean_squared_error":
        return 1.0
    return math.log(2 if loss == "binary_cross_entropy" else classes)
