"""I209: a first loss far above that of uniform predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.remedies import scaled_by, with_variance
from initcli.parameter import Parameter
from initcli.signal.figures import FirstLoss
from initcli.signal.first_loss import expected_loss, normal_logits
from initcli.signal.graph import Graph
from initcli.signal.judgment import Judgment
from initcli.signal.logits import head_of
from initcli.signal.moments import distribution_moments
from initcli.signal.program import Step

_RATIO = 3.0
"""Maximum first loss, as a multiple of the loss of uniform predictions."""
_EXCESS = 1.0
"""Minimum excess over that loss, in nats, that is reported."""


class LargeFirstLoss(Check):
    """The first loss is far above that of uniform predictions.

    ## What it does
    For an output that ends in a softmax or a sigmoid, compares the expected loss before the first
    step with that of equal probabilities, the logarithm of the number of classes. Reports more than
    three times that loss, unless a larger problem of the signal is the cause. Constant biases, such
    as the prior of a rare class, do not count.

    ## Why is this bad
    Large random logits make the model confident of wrong classes. The first steps only shrink them,
    with gradients as large as the loss, so a learning rate that suits the rest of the training may
    diverge at the start.

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: he_normal}
      - type: Dense
        units: 10
        activation: softmax
        kernel_initializer: {type: RandomNormal, stddev: 3.0}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: he_normal}
      - type: Dense
        units: 10
        activation: softmax
        kernel_initializer: {type: RandomNormal, stddev: 0.1}
    ```

    ## Use instead
    A kernel that gives the logits variance 1. The remedy solves for it.

    ## References
    - Karpathy 2019, A recipe for training neural networks,
      karpathy.github.io/2019/04/25/recipe: "verify loss @ init"
    """

    code = "I209"
    name = "first-loss"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        if judgment is None or judgment.growths or judgment.residuals:
            return
        for loss in judgment.signal.losses:
            if loss.layer in evidence.owners:
                yield from self._judged(evidence, judgment, loss)

    def _judged(self, evidence: Evidence, judgment: Judgment, loss: FirstLoss) -> Iterator[Finding]:
        if loss.measured is not None and not _is_large(loss.measured.median, loss):
            return
        layer = evidence.owners[loss.layer]
        is_shifted = any(map(_is_shift, layer.parameters))
        known = evidence.predicted_losses.get(loss.layer, loss)
        if is_shifted and known.logit_std is not None:
            expected = expected_loss(loss.loss, loss.classes, normal_logits(known.logit_std))
        elif loss.measured is None or is_shifted:
            expected = known.predicted or 0.0
        else:
            expected = loss.measured.median
        if not _is_large(expected, loss):
            return
        message = (
            f"the first loss is {expected:.3g}, but {loss.knows_nothing:.3g} for uniform "
            "predictions"
        )
        advice = "scale down the layer of the logits, or divide them by their standard deviation"
        head = head_of(judgment.graph.program, evidence.steps_of[loss.layer][-1])
        kernel = None if head is None else head.step.parameters[0]
        moments = None if kernel is None else distribution_moments(kernel)
        if head is None or kernel is None or moments is None or not known.logit_std:
            yield self.finding(evidence, layer, message=message, remedy=advice)
            return
        message += f": logits have a standard deviation of {known.logit_std:.3g}"
        remedy = with_variance(kernel, moments.variance / known.logit_std**2)
        if known.own_logit is not None and known.own_logit > 0:
            message += f", and that of a position's own token is {known.own_logit:.3g}"
            factor = min(1 / known.logit_std, math.log(loss.classes) / known.own_logit)
            remedy = scaled_by(kernel, _of_table(judgment.graph, head.step, factor))
        owner = evidence.owners[head.step.name]
        yield self.finding(
            evidence, owner, kernel, message=message, initializer=remedy, advice=advice
        )


def _of_table(graph: Graph, head: Step, factor: float) -> float:
    """The factor on a table in reverse that gives its scores one."""
    calls = (each for each in graph.steps if each.name == head.name)
    rows = {tensor for call in calls for tensor in call.outputs}
    # With no normalization between, scores are products of the table with itself.
    return math.sqrt(factor) if rows & graph.sources[head.inputs[0]] else factor


def _is_large(value: float, loss: FirstLoss) -> bool:
    return value > max(_RATIO * loss.knows_nothing, loss.knows_nothing + _EXCESS)


def _is_shift(parameter: Parameter) -> bool:
    """Whether a parameter is a bias that shifts the logits by a constant."""
    moments = distribution_moments(parameter)
    return not parameter.is_summed and moments is not None and moments.mean != 0
