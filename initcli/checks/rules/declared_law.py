"""I404: custom initializers whose values miss the law that their author declares."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.fitting import fit
from initcli.initializers import Custom
from initcli.measuring import measure

_RARE = 1e-6
"""How improbable values are that do not come from a law."""


class DeclaredLaw(Check):
    """A custom initializer whose values do not follow the law its author declares.

    A function of one's own can say what it means to draw: an attribute `law` names the initializer
    whose law its values follow, by name or with arguments.

        def my_init(shape, dtype=None, rng=None):
            return rng.normal(0, 0.05, shape).astype(dtype)

        my_init.law = {"type": "RandomNormal", "stddev": 0.05}

    The summary then shows that law beside what was drawn, and this check draws each tensor and
    tests it (Kolmogorov–Smirnov). It finds what one does not see: a variance given as a standard
    deviation, fans that were swapped, values that were cut or rounded. A function without a law is
    its author's secret and is left alone.
    """

    code = "I404"
    name = "declared-law"
    why = "what is drawn is not what its author says, as a Kolmogorov–Smirnov test tells"
    custom = '''\
import numpy as np


def my_normal(shape, dtype=None, rng=None):
    """A variance that was taken for a standard deviation."""
    return rng.normal(0.0, 0.05**2, shape).astype(dtype)


my_normal.law = {"type": "RandomNormal", "stddev": 0.05}


def my_uniform(shape, dtype=None, rng=None):
    return rng.uniform(-0.05, 0.05, shape).astype(dtype)


my_uniform.law = "random_uniform"
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
        for layer, parameter in tested:
            law = parameter.law
            assert law is not None
            ((_, seen),) = measure([parameter])
            p_value = fit(law, seen, parameter.dtype).p_value
            if p_value < _RARE / len(tested):
                yield evidence.problem(
                    layer,
                    parameter,
                    message=(
                        f"{parameter.initializer} declares {law.text}, std {law.std:.3g}, and its "
                        f"{parameter.size:,} values have mean {seen.mean:.3g} and std "
                        f"{seen.std:.3g} (p = {p_value:.1g})"
                    ),
                    remedy="mend the function, or declare the law that it follows",
                )
