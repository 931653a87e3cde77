"""I601: stored values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values
from initcli.errors import listed


class NotFinite(ValueCheck):
    """Stored values are NaN or infinite.

    ## What it does
    Counts the NaNs and infinities of every stored tensor. Masks may have infinities, and so may
    tensors that start with them, such as bounds.

    ## Why is this bad
    One NaN in a kernel makes every output and gradient NaN and, after one step, every weight. NaNs
    come from diverged training, from uninitialized memory, or from a conversion to a dtype with a
    smaller range.

    ## Reported
    ```python
    tensors["dense.weight"] = np.array([[0.5, np.nan], [0.25, np.inf]], np.float32)
    ```

    ## Not reported
    ```python
    tensors["dense.weight"] = np.array([[0.5, -0.5], [0.25, 0.125]], np.float32)
    ```

    ## Use instead
    A checkpoint from before the divergence, or a conversion to bfloat16 instead of float16.

    ## References
    - Hugging Face transformers #35437, weights that are NaN after loading
    - Micikevicius et al. 2018, Mixed precision training, arXiv:1710.03740
    """

    code = "I601"
    name = "not-finite"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        for tensor in values.tensors:
            seen = tensor.measured
            distribution = tensor.declared
            is_usual = "mask" in tensor.parameter.name or (
                distribution is not None and any(map(math.isinf, distribution.atoms))
            )
            infinite = 0 if is_usual else seen.infs
            counts = ((seen.nans, "NaN"), (infinite, "infinite"))
            shown = " and ".join(f"{count:,} are {what}" for count, what in counts if count)
            if shown:
                parts = tensor.parts(
                    lambda chunks: not all(np.isfinite(some).all() for some in chunks)
                )
                among = f", in {listed(parts[:3], 'and')}" if parts else ""
                yield self.finding_of(
                    values,
                    tensor,
                    f"of {seen.entries:,} values of {tensor.path}, {shown}{among}",
                    "use a checkpoint from before they appeared, or initialize the tensor again",
                )
