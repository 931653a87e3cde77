"""I607: kernels that are still initial in a trained file, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from initcli.checks.base import Finding
from initcli.checks.values import Held, ValueCheck, Values
from initcli.initializers import Orthogonal

_FEWEST = 1000
"""Values of a kernel that tell training from chance."""
_LEAST = 4
"""Kernels of a file that has a rest to compare with."""
_REST = 0.7
"""Share of the kernels that must be alike to be the rest."""


class PartlyTrained(ValueCheck):
    """A kernel is still initial while the rest of the file is trained, or the reverse.

    ## What it does
    Identifies the initializer of each kernel of 1,000 values or more. Where most follow none any
    more, it names those that exactly follow the rule of a framework; where most still do, those
    that have singular values beyond what random matrices have.

    ## Why is this bad
    A head that was drawn anew, in place of a weight that was not found, makes the outputs of a
    trained model random. A trained tensor in a fresh model was left over, or loaded by accident.

    ## Reported
    ```python
    rng = np.random.default_rng(0)
    for layer in range(5):
        low_rank = rng.normal(0, 0.3, (64, 2)) @ rng.normal(0, 0.3, (2, 64))
        tensors[f"layers.{layer}.weight"] = rng.normal(0, 0.05, (64, 64)) + low_rank
    tensors["head.weight"] = rng.uniform(-0.125, 0.125, (100, 64))
    ```

    ## Not reported
    ```python
    rng = np.random.default_rng(0)
    for layer in range(5):
        tensors[f"layers.{layer}.weight"] = rng.uniform(-0.125, 0.125, (64, 64))
    tensors["head.weight"] = rng.uniform(-0.125, 0.125, (100, 64))
    ```

    ## Use instead
    The checkpoint that has the head; training of all parameters that should learn.

    ## References
    - Hugging Face transformers documentation, "Some weights were newly initialized"
    - Marchenko, Pastur 1967, doi:10.1070/SM1967v001n04ABEH001994
    """

    code = "I607"
    name = "partly-trained"
    severity = "warning"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        kernels = [
            each for each in values.tensors if each.is_kernel and each.measured.count >= _FEWEST
        ]
        starts = [(each, _start(values, each)) for each in kernels]
        total = sum(start != "unknown" for _, start in starts)
        trained = sum(start in ("trained", "left") for _, start in starts)
        initial = total - trained
        if total < _LEAST:
            return
        for each, start in starts:
            if start == "initial" and trained >= _REST * total:
                rule = values.looks_like(each).matches[0].rule
                fault = f"still follows {rule}, and {trained:,} of {total:,} kernels are trained"
                remedy = "load the checkpoint that has it, or train it"
            elif start == "trained" and initial >= _REST * total:
                fault = f"is trained, and {initial:,} of {total:,} kernels are still initial"
                remedy = "start it as the others, or load the others too"
            else:
                continue
            yield self.finding_of(values, each, f"{each.path} {fault}", remedy)


def _start(values: Values, tensor: Held) -> Literal["initial", "left", "trained", "unknown"]:
    """Whether a kernel is still initial; "left" follows no rule, "trained" shows why."""
    answer = values.looks_like(tensor)
    if answer.matches:
        first = answer.matches[0]
        is_rule = first.framework is not None or isinstance(first.initializer, Orthogonal)
        return "initial" if is_rule else "unknown"
    if answer.kind == "trained":
        return "trained"
    return "left" if answer.kind == "unknown" else "unknown"
