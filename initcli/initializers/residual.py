"""Initializers of residual branches, which shrink with the number of branches."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from initcli.distributions import Distribution
from initcli.initializers.random import Scaled, scaled
from initcli.types import ArgumentError, PositiveInt, doc


class DeepNorm(Scaled, frozen=True, kw_only=True):
    """N(0, 2β² / (fan_in + fan_out)): DeepNet's value, output and feed-forward kernels.

    Query and key kernels have β = 1, as GlorotNormal. The stream is multiplied by α before each
    sum, and a normalization follows. An encoder of N layers, or a decoder of N, has α = (2N)^(1/4)
    and β = (8N)^(-1/4). With both, the encoder has α = 0.81 (N⁴M)^(1/16) and
    β = 0.87 (N⁴M)^(-1/16), and the decoder of M layers α = (3M)^(1/4) and β = (12M)^(-1/4).
    (Wang et al. 2022, arXiv:2203.00555, figure 2.)
    """

    aliases = ("deepnorm",)

    encoder_layers: Annotated[
        PositiveInt | None, doc("Layers of the encoder, if there is one.")
    ] = None
    decoder_layers: Annotated[
        PositiveInt | None, doc("Layers of the decoder, if there is one.")
    ] = None
    stack: Annotated[
        Literal["encoder", "decoder"] | None,
        doc("Which of the two the kernel is in; needed where there are both."),
    ] = None

    def __post_init__(self) -> None:
        n, m = self.encoder_layers, self.decoder_layers
        if n is None and m is None:
            raise ArgumentError(
                "encoder_layers",
                "DeepNorm needs the number of layers",
                "such as `encoder_layers: 12`, or `decoder_layers: 12` for a decoder",
            )
        if self.stack is None and n and m:
            raise ArgumentError(
                "stack",
                "DeepNorm needs to know whether the kernel is in the encoder or in the decoder",
                "add `stack: encoder` or `stack: decoder`",
            )
        if self.stack is not None and {"encoder": n, "decoder": m}[self.stack] is None:
            raise ArgumentError(
                "stack",
                f"DeepNorm's `stack` is {self.stack}, whose number of layers is not given",
                f"add `{self.stack}_layers`",
            )

    @property
    def alpha(self) -> float:
        """Factor of the stream before each sum."""
        n, m = self.encoder_layers, self.decoder_layers
        if n and m:
            return 0.81 * _mean_root(n, m) if self.stack == "encoder" else _fourth_root(3 * m)
        return _fourth_root(2 * (n or m or 1))

    @property
    def beta(self) -> float:
        """Factor of the kernel."""
        n, m = self.encoder_layers, self.decoder_layers
        if n and m:
            return 0.87 / _mean_root(n, m) if self.stack == "encoder" else 1 / _fourth_root(12 * m)
        return 1 / _fourth_root(8 * (n or m or 1))

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return scaled(fans, self.beta**2, "fan_avg", "untruncated_normal")


class Fixup(Scaled, frozen=True, kw_only=True):
    """N(0, 2 L^(-1/(m − 1)) / fan): the kernels of L residual branches of m layers each.

    That is He's standard deviation times L^(-1/(2m − 2)), for all kernels of a branch except the
    last. The last kernel, and that of the classifier, start at 0 (Zhang et al. 2019,
    arXiv:1901.09321, section 3).
    """

    branches: Annotated[PositiveInt, doc("Number L of residual branches of the model.")]
    branch_layers: Annotated[
        int, msgspec.Meta(ge=2), doc("Number m of layers with kernels in a branch.")
    ] = 2
    mode: Annotated[
        Literal["fan_in", "fan_out"],
        doc("The fan of He's rule; the authors' code takes `fan_out` for convolutions."),
    ] = "fan_in"

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        scale = 2 * math.exp(-math.log(self.branches) / (self.branch_layers - 1))
        return scaled(fans, scale, self.mode, "untruncated_normal")


def _fourth_root(x: int) -> float:
    return math.exp(math.log(x) / 4)  # Integers may be larger than any float.


def _mean_root(n: int, m: int) -> float:
    """(N⁴M)^(1/16)."""
    return math.exp((4 * math.log(n) + math.log(m)) / 16)
