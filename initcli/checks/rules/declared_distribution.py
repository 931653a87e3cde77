"""I404: custom initializers whose values miss the distribution that their author declares."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.distributions import Distribution
from initcli.initializers import Custom
from initcli.measuring.fit import DOUBTFUL, Fit, fit
from initcli.measuring.measurement import Measurement, measure


class DeclaredDistribution(Check):
    """A custom initializer whose values do not follow the distribution its author declares.

    A function of one's own can say what it means to draw: an attribute `distribution` names the
    initializer whose distribution its values follow, by name or with arguments.

        def my_init(shape, dtype=None, rng=None):
            return rng.normal(0, 0.05, shape).astype(dtype)

        my_init.distribution = {"type": "RandomNormal", "stddev": 0.05}

    The summary then shows that distribution beside what was drawn, and this check draws each tensor
    and tests it (Kolmogorov–Smirnov). It finds what one does not see: a variance given as a
    standard deviation, fans that were swapped, values that were cut or rounded. A function without
    a distribution is its author's secret and is left alone.

    What `summary` marks as a poor fit is found: p below 0.001. Where a model has several such
    tensors, the k-th smallest p of m is held against 0.001 k / m (Benjamini and Hochberg 1995,
    doi:10.1111/j.2517-6161.1995.tb02031.x), so that a model whose functions are all right has a
    false alarm for one seed in a thousand, however many tensors they fill.
    """

    code = "I404"
    name = "declared-distribution"
    why = "what is drawn is not what its author says, as a Kolmogorov–Smirnov test tells"
    custom = '''\
import numpy as np


def my_normal(shape, dtype=None, rng=None):
    """A variance that was taken for a standard deviation."""
    return rng.normal(0.0, 0.05**2, shape).astype(dtype)


my_normal.distribution = {"type": "RandomNormal", "stddev": 0.05}


def my_uniform(shape, dtype=None, rng=None):
    return rng.uniform(-0.05, 0.05, shape).astype(dtype)


my_uniform.distribution = "random_uniform"
'''
    triggers = """\
input_shape: [64]
layers:
  - {type: Dense, units: 64, kernel_initializer: my_normal}
"""
    passes = """\
input_shape: [64]
layers:
  - {type: Dense, units: 64, kernel_initializer: my_uniform}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        tested = [
            (layer, each)
            for layer, each in evidence.parameters
            if isinstance(each.initializer, Custom) and each.initializer.declared is not None
        ]
        found: list[tuple[Distribution, Measurement, Fit]] = []
        for _, parameter in tested:
            distribution = parameter.distribution
            assert distribution is not None
            ((_, seen),) = measure([parameter])
            found.append((distribution, seen, fit(distribution, seen, parameter.dtype)))
        most = _least_probable([each.p_value for _, _, each in found])
        for (layer, parameter), (distribution, seen, fitted) in zip(tested, found, strict=True):
            if fitted.p_value <= most:
                yield evidence.problem(
                    layer,
                    parameter,
                    message=(
                        f"{parameter.initializer} declares {distribution.text}, std "
                        f"{distribution.std:.3g}, and its "
                        f"{parameter.size:,} values have mean {seen.mean:.3g} and std "
                        f"{seen.std:.3g} (p = {fitted.p_value:.1g})"
                    ),
                    remedy="mend the function, or declare the distribution that it follows",
                )


def _least_probable(p_values: list[float]) -> float:
    """The largest of the p-values that are too small for chance, or less than all of them."""
    share = DOUBTFUL / max(len(p_values), 1)
    ranked = enumerate(sorted(p_values), 1)
    return max((p for k, p in ranked if p < share * k), default=-1.0)
