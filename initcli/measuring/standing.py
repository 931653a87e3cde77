"""Whether stored values still follow their declared distribution."""

from __future__ import annotations

from typing import Literal, cast

from initcli.measuring.fit import fit
from initcli.measuring.measurement import Measurement
from initcli.parameter import Parameter
from initcli.types import TensorDtype

SURE = 1e-6
"""p-value below which values do not follow their distribution: one true tensor in a million."""

_ROUNDING = 2.0**-8
"""Relative error of a constant that was once stored in bfloat16."""

Standing = Literal["follows", "differs", "not finite"]


def standing(parameter: Parameter, seen: Measurement | None) -> Standing | None:
    """Whether stored values follow their initial distribution; None if that is unknown.

    Values of a declared constant follow if all equal it to the precision of bfloat16; others if the
    p-value of a Kolmogorov–Smirnov test is at least :data:`SURE`.
    """
    distribution = parameter.distribution
    if parameter.stored is None or distribution is None or seen is None:
        return None
    if seen.nans or seen.infs:
        return "not finite"
    if not seen.count:
        return None
    if seen.min == seen.max and abs(seen.min - distribution.mean) <= _ROUNDING * abs(seen.min):
        return "follows" if not distribution.std else "differs"
    copies = parameter.initializer.copies(parameter.shape)
    tested = fit(distribution, seen, cast(TensorDtype, parameter.stored.dtype), copies)
    agrees = tested.p_value >= SURE if distribution.std else tested.statistic == 0
    return "follows" if agrees else "differs"
