"""I403: LSTMs whose forget gate starts half closed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.documents.edit import Change
from initcli.initializers import Chrono, Joined
from initcli.parameter import Parameter

_MIN_MEAN = 0.5
"""Minimum mean of the bias of an open forget gate."""


class ForgetBias(Check):
    """The forget gate of an LSTM has no positive bias.

    ## What it does
    Looks for LSTMs whose forget gate has no bias, or a bias with a mean below 0.5. Keras adds 1 by
    default (`unit_forget_bias`); PyTorch and Flax do not.

    ## Why is this bad
    At every step the forget gate multiplies the cell state by sigmoid(bias + …). For a bias of 0
    that is about one half: ten steps leave a thousandth of the state, and of the gradient through
    it. Many LSTMs still train on short sequences.

    ## Reported
    ```yaml
    input_shape: [32, 8]
    layers:
      - {type: LSTM, units: 64, unit_forget_bias: false}
    ```

    ## Not reported
    ```yaml
    input_shape: [32, 8]
    layers:
      - {type: LSTM, units: 64}
    ```

    ## Use instead
    `unit_forget_bias: true`, or the Chrono initializer for long sequences.

    ## References
    - Jozefowicz, Zaremba, Sutskever 2015, proceedings.mlr.press/v37/jozefowicz15
    - pytorch/pytorch#20102
    """

    code = "I403"
    name = "forget-bias"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.parameters:
            owner = parameter.owner
            if owner is None or not parameter.recurs:
                continue
            if "unit_forget_bias" not in owner.layer.__struct_fields__:
                continue
            place = evidence.path(layer, parameter)[:-1]
            prefix = parameter.path.rpartition("/")[0]
            bias = next((p for p in layer.parameters if p.path == f"{prefix}/bias"), None)
            if bias is None:
                yield self.finding(
                    evidence,
                    layer,
                    parameter,
                    message="the forget gate has no bias: each step keeps 0.5 of the cell state",
                    remedy="use_bias: true",
                    changes=[Change((*place, "use_bias"), True)],
                )
            elif (mean := _forget_mean(bias)) is not None and mean < _MIN_MEAN:
                remedy = "unit_forget_bias: true"
                change = Change((*place, "unit_forget_bias"), True)
                if owner.layer.unit_forget_bias:
                    # The default of another framework replaces that of Keras.
                    remedy = "bias_initializer: zeros, to which unit_forget_bias adds 1"
                    change = Change((*place, "bias_initializer"), "zeros")
                yield self.finding(
                    evidence,
                    layer,
                    bias,
                    message=(
                        f"the bias of the forget gate has mean {mean:.3g}: each step keeps "
                        f"{_kept(mean):.2g} of the cell state"
                    ),
                    remedy=remedy,
                    changes=[change],
                )


def _kept(bias: float) -> float:
    """The share of the cell state that a forget gate with that bias keeps at each step."""
    return 1 / (1 + math.exp(min(-bias, 700.0)))


def _forget_mean(bias: Parameter) -> float | None:
    """The mean of the forget gate's bias, which is the second quarter."""
    initializer = bias.initializer
    if isinstance(initializer, Joined) and len(initializer.parts) > 2:
        distribution = initializer.parts[1].distribution_for((initializer.sizes[1],))
    elif isinstance(initializer, Chrono):
        distribution = initializer.forget
    else:
        distribution = bias.distribution
    return None if distribution is None else distribution.mean
