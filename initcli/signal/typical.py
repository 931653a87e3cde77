"""The fields of a typical draw, in which mean squares have the median of all draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np

from initcli.activations import Linear
from initcli.layers.base import Layer
from initcli.signal import arrays
from initcli.signal.field import Field
from initcli.signal.hermite import TINY, WEIGHTS
from initcli.signal.moments import Weight
from initcli.signal.rules.base import Context, Expected, Gradient, rule_of
from initcli.signal.rules.layout import predicted
from initcli.signal.scatter import pair_shares, scatter, scatters

_NEGLIGIBLE = 1e-3
"""The largest variance of a logarithm that is ignored."""
_EVEN = 1e-6
"""The largest relative difference of mean squares that count as equal."""

LogVar = tuple[float, float]
"""Var[log S] of a tensor's mean square S, because of earlier weights and inputs: of a batch over
draws, and of one example over draws and examples."""


class Call(NamedTuple):
    """A call of a layer with the fields of its inputs and Var[log S] of each.

    ``batch`` is the number of examples, and ``is_weighted`` tells whether the layer has a kernel.
    """

    layer: Layer
    context: Context
    inputs: Sequence[Field]
    log_vars: Sequence[LogVar]
    batch: int
    is_weighted: bool


class Figures(NamedTuple):
    """Mean and standard deviation of all entries, and the cosine of two examples."""

    mean: float
    std: float
    correlation: float


class Made:
    """The result of a step: the field of a typical draw, and Var[log S] of its mean square S."""

    def __init__(self, expected: Expected, log_var: LogVar | None, batch: int) -> None:
        self.expected, self.log_var, self.batch = expected, log_var, batch

    @cached_property
    def responses(self) -> list[float]:
        """E[g²] of each input, for E[g²] = 1 of the output."""
        even = Gradient.even(np.ones(self.expected.output.grid))
        return [each.second for each in self.expected.pull(even)]

    @cached_property
    def figures(self) -> Figures:
        """The figures of the output."""
        field = self.expected.output
        # The mean square S of a layer of finite width is nearly log-normal over draws. With
        # Var[log S] = s its median is e^(−s/2) times its mean (Hanin and Nica 2020).
        field = scaled(field, -scatter(field, self.batch) / 2)
        return Figures(field.mean, _std(field, self.batch), field.correlation)


def made(call: Call) -> Made:
    """The result of a call in a typical draw.

    Mean squares are nearly log-normal, over draws and over the examples of a draw. That of the
    output is averaged over the examples of a draw, and its logarithm over draws, each by a
    quadrature with three points.

    Raises:
        NoTheory: no rule covers the layer.
    """
    layer, context, given, batch = call.layer, call.context, call.inputs, call.batch
    log_vars, taken = list(call.log_vars), list(given)
    if call.is_weighted:
        for index, each in enumerate(given):
            of_batch, of_one = scatters(each, batch, 1)
            log_vars[index] = log_vars[index][0] + of_batch, log_vars[index][1] + of_one
            taken[index] = scaled(each, -of_batch / 2)
    expected = predicted(layer, context, *taken)
    field, log_var = expected.output, None
    if not call.is_weighted and len(given) == 1 and field.units != given[0].units:
        # Units that were positions are not independent.
        field = scaled(field, -max(scatter(given[0], batch) - scatter(field, batch), 0.0) / 2)
    if len(given) > 1:
        sizes = [each.mean_square for each in taken]
        total = max(sum(sizes), TINY)
        roots = [np.sqrt(each) * n / total for n, each in zip(sizes, log_vars, strict=True)]
        whole, single = (float(sum(root[kind] for root in roots)) ** 2 for kind in (0, 1))
        log_var = whole, single
    elif given and not field.pinned and log_vars[0][1] > _NEGLIGIBLE:
        whole, single = (min(each, 1.0) for each in log_vars[0])
        reach = math.sqrt(3 * single)
        curve = _of_sums(layer, context, expected) or (
            lambda x: predicted(layer, context, scaled(taken[0], x)).output.mean_square
        )
        low, high = curve(-reach), curve(reach)
        seconds = np.array([low, expected.output.mean_square, high])
        if np.all(seconds > 0):
            # log F(x) for the logarithm x of a mean square, as a parabola.
            below, middle, above = np.log(seconds).tolist()
            slope = (above - below) / (2 * reach)
            bend = (above + below - 2 * middle) / reach**2
            log_var = whole * slope**2, single * slope**2
            apart = max(single - whole, 0.0)
            within = (slope**2 - slope + bend) * apart / 2
            field = scaled(field, bend * whole / 2 + within)
    return Made(expected._replace(output=field), log_var, batch)


def _of_sums(layer: Layer, context: Context, expected: Expected) -> Callable[[float], float] | None:
    """The mean square of the output as a function of the log factor of the input's mean square.

    None unless the input of the activation is a weighted sum plus a bias without a mean, with the
    same mean square at all positions.
    """
    function = getattr(layer, "activation", None)
    sums = expected.output if isinstance(function, Linear) else expected.sums
    if not rule_of(layer).adds_up or function is None or sums is None:
        return None
    total, bias = sums.mean_square, context.weights.get("bias", Weight(0.0, 0.0))
    if bias.mean or float(np.ptp(sums.second)) > _EVEN * total:
        return None

    def curve(x: float) -> float:
        second = (total - bias.second) * math.exp(x) + bias.second
        values = function.call(arrays, math.sqrt(max(second, 0.0)) * sums.profile)
        return float(WEIGHTS @ values**2)

    return curve


def scaled(given: Field, logarithm: float) -> Field:
    """The field with e^logarithm times the mean square."""
    if logarithm == 0 or not math.isfinite(logarithm):
        return given
    return msgspec.structs.replace(given, second=given.second * math.exp(logarithm))


def _std(given: Field, batch: int) -> float:
    """The standard deviation of all entries of a batch from their own mean.

    The mean of a draw differs from the mean of all draws where units are few and correlated.
    """
    second, mean = given.mean_square, given.mean
    if not given.pinned and given.units:
        shares = pair_shares(batch, given.positions)
        common = float(shares @ given.moments.reshape(4, -1).mean(1))
        second -= max(common - mean * mean, 0.0) / given.units
    return math.sqrt(max(second - mean * mean, 0.0))
