"""I501: tensors that nothing writes to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.initializers.given import Parts, Uninitialized


class UninitializedTensor(Check):
    """Nothing writes to a tensor before training.

    ## What it does
    Tracks all writes of a PyTorch model's code to each parameter and buffer, from `torch.empty` to
    the end of the construction, and names the line that allocated memory which is never written to.
    In specs and files every tensor has an initializer.

    ## Why is this bad
    The tensor contains whatever was in memory before: zeros on one machine, garbage or NaN on the
    next. It is most common in models that are built on the meta device and materialized later.

    ## Reported
    ```python
    class Scale(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.empty(width))
    ```

    ## Not reported
    ```python
    class Scale(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(width))
    ```

    ## Use instead
    Fill the tensor where it is created, or in `reset_parameters`.

    ## References
    - Hugging Face transformers #46620, parameters that no `_init_weights` reaches
    - PyTorch documentation, torch.empty: "a tensor filled with uninitialized data"
    """

    code = "I501"
    name = "uninitialized"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.parameters:
            initializer = parameter.initializer
            boxes = initializer.visible if isinstance(initializer, Parts) else ()
            is_whole, parts = not boxes, [box.initializer for box in boxes] or [initializer]
            part = next((each for each in parts if isinstance(each, Uninitialized)), None)
            if part is not None:
                some = "" if is_whole else "a part of "
                finding = self.finding(
                    evidence,
                    layer,
                    parameter,
                    message=f"{part.function} writes nothing to {some}{parameter.path}",
                    remedy="fill it where it is created, for example with torch.nn.init.normal_",
                )
                yield msgspec.structs.replace(finding, file=part.file, line=part.line)
