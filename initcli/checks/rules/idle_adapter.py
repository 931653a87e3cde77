"""I605: adapters whose second matrix is still 0."""

from __future__ import annotations

import re
from collections.abc import Iterator

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values

_SECOND = re.compile(r"lora(_embedding)?[._](b|up)\b|lora_kernel_b\b|lora_embeddings_b\b", re.I)
"""Names of the matrix that starts at 0, in PEFT, diffusers, kohya and Keras."""


class IdleAdapter(ValueCheck):
    """The second matrix of a low-rank adapter is still 0.

    ## What it does
    Looks for a `lora_B` (also `lora.up`, `lora_kernel_b`) that is all zeros. It is an error if
    others of the same adapter were trained, and a single warning per file if all of them are 0.

    ## Why is this bad
    An adapter adds B · A to a weight, and B starts at 0, so the adapter changes nothing before the
    first step. A B that is still 0 was not trained, or was saved or loaded under the wrong name.

    ## Reported
    ```python
    rng = np.random.default_rng(0)
    for layer in "qv":
        tensors[f"{layer}.lora_A.weight"] = rng.uniform(-0.1, 0.1, (4, 64))
        tensors[f"{layer}.lora_B.weight"] = np.zeros((64, 4))
    tensors["q.lora_B.weight"] += rng.normal(0, 0.01, (64, 4))
    ```

    ## Not reported
    ```python
    rng = np.random.default_rng(0)
    for layer in "qv":
        tensors[f"{layer}.lora_A.weight"] = rng.uniform(-0.1, 0.1, (4, 64))
        tensors[f"{layer}.lora_B.weight"] = rng.normal(0, 0.01, (64, 4))
    ```

    ## Use instead
    An optimizer that updates the adapter's parameters, and names that the loader knows.

    ## References
    - Hu et al. 2021, LoRA, arXiv:2106.09685, section 4.1
    - Hugging Face peft #1402, adapters that were saved as they started
    """

    code = "I605"
    name = "idle-adapter"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        second = [each for each in values.tensors if _SECOND.search(each.path)]
        idle = [each for each in second if each.measured.zeros == each.measured.entries > 0]
        advice = "train it, or save and load the adapter under the names that the library expects"
        if idle and len(idle) == len(second):
            others = f" and {len(idle) - 1:,} others" if len(idle) > 1 else ""
            message = f"all values of {idle[0].path}{others} are 0: the adapter changes nothing"
            yield self.finding_of(values, idle[0], message, advice, severity="warning")
            return
        for each in idle:
            trained = f"{len(second) - len(idle):,} of {len(second):,} others are not"
            yield self.finding_of(
                values, each, f"all values of {each.path} are 0, and {trained}", advice
            )
