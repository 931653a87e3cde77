"""I305: projections that are drawn as one packed matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.remedies import with_variance
from initcli.initializers import GlorotUniform, Scaled
from initcli.layers import attention, core, einsum, operations
from initcli.model import BuiltLayer
from initcli.signal.graph import Graph

_PARTS = ("query/kernel", "key/kernel", "value/kernel")


class PackedProjections(Check):
    """Query, key and value are drawn as one packed matrix.

    ## What it does
    Looks for attention layers whose three projections have the bound of one matrix, as PyTorch's
    MultiheadAttention draws them, and for Dense layers whose output is split into equal parts and
    whose initializer uses the fan-out.

    ## Why is this bad
    Each projection has d outputs, regardless of how it is stored. Glorot's rule counts 3d as the
    fan-out and draws weights with 0.71 of the standard deviation of a separate projection, which
    PyTorch uses when keys and values have another width.

    ## Reported
    ```yaml
    input_shape: [16, 64]
    defaults: torch
    layers:
      - {type: MultiHeadAttention, num_heads: 4, key_dim: 16}
    ```

    ## Not reported
    ```yaml
    input_shape: [16, 64]
    defaults: torch
    layers:
      - {type: MultiHeadAttention, num_heads: 4, key_dim: 16, kernel_initializer: glorot_uniform}
    ```

    ## Use instead
    `glorot_uniform` for each projection, or an initializer that scales by the fan-in.

    ## References
    - pytorch/pytorch#166378
    """

    code = "I305"
    name = "packed-projections"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer in evidence.layers:
            if isinstance(layer.layer, attention.MultiHeadAttention):
                yield from self._of_attention(evidence, layer)
            elif isinstance(layer.layer, core.Dense | einsum.EinsumDense) and evidence.graph:
                yield from self._of_split(evidence, evidence.graph, layer)

    def _of_attention(self, evidence: Evidence, layer: BuiltLayer) -> Iterator[Finding]:
        kernels = [p for p in layer.parameters if p.owner and p.owner.name in _PARTS]
        if len(kernels) < 3 or len({kernel.shape[0] for kernel in kernels}) > 1:
            return
        first = kernels[0]
        inputs, own = first.shape[0], math.prod(first.shape[1:])
        packed = sum(math.prod(kernel.shape[1:]) for kernel in kernels)
        bound = math.sqrt(6 / (inputs + packed))
        if first.distribution is None or not math.isclose(
            first.distribution.support[1], bound, rel_tol=1e-6
        ):
            return
        wanted = GlorotUniform().distribution_for((inputs, own)).std
        yield self.finding(
            evidence,
            layer,
            first,
            message=(
                f"query, key and value are drawn as one matrix with fan_out {packed:,}: std "
                f"{first.distribution.std:.3g} instead of {wanted:.3g} for {own:,} outputs each"
            ),
            initializer="glorot_uniform",
        )

    def _of_split(self, evidence: Evidence, graph: Graph, layer: BuiltLayer) -> Iterator[Finding]:
        kernel, indices = evidence.first_kernel(layer), evidence.steps_of.get(layer.name)
        if kernel is None or not indices or not isinstance(kernel.initializer, Scaled):
            return
        parts = _parts(graph, indices[0])
        fans = kernel.fans
        distribution = kernel.initializer.distribution_of_fans(fans)
        own = kernel.initializer.distribution_of_fans(fans._replace(fan_out=fans.fan_out // parts))
        if own == distribution:
            return
        yield self.finding(
            evidence,
            layer,
            kernel,
            message=(
                f"the output is split into {parts} parts, but the kernel drawn with fan_out "
                f"{fans.fan_out:,}: std {distribution.std:.3g} instead of {own.std:.3g} for each"
            ),
            initializer=with_variance(kernel, own.std**2),
        )


def _parts(graph: Graph, index: int) -> int:
    """The number of equal parts into which the output of a step is split along its last axis."""
    after = graph.successors(index)
    step = graph.steps[after[0]] if len(after) == 1 else None
    if step is None or not isinstance(step.layer, operations.Operation):
        return 1
    count = len(step.outputs)
    sizes = {graph.size(tensor)[-1] for tensor in step.outputs}
    is_split = step.layer.function == "Split"
    return count if is_split and sizes == {graph.size(step.inputs[0])[-1] // count} else 1
