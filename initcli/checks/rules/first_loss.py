"""I209: a first loss far above that of uniform predictions."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.remedies import with_variance
from initcli.parameter import Parameter
from initcli.signal.figures import FirstLoss
from initcli.signal.first_loss import expected_loss, head_of, logit_variance
from initcli.signal.judgment import Judgment
from initcli.signal.theory import distribution_moments

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
        layer = evidence.owners[loss.layer]
        head = head_of(judgment.graph.program, evidence.steps_of[loss.layer][-1])
        rms = None if head is None else judgment.rms(head.inputs[0])
        variance = None if head is None or rms is None else logit_variance(head, rms * rms)
        if variance is not None:
            expected = expected_loss(loss.loss, loss.classes, variance)
        elif loss.measured is not None and not any(map(_is_shift, layer.parameters)):
            expected = loss.measured.median
        else:
            return
        if expected <= max(_RATIO * loss.knows_nothing, loss.knows_nothing + _EXCESS):
            return
        message = (
            f"the first loss is {expected:.3g}, but {loss.knows_nothing:.3g} for uniform "
            "predictions"
        )
        advice = "scale down the layer of the logits, or divide them by their standard deviation"
        moments = None if head is None else distribution_moments(head.parameters[0])
        if head is None or not variance or moments is None:
            yield self.finding(evidence, layer, message=message, remedy=advice)
            return
        kernel = head.parameters[0]
        yield self.finding(
            evidence,
            evidence.owners[head.name],
            kernel,
            message=f"{message}: logits have a standard deviation of {variance**0.5:.3g}",
            initializer=with_variance(kernel, moments.variance / variance),
            advice=advice,
        )


def _is_shift(parameter: Parameter) -> bool:
    """Whether a parameter is a bias that shifts the logits by a constant."""
    moments = distribution_moments(parameter)
    return not parameter.is_summed and moments is not None and moments.mean != 0
