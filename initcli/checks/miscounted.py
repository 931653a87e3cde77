"""Base of the checks for initializers whose fans differ from those of the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.remedies import with_variance
from initcli.initializers import Scaled
from initcli.initializers.base import Fans
from initcli.model import BuiltLayer
from initcli.parameter import Parameter

_NEAR = 0.05
"""Relative difference of two standard deviations below which they are the same."""


class Miscounted(NamedTuple):
    """The fans that an initializer counts, and the true ones.

    ``std`` is the standard deviation with the counted fans, ``wanted`` that with the true ones.
    """

    counted: Fans
    true: Fans
    std: float
    wanted: float


def miscounted(parameter: Parameter) -> Miscounted | None:
    """The fans of a parameter, if miscounting changes its standard deviation."""
    initializer, true = parameter.initializer, parameter.wired_fans
    if true is None or not isinstance(initializer, Scaled):
        return None
    axes, (inputs, _) = initializer.input_axes, parameter.fan_axes
    if axes is not None and parameter.entries_on(axes) == parameter.entries_on(inputs):
        return None  # The user has named the summed axes.
    counted = initializer.fans(parameter.shape)
    std, wanted = (initializer.distribution_of_fans(fans).std for fans in (counted, true))
    if abs(math.log(std / wanted)) < _NEAR:
        return None
    return Miscounted(counted, true, std, wanted)


class MiscountedFans(Check):
    """Base of checks of layers whose fans initializers miscount."""

    registered = False
    severity = "warning"

    def reason(self, parameter: Parameter) -> str | None:
        """Why fans of this kind are miscounted; None for parameters of another kind."""
        raise NotImplementedError

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.parameters:
            reason = self.reason(parameter)
            if reason is not None and (fans := miscounted(parameter)) is not None:
                yield self._finding(evidence, layer, parameter, fans, reason)

    def _finding(
        self,
        evidence: Evidence,
        layer: BuiltLayer,
        parameter: Parameter,
        fans: Miscounted,
        reason: str,
    ) -> Finding:
        counted, true = fans.counted, fans.true
        message = (
            f"fans are counted as {counted.fan_in:,} and {counted.fan_out:,}, but {reason}: they "
            f"are {true.fan_in:,} and {true.fan_out:,}. The std is {fans.std:.3g} in place of "
            f"{fans.wanted:.3g}"
        )
        if evidence.is_normalized(layer):
            message += "; the normalization after it hides that"
        return self.finding(
            evidence,
            layer,
            parameter,
            message=message,
            initializer=with_variance(parameter, fans.wanted**2),
        )
