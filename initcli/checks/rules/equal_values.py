"""I602: stored kernels whose values are all equal."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values
from initcli.errors import listed
from initcli.types import Array


class EqualValues(ValueCheck):
    """All stored values of a kernel are equal.

    ## What it does
    Looks for tensors that have one value throughout although the model declares random values, or,
    without a model, although they have two axes or more and are no bias, scale or mask by name.
    Zeros that no model declares are a warning: residual branches and last layers may start so.

    ## Why is this bad
    Units with equal weights compute the same and get the same gradients. Zeros in a file that was
    trained belong to a tensor that no gradient has reached or that was never loaded.

    ## Reported
    ```python
    tensors["dense.weight"] = np.full((8, 8), 0.02, np.float32)
    ```

    ## Not reported
    ```python
    tensors["dense.weight"] = np.random.default_rng(0).normal(0, 0.02, (8, 8))
    tensors["dense.bias"] = np.zeros(8)
    ```

    ## Use instead
    A random initializer, or a checkpoint in which the tensor was saved.

    ## References
    - Goodfellow, Bengio, Courville 2016, Deep Learning, section 8.4
    - Hugging Face transformers #46620, tensors that are never initialized
    """

    code = "I602"
    name = "equal-values"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        for tensor in values.tensors:
            seen = tensor.measured
            if not tensor.is_kernel or seen.count < 2:
                continue
            if seen.min == seen.max:
                fault = f"all {seen.count:,} values of {tensor.path} are {seen.min:.4g}"
            elif parts := tensor.parts(_are_equal):
                fault = f"{listed(parts[:3], 'and')}: all values are equal"
                fault += f"; {len(parts):,} parts of {tensor.path} are so"
            else:
                continue
            declared = "" if tensor.declared is None else f", declared {tensor.declared.text}"
            yield self.finding_of(
                values,
                tensor,
                fault + declared,
                "fill it with random values, or load the checkpoint that has it",
                severity="error" if seen.min or declared else "warning",
            )


def _are_equal(chunks: Iterator[Array]) -> bool:
    """Whether all values of all chunks are the first."""
    first = next(chunks)
    return bool((first == first[0]).all()) and all((each == first[0]).all() for each in chunks)
