"""I206: residual branches whose sum grows with the depth."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.graph import Graph
from initcli.checks.stretches import between

_MANY = 30.0
"""How many times the sum may grow in all."""
_EACH = 1.1
"""How many times it grows at each sum, on average, where that is by a share of what there is."""


class ResidualGrowth(Check):
    """Residual branches whose sum grows with every block.

    A residual block adds what its branch computes to what it was given. If the branch gives as much
    as it takes, the sum has twice the variance, and after fifty blocks 2⁵⁰ times, for what the next
    branch takes is the sum. A normalization at the beginning of each branch ends that: the branches
    then add as much each time and not a share, and the sum grows with the root of the depth at
    most.

    Without one the last kernel of every branch has to start small: by 1/√L for L blocks, so that
    all together add as much as there was, or at 0, so that the network starts as if it had no
    branches at all. The remedy writes the first.
    """

    code = "I206"
    name = "residual-growth"
    why = (
        "without normalization the variance grows exponentially with the blocks unless branches "
        "are scaled down (Zhang et al. 2019, Fixup, arXiv:1901.09321; De & Smith 2020, "
        "arXiv:2002.10444)"
    )
    triggers = """\
input_shape: [64]
layers:
  - {type: Dense, units: 64, name: stem}
  - repeat: 20
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: he_normal}
      - {type: Dense, units: 64, name: end, kernel_initializer: he_normal}
      - {type: Add, inputs: [input, end]}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [64]
layers:
  - {type: Dense, units: 64, name: stem}
  - repeat: 20
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: he_normal}
      - {type: Dense, units: 64, name: end, kernel_initializer: {type: VarianceScaling, scale: 0.1}}
      - {type: Add, inputs: [input, end]}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        graph = evidence.graph
        for chain in evidence.once(growing_chains):
            assert graph is not None
            before, after = _sizes(evidence, graph, chain)
            makers = [evidence.scales.last_mixing(graph.skips[index].end) for index in chain]
            names = [graph.steps[index].name for index in makers if index is not None]
            # The scales of ends are solved for with the insides of branches as they should be.
            last = graph.steps[chain[-1]].outputs[0]
            found = evidence.rescaled(between(graph, last, graph.sources[last]))
            layer = evidence.owners[names[0] if names else graph.steps[chain[0]].name]
            yield evidence.problem(
                layer,
                found.kernel_of(layer),
                others=names,
                message=(
                    f"{len(chain)} residual branches make their sum grow from rms {before:.3g} to "
                    f"{after:.3g} ({evidence.how_known}), "
                    f"{(after / before) ** (1 / len(chain)):.3g} times a branch"
                ),
                remedy=found.text
                or "begin each branch with a LayerNormalization, or end it with a kernel of zeros",
                changes=found.changes,
            )


def growing_chains(evidence: Evidence) -> list[list[int]]:
    """The residual sums in a row, with no normalization between, that grow too much."""
    graph = evidence.graph
    if graph is None or evidence.signal is None:
        return []
    found = []
    for chain in evidence.scales.chains:
        before, after = _sizes(evidence, graph, chain)
        if before > 0 and len(chain) > 1:
            ratio = after / before
            if ratio > _MANY and ratio ** (1 / len(chain)) > _EACH:
                found.append(chain)
    return found


def _sizes(evidence: Evidence, graph: Graph, chain: list[int]) -> tuple[float, float]:
    """The root mean square of what is carried into the first sum, and of the last sum."""
    before = evidence.rms(graph.skips[chain[0]].carried)
    sizes = [evidence.rms(graph.steps[index].outputs[0]) for index in chain]
    # Behind what overflows nothing is predicted.
    known = [size for size in sizes if size is not None]
    return before or 0.0, known[-1] if known else 0.0
