"""I402: standard deviations below what half precision resolves."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.documents.edit import Change
from initcli.model import BuiltLayer
from initcli.parameter import Parameter

_BITS = {"float16": 11, "bfloat16": 8}
"""Bits of the significand."""
_LEAST = {"float16": 2.0**-14, "bfloat16": 2.0**-126}
"""The least number of full precision."""
_STEPS = 2.0
"""How many steps between neighbouring numbers a standard deviation has at least."""


class Resolution(Check):
    """Weights that are drawn finer than their dtype can tell apart.

    A float16 has eleven significant bits down to 6 · 10⁻⁵ and ever fewer below; a bfloat16 has
    eight. Values that differ by less than the step between two neighbouring numbers become the
    same. So a std of 10⁻⁸ is all zeros in float16, one of 10⁻⁶ takes some dozens of values, and a
    scale of N(1, 0.001²) is nothing but ones in bfloat16, where the numbers around 1 are 1/128
    apart.

    Keep such tensors in float32, which a mixed policy does for all weights, or draw them larger.
    """

    code = "I402"
    name = "resolution"
    severity = "warning"
    why = (
        "half precision has few numbers near 0 (float16) or near 1 (bfloat16), which is why master "
        "weights are kept in float32 (Micikevicius et al. 2018, arXiv:1710.03740)"
    )
    triggers = """\
input_shape: [32]
dtype: float16
layers:
  - {type: Dense, units: 32, kernel_initializer: {type: RandomNormal, stddev: 1e-5}}
"""
    passes = """\
input_shape: [32]
dtype: float16
layers:
  - {type: Dense, units: 32, kernel_initializer: {type: RandomNormal, stddev: 1e-4}}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            distribution = parameter.distribution
            if parameter.dtype not in _BITS or distribution is None or not distribution.std > 0:
                continue
            least = _LEAST[parameter.dtype]
            step = 2.0 ** (1 - _BITS[parameter.dtype]) * max(
                2.0 ** math.floor(math.log2(max(abs(distribution.mean), least))), least
            )
            if distribution.std < _STEPS * step or distribution.std < least:
                yield self._problem(evidence, layer, parameter, step)

    @staticmethod
    def _problem(
        evidence: Evidence, layer: BuiltLayer, parameter: Parameter, step: float
    ) -> Problem:
        distribution = parameter.distribution
        assert distribution is not None
        lost = distribution.std < step / 2
        message = (
            f"{distribution.text} has a std of {distribution.std:.2g}, and numbers of "
            f"{parameter.dtype} near "
            f"{distribution.mean:.3g} are {step:.2g} apart"
        )
        message += ": nearly all entries become the same" if lost else ""
        policy = "mixed_float16" if parameter.dtype == "float16" else "mixed_bfloat16"
        return evidence.problem(
            layer,
            parameter,
            message=message,
            remedy=f"dtype: {policy}, whose weights are float32",
            changes=[Change((*layer.path, "dtype"), policy)],
            severity="error" if lost else None,
        )
