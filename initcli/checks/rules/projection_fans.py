"""I304: kernels of projections that are read as those of convolutions."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks import fan_problems
from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import miscounted
from initcli.documents.edit import Change
from initcli.layers import attention, einsum


class ProjectionFans(Check):
    """Kernels of attention and EinsumDense whose fans are counted as those of convolutions.

    The query kernel of an attention has the shape (d, heads, key_dim), and one output is a sum over
    d inputs. Before version 3.15 Keras took every kernel of three axes for a convolution's, with d
    as the window: fan_in = d · heads and fan_out = d · key_dim. Weights are then too small: with
    d = 768, 12 heads and key_dim 64 a Glorot kernel has a 0.17th of the standard deviation that it
    would have as a matrix (768, 768), and attention starts out almost blind.

    Files of Keras 2 are read that way here, and so is a layer with `fans: convolution`.
    """

    code = "I304"
    name = "projection-fans"
    severity = "warning"
    why = (
        "a projection sums over its input axes only; Keras mended it in 3.15 "
        "(keras-team/keras#22789)"
    )
    triggers = """\
input_shape: [16, 64]
layers:
  - {type: MultiHeadAttention, num_heads: 4, key_dim: 16, fans: convolution}
"""
    passes = """\
input_shape: [16, 64]
layers:
  - {type: MultiHeadAttention, num_heads: 4, key_dim: 16}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            owner = parameter.owner
            kinds = einsum.EinsumDense | attention.MultiHeadAttention
            if owner is None or not isinstance(
                owner.layer, kinds | attention.GroupedQueryAttention
            ):
                continue
            if (found := miscounted(parameter)) is None:
                continue
            if owner.layer.fans != "convolution":
                reason = "it sums over other axes"
                yield fan_problems.problem(evidence, layer, found, reason)
                continue
            path = evidence.path(layer, parameter)[:-1]
            yield evidence.problem(
                layer,
                parameter,
                message=fan_problems.message(found, "it is no convolution", evidence, layer),
                remedy="fans: projection, or a file of Keras 3.15",
                changes=[Change((*path, "fans"), "projection")],
            )
