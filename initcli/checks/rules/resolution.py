"""I402: standard deviations below the resolution of half precision."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.documents.edit import Change

_BITS = {"float16": 11, "bfloat16": 8}
"""Bits of the significand."""
_SMALLEST = {"float16": 2.0**-14, "bfloat16": 2.0**-126}
"""The smallest normal number."""
_MIN_STEPS = 2.0
"""Minimum standard deviation, in steps between neighboring numbers."""


class Resolution(Check):
    """The standard deviation of weights is below the resolution of their dtype.

    ## What it does
    Compares the standard deviation of half-precision weights with the step between neighboring
    numbers around their mean. A float16 has eleven significant bits down to 6 · 10⁻⁵ and fewer
    below; a bfloat16 has eight.

    ## Why is this bad
    Values that differ by less than a step become equal. In float16 a std of 10⁻⁸ gives all zeros,
    and one of 10⁻⁶ a few dozen different values. In bfloat16, whose numbers around 1 are 1/128
    apart, N(1, 0.001²) gives only ones.

    ## Reported
    ```yaml
    input_shape: [32]
    dtype: float16
    layers:
      - {type: Dense, units: 32, kernel_initializer: {type: RandomNormal, stddev: 1e-5}}
    ```

    ## Not reported
    ```yaml
    input_shape: [32]
    dtype: float16
    layers:
      - {type: Dense, units: 32, kernel_initializer: {type: RandomNormal, stddev: 1e-4}}
    ```

    ## Use instead
    A mixed policy, which keeps weights in float32, or a larger standard deviation.

    ## References
    - Micikevicius et al. 2018, Mixed precision training, arXiv:1710.03740
    """

    code = "I402"
    name = "resolution"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.parameters:
            distribution, dtype = parameter.distribution, parameter.dtype
            if dtype not in _BITS or distribution is None or not distribution.std > 0:
                continue
            smallest = _SMALLEST[dtype]
            magnitude = 2.0 ** math.floor(math.log2(max(abs(distribution.mean), smallest)))
            step = 2.0 ** (1 - _BITS[dtype]) * max(magnitude, smallest)
            if distribution.std >= max(_MIN_STEPS * step, smallest):
                continue
            is_lost = distribution.std < step / 2
            policy = f"mixed_{dtype}"
            yield self.finding(
                evidence,
                layer,
                parameter,
                message=(
                    f"{distribution.text} has a std of {distribution.std:.2g}, but {dtype} numbers "
                    f"near {distribution.mean:.3g} are {step:.2g} apart"
                    + ": nearly all entries become equal"
                    * is_lost
                ),
                remedy=f"dtype: {policy}, whose weights are float32",
                changes=[Change((*layer.path, "dtype"), policy)],
                severity="error" if is_lost else None,
            )
