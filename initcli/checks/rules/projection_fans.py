"""I304: kernels of projections whose fans are counted as those of convolutions."""

from __future__ import annotations

from initcli.checks.base import Finding
from initcli.checks.evidence import Evidence
from initcli.checks.miscounted import Miscounted, MiscountedFans
from initcli.documents.edit import Change
from initcli.layers import attention, einsum
from initcli.model import BuiltLayer
from initcli.parameter import Parameter


class ProjectionFans(MiscountedFans):
    """The fans of a projection's kernel are counted as those of a convolution.

    ## What it does
    Compares the fans that the initializer counts with those of attention and EinsumDense. A query
    kernel has the shape (d, heads, key_dim), and one output is a sum over d inputs. Before version
    3.15 Keras counted d as the window of a convolution: fan_in = d · heads, fan_out = d · key_dim.
    Files of Keras 2 and layers with `fans: convolution` are counted that way.

    ## Why is this bad
    For d = 768, 12 heads and key_dim 64 a Glorot kernel has 0.17 of the standard deviation of a
    (768, 768) matrix, and attention starts almost uniform.

    ## Reported
    ```yaml
    input_shape: [16, 64]
    layers:
      - {type: MultiHeadAttention, num_heads: 4, key_dim: 16, fans: convolution}
    ```

    ## Not reported
    ```yaml
    input_shape: [16, 64]
    layers:
      - {type: MultiHeadAttention, num_heads: 4, key_dim: 16}
    ```

    ## Use instead
    `fans: projection`, or a file of Keras 3.15.

    ## References
    - keras-team/keras#22789, fixed in 3.15
    """

    code = "I304"
    name = "projection-fans"

    def reason(self, parameter: Parameter) -> str | None:
        layer = parameter.owner.layer if parameter.owner else None
        kinds = einsum.EinsumDense | attention.MultiHeadAttention | attention.GroupedQueryAttention
        if not isinstance(layer, kinds):
            return None
        is_counted = layer.fans == "convolution"
        return "it is not a convolution" if is_counted else "it sums over other axes"

    def _finding(
        self,
        evidence: Evidence,
        layer: BuiltLayer,
        parameter: Parameter,
        fans: Miscounted,
        reason: str,
    ) -> Finding:
        finding = super()._finding(evidence, layer, parameter, fans, reason)
        if parameter.owner is None or parameter.owner.layer.fans != "convolution":
            return finding
        return self.finding(
            evidence,
            layer,
            parameter,
            message=finding.message,
            remedy="fans: projection, or a file of Keras 3.15",
            changes=[Change((*finding.path[:-1], "fans"), "projection")],
        )
