"""I403: LSTMs whose forget gate starts half closed."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.documents.edit import Change
from initcli.initializers import Chrono, Joined
from initcli.layers import cells, conv_lstm
from initcli.model import BuiltLayer
from initcli.parameter import Parameter

_LEAST = 0.5
"""The mean of a forget gate's bias from which on the gate is open."""


class ForgetBias(Check):
    """An LSTM without a positive bias for its forget gate.

    At every step the forget gate multiplies what the cell remembers by sigmoid(bias + …). With a
    bias of 0 that is about one half: after ten steps a thousandth is left, of the memory and of the
    gradient that leads back to it. With a bias of 1 it is 0.73, and training can open the gate
    further from there.

    Keras adds 1 by itself (`unit_forget_bias`). PyTorch and Flax do not, and it is lost where a
    layer has no bias at all. Many LSTMs train without it on short sequences; hence a warning.
    """

    code = "I403"
    name = "forget-bias"
    severity = "warning"
    why = (
        "a forget gate that starts at 1/2 loses the gradient within a few steps "
        "(Jozefowicz et al. 2015, proceedings.mlr.press/v37/jozefowicz15; pytorch/pytorch#20102)"
    )
    triggers = """\
input_shape: [32, 8]
layers:
  - {type: LSTM, units: 64, unit_forget_bias: false}
"""
    passes = """\
input_shape: [32, 8]
layers:
  - {type: LSTM, units: 64}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            owner = parameter.owner
            if owner is None or parameter.argument != "recurrent_initializer":
                continue
            inner = owner.layer
            if not isinstance(inner, cells.LSTMWeights | conv_lstm.ConvLSTM):
                continue
            prefix = parameter.path.rpartition("/")[0]
            bias = next((p for p in layer.parameters if p.path == f"{prefix}/bias"), None)
            if bias is None:
                yield self._without(evidence, layer, parameter)
            elif (mean := _forget_mean(bias)) is not None and mean < _LEAST:
                yield self._closed(evidence, layer, bias, mean)

    @staticmethod
    def _without(evidence: Evidence, layer: BuiltLayer, kernel: Parameter) -> Problem:
        place = evidence.path(layer, kernel)[:-1]
        return evidence.problem(
            layer,
            kernel,
            message="the forget gate has no bias: it lets half of the memory through at a step",
            remedy="use_bias: true",
            changes=[Change((*place, "use_bias"), True)],
        )

    @staticmethod
    def _closed(evidence: Evidence, layer: BuiltLayer, bias: Parameter, mean: float) -> Problem:
        place = evidence.path(layer, bias)[:-1]
        if bias.owner is not None and bias.owner.layer.unit_forget_bias:
            # A framework's default has taken the place of Keras's.
            change = Change((*place, "bias_initializer"), "zeros")
            remedy = "bias_initializer: zeros, to which unit_forget_bias adds 1 for that gate"
        else:
            change = Change((*place, "unit_forget_bias"), True)
            remedy = "unit_forget_bias: true"
        return evidence.problem(
            layer,
            bias,
            message=f"the bias of the forget gate has mean {mean:.3g}, which halves the memory",
            remedy=remedy,
            changes=[change],
        )


def _forget_mean(bias: Parameter) -> float | None:
    """The mean of the second quarter, that of the forget gate."""
    initializer = bias.initializer
    if isinstance(initializer, Joined) and len(initializer.parts) > 2:
        distribution = initializer.parts[1].distribution_for((initializer.sizes[1],))
    elif isinstance(initializer, Chrono):
        distribution = initializer.forget
    else:
        distribution = bias.distribution
    return None if distribution is None else distribution.mean
