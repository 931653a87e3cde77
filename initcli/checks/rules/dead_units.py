"""I205: units that are 0 for every input."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence


class DeadUnits(Check):
    """Units of ReLU are 0 for every example.

    ## What it does
    Counts the units of a ReLU that are 0 for a whole batch. Reports clearly more than 60 % of the
    units, or more than 95 % of zero outputs: as an error if less than 1 % of the units are left,
    otherwise as a warning. In a deep network with good initializers up to half of the units may be
    0: examples become similar with depth, so a unit is on or off for all of them.

    ## Why is this bad
    The slope of a ReLU is 0 where its output is 0. A unit that is 0 for every example gets no
    gradient and never changes. A bias far below 0, or a kernel with a mean far below 0, does that
    to many units at once.

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - type: Dense
        units: 128
        activation: relu
        kernel_initializer: he_normal
        bias_initializer: {type: Constant, value: -3.0}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - type: Dense
        units: 128
        activation: relu
        kernel_initializer: he_normal
        bias_initializer: {type: Constant, value: -1.6}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    A bias of zeros, or an activation with a slope for negative inputs, such as `leaky_relu`.

    ## References
    - Lu, Shin, Su, Karniadakis 2020, Dying ReLU and initialization, arXiv:1903.06733
    """

    code = "I205"
    name = "dead-units"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        if judgment is None or (shares := judgment.activity.dead) is None:
            return
        name, maker = judgment.graph.steps[shares.step].name, evidence.maker(shares.step)
        layer = evidence.layer_of(maker)
        rescaling = evidence.rescaled([maker])
        bias = next((one.bias for one in rescaling.solved if one.bias), None)
        if shares.dead is None:
            message = f"{shares.zeros:.0%} of the output of {name} is 0 ({judgment.basis})"
        else:
            message = f"{shares.dead:.0%} of {name}'s units are 0 for a whole batch"
        yield self.finding(
            evidence,
            layer,
            bias or evidence.first_kernel(layer),
            message=message,
            remedy=rescaling.text,
            advice="raise the bias, or use an activation with a slope for negative inputs",
            changes=rescaling.changes,
            severity=None if judgment.activity.dies else "warning",
        )
