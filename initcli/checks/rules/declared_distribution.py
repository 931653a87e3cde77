"""I404: custom initializers whose values do not follow their declared distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.initializers import Custom
from initcli.measuring.fit import DOUBTFUL, fit
from initcli.measuring.measure import measure


class DeclaredDistribution(Check):
    """The values of a custom initializer do not follow the distribution that it declares.

    ## What it does
    A function declares the distribution of its values with an attribute `distribution`: an
    initializer, by name or with arguments. This check draws each tensor and tests its values
    against that distribution (Kolmogorov–Smirnov). Functions without a declaration are skipped.

    Of m tested tensors, those with the k smallest p-values are reported for the largest k whose p
    is below 0.001 k / m. So a correct model has a false alarm for one seed in a thousand, however
    many tensors it has.

    ## Why is this bad
    The weights do not have the intended distribution: a variance was passed as a standard
    deviation, fans were swapped, or values were clipped or rounded.

    ## With these initializers
    ```python
    import numpy as np


    def my_normal(shape, dtype=None, rng=None):
        # A variance passed as a standard deviation.
        return rng.normal(0.0, 0.05**2, shape).astype(dtype)


    my_normal.distribution = {"type": "RandomNormal", "stddev": 0.05}


    def my_uniform(shape, dtype=None, rng=None):
        return rng.uniform(-0.05, 0.05, shape).astype(dtype)


    my_uniform.distribution = "random_uniform"
    ```

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, kernel_initializer: my_normal}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, kernel_initializer: my_uniform}
    ```

    ## Use instead
    Fix the function, or declare the distribution that it follows.

    ## References
    - Benjamini, Hochberg 1995, Controlling the false discovery rate,
      doi:10.1111/j.2517-6161.1995.tb02031.x
    """

    code = "I404"
    name = "declared-distribution"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        tested = []
        for layer, parameter in evidence.parameters:
            custom, distribution = parameter.initializer, parameter.distribution
            if not isinstance(custom, Custom) or custom.declared is None or distribution is None:
                continue
            ((_, measured),) = measure([parameter])
            p_value = fit(distribution, measured, parameter.dtype).p_value
            tested.append((layer, parameter, distribution, measured, p_value))
        limit = _largest_doubtful([p_value for *_, p_value in tested])
        for layer, parameter, distribution, measured, p_value in tested:
            if p_value <= limit:
                yield self.finding(
                    evidence,
                    layer,
                    parameter,
                    message=(
                        f"{parameter.initializer} declares {distribution.text}, std "
                        f"{distribution.std:.3g}, but its {parameter.size:,} values have mean "
                        f"{measured.mean:.3g} and std {measured.std:.3g} (p = {p_value:.1g})"
                    ),
                    remedy="fix the function, or declare the distribution that it follows",
                )


def _largest_doubtful(p_values: Sequence[float]) -> float:
    """The largest p-value that is too small for chance (Benjamini–Hochberg); -1 if none is."""
    share = DOUBTFUL / max(len(p_values), 1)
    ranked = enumerate(sorted(p_values), 1)
    return max((p for k, p in ranked if p < share * k), default=-1.0)
