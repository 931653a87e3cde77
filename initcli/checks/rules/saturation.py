"""I204: activations that are saturated from the start."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence

_MANY = 0.4
"""The share of entries that may be saturated."""


class Saturation(Check):
    """Activations most of whose entries lie at a bound.

    tanh tends to ±1 and a sigmoid to 0 or 1. An entry within a hundredth of such a bound hardly
    moves with its input any more: its slope is nearly 0, and so is the gradient that comes back
    through it. That happens where the sums before the activation are large, because the kernel's
    variance does not fall with the number of inputs, or because the bias is large.

    Found are layers of which more than four entries in ten are saturated, in the median over draws
    (or by the predicted distribution of the sums, where nothing is measured). A standard normal sum
    has fewer than one in a hundred within tanh's.
    """

    code = "I204"
    name = "saturation"
    why = (
        "a saturated unit has a slope near 0 and passes no gradient back "
        "(Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a)"
    )
    triggers = """\
input_shape: [256]
layers:
  - type: Dense
    units: 256
    activation: tanh
    kernel_initializer: {type: RandomNormal, stddev: 0.25}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [256]
layers:
  - type: Dense
    units: 256
    activation: tanh
    kernel_initializer: {type: RandomNormal, stddev: 0.17}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        graph = evidence.graph
        for index, step in enumerate(graph.steps if graph is not None else ()):
            share = evidence.shares(index)
            if share is None or share.saturated is None or share.saturated <= _MANY:
                continue
            assert graph is not None
            maker = evidence.maker(index)
            layer = evidence.owners[graph.steps[maker].name]
            found = evidence.rescaled([maker])
            kernel = found.kernel_of(layer) or evidence.kernel(layer)
            text, changes = found.text, found.changes
            if not text and kernel is not None:
                value = evidence.suitable(layer, kernel)
                text = evidence.written(kernel, value)
                changes = evidence.change(layer, kernel, value)
            low, high = share.bounds
            yield evidence.problem(
                layer,
                kernel,
                message=(
                    f"{share.saturated:.0%} of what comes out of {step.name} lies at the bounds "
                    f"{low:g} and {high:g} of its activation ({evidence.how_known})"
                ),
                remedy=text or "give the layers before it a smaller scale",
                changes=changes,
            )
