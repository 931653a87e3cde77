"""What stored values are to the distribution that is declared for them."""

from __future__ import annotations

from typing import Literal, cast

from initcli.measuring.fit import fit
from initcli.measuring.measurement import Measurement
from initcli.parameter import Parameter
from initcli.types import TensorDtype

SURE = 1e-6
"""Probability below which values do not follow their distribution: one true tensor in a million."""

Standing = Literal["follows", "differs", "not finite"]


def standing(parameter: Parameter, seen: Measurement | None) -> Standing | None:
    """Whether stored values follow their initial distribution; None where there is nothing to say.

    Values that should be constant follow only if all are; others if a Kolmogorov–Smirnov test does
    not refuse them with a probability below :data:`SURE`.
    """
    distribution = parameter.distribution
    if parameter.stored is None or distribution is None or seen is None:
        return None
    if seen.nans or seen.infs:
        return "not finite"
    if not seen.count:
        return None
    copies = parameter.initializer.copies(parameter.shape)
    tested = fit(distribution, seen, cast(TensorDtype, parameter.stored.dtype), copies)
    agrees = tested.p_value >= SURE if distribution.std else tested.statistic == 0
    return "follows" if agrees else "differs"
