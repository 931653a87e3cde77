"""The moments of a parameter's entries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from initcli.distributions import Distribution, TruncatedNormal, Uniform
from initcli.initializers import NormOf, Rescaled
from initcli.initializers.orthogonal import Orthogonal
from initcli.parameter import Parameter


class Weight(NamedTuple):
    """Mean and variance of a parameter's entries, and whether its columns are orthogonal.

    ``kurtosis`` is E[(w − μ)⁴] / Var[w]², 3 for normal entries.
    """

    mean: float
    variance: float
    orthogonal: bool = False
    kurtosis: float = 3.0

    @property
    def second(self) -> float:
        """E[w²]."""
        return self.variance + self.mean**2


Moments = Callable[[Parameter], Weight | None]
"""Gives the moments of a parameter's entries; None where they are not known."""


def distribution_moments(parameter: Parameter) -> Weight | None:
    """The moments of an entry times its multiplier, by its distribution.

    A norm of many independent entries is nearly the root of its mean square.
    """
    made = parameter.initializer
    if isinstance(made, Rescaled):
        made = made.declared
    if isinstance(made, NormOf) and made.source_distribution is not None:
        source = made.source_distribution
        return Weight(math.sqrt(made.count * (source.std**2 + source.mean**2)), 0.0)
    distribution = parameter.distribution
    if distribution is None:
        return None
    mean, std = (parameter.multiplier * each for each in (distribution.mean, distribution.std))
    return Weight(mean, std**2, isinstance(made, Orthogonal), _kurtosis(distribution))


def _kurtosis(distribution: Distribution) -> float:
    """E[(w − μ)⁴] / Var[w]² of uniform and truncated normal entries; 3 for all others."""
    if isinstance(distribution, Uniform):
        return 1.8
    if not isinstance(distribution, TruncatedNormal):
        return 3.0
    # With bounds ±b, E[z²] = 1 − 2bφ(b)/Z and E[z⁴] = 3 E[z²] − 2b³φ(b)/Z.
    b = min(map(abs, distribution.bounds))
    end = 2 * b * math.exp(-b * b / 2) / math.sqrt(2 * math.pi) / math.erf(b / math.sqrt(2))
    return (3 * (1 - end) - b * b * end) / (1 - end) ** 2
