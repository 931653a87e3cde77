"""I606: stored values far outside any initial distribution."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from initcli.checks.base import Finding
from initcli.checks.values import Held, ValueCheck, Values

_LARGEST = 1e6
"""Magnitude that no initializer draws and no weight of a working model has."""
_OUTLIER = 1e4
"""Magnitude in interquartile ranges; normally distributed values stay below 10."""
_SMALLEST = 2.0**-126
"""The smallest normal number of float32 and bfloat16."""
_MANY = 0.01
_SAMPLE = 1 << 16
_STATISTICS = re.compile(r"mask|running|moving|mean|var|num_batches|freq|scale|zeros", re.I)
"""Names of tensors that are not weights and may have any values."""


class ExtremeValues(ValueCheck):
    """Stored values are far outside any initial distribution.

    ## What it does
    Looks for finite values beyond ±10⁶, for values beyond 10,000 times the interquartile range, and
    for tensors with many subnormal values, below 1.2e-38. Masks, scales and running statistics are
    skipped.

    ## Why is this bad
    Uninitialized memory holds such values: 1e37 next to 1e-41. A single huge weight dominates its
    sums, overflows in half precision, and leads to NaN.

    ## Reported
    ```python
    rng = np.random.default_rng(0)
    tensors["dense.weight"] = rng.normal(0, 0.02, (16, 16)).astype(np.float32)
    tensors["dense.weight"][3, 5] = 1e37
    ```

    ## Not reported
    ```python
    tensors["dense.weight"] = np.random.default_rng(0).normal(0, 0.02, (16, 16))
    ```

    ## Use instead
    An initializer for every tensor, and loading code that reports missing tensors.

    ## References
    - Hugging Face transformers #28122, weights of 1e37 after loading
    - Hugging Face transformers #46620, tensors that are never initialized
    """

    code = "I606"
    name = "extreme-values"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        for tensor in values.tensors:
            if not tensor.is_float or not tensor.measured.count:
                continue
            if not _STATISTICS.search(tensor.parameter.name) and (fault := _fault(tensor)):
                yield self.finding_of(
                    values,
                    tensor,
                    f"{tensor.path} has {fault}",
                    "fill the tensor, or load the checkpoint that has it",
                )


def _fault(tensor: Held) -> str:
    """What is extreme about the values; "" if nothing is."""
    seen = tensor.measured
    largest = max(seen.min, seen.max, key=abs)
    if abs(largest) > _LARGEST:
        return f"a value of {largest:.4g}"
    if tensor.is_kernel and (spread := _spread(tensor)) and abs(largest) > _OUTLIER * spread:
        return f"a value of {largest:.4g}, and half of its values lie within {spread:.2g}"
    some = tensor.stored.read(0, min(tensor.stored.size, _SAMPLE))
    denormal = np.count_nonzero((some != 0) & (np.abs(some) < _SMALLEST))
    if denormal > _MANY * some.size:
        return f"{denormal:,} subnormal values among the first {some.size:,}"
    return ""


def _spread(tensor: Held) -> float:
    """The interquartile range, to the width of a bin; 0 if both quartiles are in one bin."""
    histogram = tensor.measured.histogram
    shares = np.cumsum(histogram.counts) / max(int(histogram.counts.sum()), 1)
    low, high = np.searchsorted(shares, (0.25, 0.75))
    return float(histogram.edges[high] - histogram.edges[low]) if high > low else 0.0
