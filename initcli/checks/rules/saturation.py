"""I204: activations that are saturated from the start."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.signal.observing import output_bounds
from initcli.signal.thresholds import SHUT


class Saturation(Check):
    """Most entries of an activation lie at its bounds.

    ## What it does
    Counts the entries of bounded activations (tanh, sigmoid) that lie within 0.01 of a bound.
    Reports more than 40 % as a warning and more than 95 % as an error, in the median over draws or
    by the predicted distribution of the sums; for standard normal sums it is less than 1 %. An
    output of the model that is saturated by its bias alone, such as the log odds of a rare class,
    is not reported: the gradient of a loss of log-probabilities does not vanish there. What enters
    the state of an LSTM or GRU at the first step counts from 95 % on.

    ## Why is this bad
    The slope at a bound is nearly 0, and so is the gradient through it. The sums are too large,
    because the kernel's variance does not decrease with the number of inputs, or the bias is large.

    ## Reported
    ```yaml
    input_shape: [256]
    layers:
      - type: Dense
        units: 256
        activation: tanh
        kernel_initializer: {type: RandomNormal, stddev: 0.25}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [256]
    layers:
      - type: Dense
        units: 256
        activation: tanh
        kernel_initializer: {type: RandomNormal, stddev: 0.17}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    A variance that decreases with the fan-in, as that of `glorot_uniform`, and a bias of zeros.

    ## References
    - Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural
      networks, proceedings.mlr.press/v9/glorot10a
    """

    code = "I204"
    name = "saturation"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        for shares in judgment.activity.saturated if judgment is not None else ():
            assert judgment is not None
            step, maker = judgment.graph.steps[shares.step], evidence.maker(shares.step)
            layer = evidence.layer_of(maker)
            rescaling = evidence.rescaled([maker])
            kernel = rescaling.kernel_of(layer) or evidence.first_kernel(layer)
            bounds = [f"{each:g}" for each in output_bounds(step.layer) or () if each is not None]
            what = "what enters the state" if shares.enters else "the output"
            yield self.finding(
                evidence,
                layer,
                kernel,
                message=(
                    f"{shares.saturated:.0%} of {what} of {step.name} lies at the bounds "
                    f"{' and '.join(bounds)} of its activation ({judgment.basis})"
                ),
                initializer=(
                    None if rescaling.text or kernel is None else evidence.suitable(layer, kernel)
                ),
                remedy=rescaling.text,
                advice="scale down the layers before it, and start its bias at 0",
                changes=rescaling.changes,
                severity=None if (shares.saturated or 0.0) > SHUT else "warning",
            )
