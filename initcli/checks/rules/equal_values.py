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
    Looks for tensors whose values are all equal although the model declares random ones. Without a
    model, it looks at tensors with two or more axes whose name is not that of a bias, scale or
    mask; zeros are then a warning, because residual branches and last layers may start at 0.

    ## Why is this bad
    Units with equal weights compute the same outputs and get the same gradients. In a trained file,
    a tensor of zeros was never reached by a gradient, or never loaded.

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
    A random initializer, or a checkpoint that contains the tensor.

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
                fault += f"; {len(parts):,} parts of {tensor.path} are constant"
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
    """Whether all values of all chunks are equal."""
    first = next(chunks)
    return bool((first == first[0]).all()) and all((each == first[0]).all() for each in chunks)
