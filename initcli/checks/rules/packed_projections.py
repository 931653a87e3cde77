"""I305: projections whose initializer takes several of them for one matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.graph import Graph
from initcli.checks.remedies import with_variance
from initcli.initializers import GlorotUniform, Scaled
from initcli.layers import attention, core, einsum, operations
from initcli.model import BuiltLayer

_PARTS = ("query/kernel", "key/kernel", "value/kernel")


class PackedProjections(Check):
    """Query, key and value that are drawn as one packed matrix.

    PyTorch's MultiheadAttention keeps the kernels of query, key and value in one matrix (3d, d) and
    gives it to Glorot's rule, which takes 3d for its fan-out. Each of the three has only d outputs:
    the weights are drawn with 0.71 of the standard deviation that Glorot's rule gives a projection
    by itself, and that PyTorch itself gives them where keys and values have another width.

    The same happens to any Dense layer of three times the width whose output is split in three,
    with an initializer that counts the fan-out.
    """

    code = "I305"
    name = "packed-projections"
    severity = "warning"
    why = (
        "each projection has its own fan-out, whatever matrix it is stored in "
        "(pytorch/pytorch#166378)"
    )
    triggers = """\
input_shape: [16, 64]
defaults: torch
layers:
  - {type: MultiHeadAttention, num_heads: 4, key_dim: 16}
"""
    passes = """\
input_shape: [16, 64]
defaults: torch
layers:
  - {type: MultiHeadAttention, num_heads: 4, key_dim: 16, kernel_initializer: glorot_uniform}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer in evidence.layers:
            if isinstance(layer.layer, attention.MultiHeadAttention):
                yield from self._of_attention(evidence, layer)
            elif isinstance(layer.layer, core.Dense | einsum.EinsumDense) and evidence.graph:
                yield from self._of_split(evidence, evidence.graph, layer)

    @staticmethod
    def _of_attention(evidence: Evidence, layer: BuiltLayer) -> Iterator[Problem]:
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
        yield evidence.problem(
            layer,
            first,
            message=(
                f"query, key and value are drawn as one matrix of fan_out {packed:,}: std "
                f"{first.distribution.std:.3g}, and {wanted:.3g} with the {own:,} outputs that "
                f"each has"
            ),
            remedy=evidence.written(first, "glorot_uniform"),
            changes=evidence.change(layer, first, "glorot_uniform"),
        )

    @staticmethod
    def _of_split(evidence: Evidence, graph: Graph, layer: BuiltLayer) -> Iterator[Problem]:
        kernel, indices = evidence.kernel(layer), evidence.steps_of.get(layer.name)
        if kernel is None or not indices or not isinstance(kernel.initializer, Scaled):
            return
        parts = _parts(graph, indices[0])
        fans = kernel.fans
        distribution = kernel.initializer.distribution_of_fans(fans)
        own = kernel.initializer.distribution_of_fans(fans._replace(fan_out=fans.fan_out // parts))
        if own == distribution:
            return
        value = with_variance(kernel, own.std**2)
        yield evidence.problem(
            layer,
            kernel,
            message=(
                f"what comes out is split in {parts}, and the kernel drawn as one of fan_out "
                f"{fans.fan_out:,}: std {distribution.std:.3g}, and {own.std:.3g} for each by "
                f"itself"
            ),
            remedy=evidence.written(kernel, value),
            changes=evidence.change(layer, kernel, value),
        )


def _parts(graph: Graph, index: int) -> int:
    """In how many equal parts what comes out of a step is split, on its last axis."""
    behind = graph.behind(index)
    if len(behind) != 1:
        return 1
    step = graph.steps[behind[0]]
    if isinstance(step.layer, operations.Operation) and step.layer.function == "Split":
        sizes = {graph.size(tensor)[-1] for tensor in step.outputs}
        whole = graph.size(step.inputs[0])[-1]
        return len(step.outputs) if sizes == {whole // len(step.outputs)} else 1
    return 1
