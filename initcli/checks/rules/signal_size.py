"""I202: a signal that vanishes or explodes in the forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.signal.judgment import Growth, Judgment
from initcli.signal.thresholds import ADAM_EPSILON


class SignalSize(Check):
    """The signal vanishes or explodes over the depth.

    ## What it does
    Compares the root mean square of the inputs of layers with that at the start of their stretch:
    the inputs of the model, the output of a normalization, or the vectors of an embedding; a
    normalization whose epsilon exceeds the mean square of its input starts no stretch. Reports
    growth by a factor of 1,000 and decay by 10,000, also if only the differences between examples
    shrink that much, as after a softmax. It is a warning if a single kernel causes the excess,
    because its gradients have the usual size and training corrects it. The signal is measured if
    that takes a few seconds at most, otherwise predicted from the distributions alone.

    ## Why is this bad
    The factors of the layers multiply over the depth. When the signal vanishes, the last layers
    cannot distinguish examples; when it explodes, the first loss and its gradients are huge.

    ## Reported
    ```yaml
    input_shape: [256]
    layers:
      - repeat: 30
        layers:
          - {type: Dense, units: 256, activation: relu, kernel_initializer: glorot_uniform}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [256]
    layers:
      - repeat: 20
        layers:
          - {type: Dense, units: 256, activation: relu, kernel_initializer: glorot_uniform}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    The scale that keeps the size at every layer. The remedy solves for it, including the effects of
    pooling, padding and sums.

    ## References
    - He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852: thirty ReLU layers
      stall with Glorot's initializer and converge with variance 2 / fan_in
    """

    code = "I202"
    name = "signal-size"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        for growth in judgment.growths if judgment is not None else ():
            assert judgment is not None
            if steps := judgment.mixing_steps(growth):
                yield self._finding(evidence, judgment, growth, steps)

    def _finding(
        self, evidence: Evidence, judgment: Judgment, growth: Growth, steps: list[int]
    ) -> Finding:
        ratio = growth.ratio
        index, _ = judgment.steepest(steps, ratio)
        layer = evidence.layer_of(index)
        by_one = judgment.is_by_one(steps, ratio)
        what, size = "the signal", "rms"
        if growth.between_examples:
            what, size = "the difference between examples", "of rms"
        message = (
            f"{what} {'vanishes' if ratio < 1 else 'explodes'} over {len(steps)} "
            f"layer{'s' * (len(steps) > 1)}: {size} {growth.before:.3g} becomes "
            f"{growth.after:.3g} ({judgment.basis})"
        )
        if 0 < ratio < math.inf and len(steps) > 1:
            message += f", {ratio ** (1 / len(steps)):.3g} times per layer"
        if by_one:
            message += f", nearly all of it at {layer.name}"
        message += "" if growth.between_examples else adam_may(ratio)
        rescaling = evidence.rescaled(steps)
        advice = "scale these kernels, or put a normalization between the layers"
        within = judgment.outweighed_within(growth)
        if within:
            advice = (
                f"the epsilon of {within[0]} is more than the mean square of its input: make the "
                "gammas or kernels before it larger, or epsilon smaller"
            )
        if rescaling.unstable:
            advice = rescaling.without_scale("the signal", "add a LayerNormalization to each")
        return self.finding(
            evidence,
            layer,
            rescaling.kernel_of(layer),
            others=[judgment.graph.steps[each].name for each in steps],
            message=message,
            remedy="" if rescaling.unstable else rescaling.text,
            advice=advice,
            changes=() if rescaling.unstable else rescaling.changes,
            severity="warning" if judgment.is_mended_by_one(growth) else None,
        )


def adam_may(ratio: float) -> str:
    """A remark on optimizers for a signal that changes by a ratio."""
    if ADAM_EPSILON < ratio < 1 / ADAM_EPSILON:
        return "; SGD rarely trains this; Adam may, because it normalizes gradients"
    return ""
