"""What stored values are to the distribution that is declared for them."""

from __future__ import annotations

from typing import Literal, cast

from initcli.measuring.fit import fit
from initcli.measuring.measurement import Measurement
from initcli.parameter import Parameter
from initcli.types import TensorDtype

SURE = 1e-6
"""Probability below which values do not follow their distribution: one true tensor in a million."""

_ROUNDING = 2.0**-8
"""Of a constant that was stored in bfloat16 before."""

Standing = Literal["follows", "differs", "not finite"]


def standing(parameter: Parameter, seen: Measurement | None) -> Standing | None:
    """Whether stored values follow their initial distribution; None where there is nothing to say.

    Values that should be constant follow only if all are, to the digits of bfloat16; others if a
    Kolmogorov–Smirnov test does not refuse them with a probability below :data:`SURE`.
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
