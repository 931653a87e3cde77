"""I101: kernels whose entries are all the same."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli import distributions
from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.layers import convolution
from initcli.model import BuiltLayer
from initcli.parameter import Parameter
from initcli.signal.graph import mixes
from initcli.signal.zeros import is_kernel, is_scale
from initcli.types import Severity


class ConstantKernel(Check):
    """All entries of a kernel are the same.

    ## What it does
    Looks for kernels and embeddings whose entries all have the same value, and for zero kernels and
    scales (gamma) that the whole signal must pass.

    Zeros are an error if no gradient ever reaches them: before a ReLU, whose slope at 0 is 0, or
    two in a row, each of which keeps the other from learning. They are a warning if they only block
    the signal at the first step. They are not reported at the end of a residual branch (Fixup,
    SkipInit, ReZero, the last gamma of a ResNet block), as one factor of a product, or in the last
    layer, where each unit has its own error. Equal nonzero entries are a warning if random kernels
    follow, because the gradients of those kernels make the units differ.

    ## Why is this bad
    Units that start equal compute the same outputs, get the same gradients and stay equal; only
    random weights break the symmetry. Zeros pass neither signal nor gradient.

    ## Reported
    ```yaml
    input_shape: [32]
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: zeros}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [32]
    layers:
      - {type: Dense, units: 32, name: stem}
      - {type: Dense, units: 64, activation: relu, kernel_initializer: he_uniform}
      - {type: Dense, units: 32, name: end, kernel_initializer: zeros}
      - {type: Add, inputs: [stem, end]}
      - {type: Dense, units: 10, kernel_initializer: zeros}
    ```

    ## Use instead
    A random initializer that suits the activation, such as `he_normal` for ReLU.

    ## References
    - Goodfellow, Bengio, Courville 2016, Deep Learning, section 8.4
    - Zhang, Dauphin, Ma 2019, Fixup initialization, arXiv:1901.09321
    """

    code = "I101"
    name = "constant-kernel"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.dead_ends:
            fault = "are 0: no signal passes it forward, and no gradient backward"
            yield self._finding(evidence, layer, parameter, fault)
        for layer, parameter in evidence.late:
            fault = "are 0: no signal passes it at the first step; it learns from the second on"
            yield self._finding(evidence, layer, parameter, fault, "warning")
        for layer, parameter in evidence.parameters:
            distribution = parameter.distribution
            if (
                isinstance(distribution, distributions.Constant)
                and distribution.value
                and is_kernel(parameter)
                and not _may_be_constant(evidence, layer, parameter)
            ):
                units = f"its {parameter.shape[-1]:,} units start identical"
                fault = f"are {distribution.value:.4g}: {units}"
                if _are_told_apart(evidence, layer):
                    fault += ", and only the kernels after it make them differ"
                    yield self._finding(evidence, layer, parameter, fault, "warning")
                else:
                    yield self._finding(evidence, layer, parameter, fault)

    def _finding(
        self,
        evidence: Evidence,
        layer: BuiltLayer,
        parameter: Parameter,
        fault: str,
        severity: Severity | None = None,
    ) -> Finding:
        return self.finding(
            evidence,
            layer,
            parameter,
            message=f"all {parameter.size:,} entries of {parameter.path} {fault}",
            initializer="ones" if is_scale(parameter) else evidence.suitable(layer, parameter),
            severity=severity,
        )


def _are_told_apart(evidence: Evidence, layer: BuiltLayer) -> bool:
    """Whether all kernels that take a layer's output give its units different gradients."""
    graph = evidence.graph
    if graph is None:
        return False
    waiting = [i for step in evidence.steps_of.get(layer.name, []) for i in graph.successors(step)]
    seen: set[int] = set()
    while waiting:
        index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        step = graph.steps[index]
        if not mixes(step):
            waiting += graph.successors(index)
        elif any(
            is_kernel(p) and isinstance(p.distribution, distributions.Constant)
            for p in step.parameters
        ):
            return False
    return bool(seen)


def _may_be_constant(evidence: Evidence, layer: BuiltLayer, parameter: Parameter) -> bool:
    """Whether equal nonzero entries do no harm."""
    if len(parameter.shape) < 2 or evidence.is_result(layer):
        return True
    owner = parameter.owner
    inner = owner.layer if owner else layer.layer
    if isinstance(inner, convolution.DepthwiseConv | convolution.SeparableConv):
        # Each unit averages the window of its own channel.
        return bool(owner and owner.name != "pointwise_kernel" and inner.depth_multiplier == 1)
    return math.prod(parameter.shape[1:]) == 1
