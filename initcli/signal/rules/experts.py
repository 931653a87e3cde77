"""Rules of mixtures of experts."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from initcli.layers.experts import MixtureOfExperts, Routing
from initcli.signal import arrays
from initcli.signal.field import Field, normal
from initcli.signal.hermite import TINY
from initcli.signal.joint import multiplied
from initcli.signal.rules.base import Context, Expected, Gradient, NoTheory, Routed, Rule, affine
from initcli.signal.rules.entries import activated
from initcli.signal.rules.sums import connected
from initcli.types import Array

_DRAWS = 1 << 17
"""Logits to draw for the weights of experts, which are then within 1 %."""
_RHO = np.sin(np.linspace(-1, 1, 13) * math.pi / 2)
"""Correlations of the logits of two tokens to compute weights for."""


class MixtureRule(Rule):
    """Experts are independent: E[y y'] = E[Σ w w'] E[f f'], for the weights w of a router.

    Logits are normal, and independent between experts.
    """

    layers = (MixtureOfExperts,)

    def expected(self, layer: MixtureOfExperts, context: Context, given: Field) -> Expected:
        d, weights = context.inputs[0][-1], context.weights
        if any(each.mean for name, each in weights.items()):
            raise NoTheory("weights with a mean other than 0")

        def projected(name: str, source: Field, inputs: int, units: int) -> Expected:
            return connected(source, inputs, units, weights[name], weights.get(f"{name}_bias"))

        logits = projected("router", given, d, layer.num_experts).output
        weighing = _weighing(layer.routing, layer.num_experts, logits.mean_square)
        common = np.interp(logits.ratios, _RHO, weighing.common)
        pairs = np.concatenate([np.full((1, *logits.grid), weighing.squares), common])
        up = projected("up", given, d, layer.units)
        gate = projected("gate", given, d, layer.units) if layer.use_gate else up
        gate = gate.then(lambda y: activated(layer.activation, y))
        inner = gate.output
        if layer.use_gate:
            up = up.then(lambda y: affine(y, 1.0, layer.offset))
            inner = multiplied(gate.output, up.output)
        down = projected("down", inner, layer.units, d)
        expert = down.output
        output = normal(expert.moments * pairs, np.zeros(expert.grid), d)

        def pull(g: Gradient) -> list[Gradient]:
            # The gradient of a logit is the sum over the weights of all experts.
            to_logits = d * g.moments[0] * expert.second * weighing.slopes
            back = Gradient.even(weights["router"].second * to_logits)
            (inside,) = down.pull(g.times(pairs))
            if not layer.use_gate:
                return [back.plus(*gate.pull(inside))]
            to_gate, to_up = inside.times(up.output.moments), inside.times(gate.output.moments)
            return [back.plus(*gate.pull(to_gate)).plus(*up.pull(to_up))]

        shares = logits.second / max(float(logits.second.sum()), TINY)
        correlations = (logits.ratios * shares).reshape(3, -1).sum(1)
        examples, positions, both = map(float, correlations)
        routed = Routed(examples, positions, both, (weights["router"].kurtosis - 1) / d)
        return Expected(output, pull, routed=routed)


class _Weighing(NamedTuple):
    """Moments of a router's weights w for normal logits.

    ``squares`` is E[Σ w²], ``common`` E[Σ w w'] of two tokens at the correlations :data:`_RHO`, and
    ``slopes`` E[Σ (∂w/∂logit)²] over all weights and logits.
    """

    squares: float
    common: Array
    slopes: float


def _weighing(routing: Routing, experts: int, variance: float) -> _Weighing:
    """The moments for the variance of the logits, which is rounded to a percent."""
    return _drawn(routing, experts, round(math.log(max(variance, 1e-12)), 2))


@lru_cache(maxsize=64)
def _drawn(routing: Routing, experts: int, log_variance: float) -> _Weighing:
    random = np.random.default_rng(0)
    size = (2, max(_DRAWS // experts, 64), experts)
    one, two = math.exp(log_variance / 2) * random.standard_normal(size)

    def weights(logits: Array) -> Array:
        chosen, found = routing.chosen(logits), np.zeros_like(logits)
        np.put_along_axis(found, chosen, routing.shares(arrays, logits, chosen), 1)
        return found

    first = weights(one)
    others = (weights(rho * one + math.sqrt(1 - rho * rho) * two) for rho in _RHO)
    common = np.array([float((first * each).sum(1).mean()) for each in others])
    squares = float((first**2).sum(1).mean())
    return _Weighing(squares, common, _slopes(routing, one, first / routing.scale))


def _slopes(routing: Routing, logits: Array, weights: Array) -> float:
    """E[Σ (∂w/∂logit)²], from w = s / Σ s or w = s with scores s of slopes s u."""
    u = 1 - arrays.sigmoid(logits) if routing.scoring == "sigmoid" else np.ones_like(logits)
    divisor = weights
    if not routing.normalizes:
        if routing.scoring == "sigmoid":
            return routing.scale**2 * float(((weights * u) ** 2).sum(1).mean())
        powers = np.exp(logits - logits.max(1, keepdims=True))
        divisor = powers / powers.sum(1, keepdims=True)
    rest = ((divisor * u) ** 2).sum(1, keepdims=True)
    slopes = weights**2 * (u**2 * (1 - 2 * weights) + rest)
    return routing.scale**2 * float(slopes.sum(1).mean())
