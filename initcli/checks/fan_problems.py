"""How problems of miscounted fans are told, and what is written instead."""

from __future__ import annotations

from initcli.checks.base import Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import Miscounted
from initcli.checks.remedies import with_variance
from initcli.model import BuiltLayer


def problem(evidence: Evidence, layer: BuiltLayer, found: Miscounted, reason: str) -> Problem:
    """The problem of a kernel; the remedy has the variance that its initializer means to give."""
    value = with_variance(found.parameter, found.wanted**2)
    return evidence.problem(
        layer,
        found.parameter,
        message=message(found, reason, evidence, layer),
        remedy=evidence.written(found.parameter, value),
        changes=evidence.change(layer, found.parameter, value),
    )


def message(found: Miscounted, reason: str, evidence: Evidence, layer: BuiltLayer) -> str:
    """What is counted, and what that does to the weights."""
    counted, real = found.counted, found.wiring.fans
    text = (
        f"fans are counted as {counted.fan_in:,} and {counted.fan_out:,} where {reason}: they are "
        f"{real.fan_in:,} and {real.fan_out:,}. The std is {found.std:.3g} in place of "
        f"{found.wanted:.3g}"
    )
    if evidence.is_normalized(layer):
        text += "; the normalization behind it hides that"
    return text
