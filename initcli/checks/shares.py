"""What share of an activation's output is 0, dead or saturated, as it was seen or is expected."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from initcli.activations import Activation, Relu, Relu6
from initcli.checks.critical import is_entrywise
from initcli.checks.graph import Graph, mixes
from initcli.checks.scales import without_activation
from initcli.signal import arrays
from initcli.signal.field import WEIGHTS
from initcli.signal.figures import OutputSignal
from initcli.signal.observing import near_bounds
from initcli.signal.theory import Theory, distribution_moments
from initcli.types import Array

_TINY = 1e-100
"""Beyond any size that a signal should have."""


class Share(NamedTuple):
    """Of what an activation gives, the shares that are 0, dead and saturated, and its bounds.

    Zeros and dead units are those of functions that are 0 below some point, and entries are
    saturated of those with two bounds; else they are None, as are dead units that are not measured.
    """

    zeros: float | None
    dead: float | None
    saturated: float | None
    bounds: tuple[float, float]


def seen_share(function: Activation, seen: OutputSignal) -> Share:
    """The shares that were measured, in the median over draws."""
    bounds, rectifies = _bounds(function), _rectifies(function)
    return Share(
        zeros=seen.zeros.median if rectifies else None,
        dead=seen.dead_units.median if rectifies else None,
        saturated=seen.saturated.median if bounds and seen.saturated else None,
        bounds=bounds or (0.0, 0.0),
    )


def expected_share(function: Activation, sums: Array) -> Share:
    """The shares that are expected, for sums at the nodes of a normal distribution."""
    y = np.asarray(function.call(arrays, sums))
    bounds, saturated = _bounds(function), None
    if bounds is not None:
        saturated = float(WEIGHTS @ near_bounds(y, bounds))
    zeros = float(WEIGHTS @ (y == 0)) if _rectifies(function) else None
    return Share(zeros=zeros, dead=None, saturated=saturated, bounds=bounds or (0.0, 0.0))


def sums_before_activations(graph: Graph) -> dict[int, Array]:
    """By the step what is expected before its activation, at the nodes of a normal distribution."""
    theory = Theory(graph.program, distribution_moments)
    theory.begin()
    found: dict[int, Array] = {}
    for index, step in enumerate(graph.steps):
        function = step.layer.last_activation
        if function is not None and is_entrywise(function) and step.layer.acts_as() != "recurs":
            before = theory.fields.get(step.inputs[0])
            if step.parameters or mixes(step):
                expected = theory.expected(without_activation(step))
                before = None if expected is None else expected.output
            size = 0.0 if before is None else math.sqrt(float(before.second.mean()))
            # What has under- or overflowed says nothing of the activation.
            if before is not None and _TINY < size < 1 / _TINY:
                found[index] = size * before.profile
        theory.take(step)
    return found


def _bounds(function: Activation) -> tuple[float, float] | None:
    low, high = function.bounds
    return None if low is None or high is None else (low, high)


def _rectifies(function: Activation) -> bool:
    if not isinstance(function, Relu | Relu6):
        return False
    return not getattr(function, "negative_slope", 0.0)
