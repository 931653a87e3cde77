"""I608: stored values that follow another distribution than the declared one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values
from initcli.measuring.fit import fit
from initcli.types import TensorDtype

_SURE = 1e-6
"""Probability below which values do not follow their distribution: one true tensor in a million."""


class OtherDistribution(ValueCheck):
    """Stored values follow another distribution than the declared one.

    ## What it does
    Holds the stored values of a model against the distributions that it declares. Values that
    follow an initializer, but not the declared one, are reported with what they follow. Values that
    follow none are taken for trained.

    ## Why is this bad
    The file was not filled by the model's own initializers: a scale for residual branches was not
    applied, or another library or version wrote the weights.

    ## Reported
    ```python
    spec = "{input_shape: [64], layers: [{type: Dense, units: 64, kernel_initializer: he_normal}]}"
    tensors["dense/kernel"] = np.random.default_rng(0).normal(0, 0.02, (64, 64))
    ```

    ## Not reported
    ```python
    spec = "{input_shape: [64], layers: [{type: Dense, units: 64, kernel_initializer: uniform}]}"
    tensors["dense/kernel"] = np.random.default_rng(0).uniform(-0.05, 0.05, (64, 64))
    ```

    ## Use instead
    The initializer that the model declares, applied after the model is built.

    ## References
    - Hugging Face transformers #47458, projections without their residual scale
    - Massey 1951, The Kolmogorov-Smirnov test, doi:10.1080/01621459.1951.10500769
    """

    code = "I608"
    name = "other-distribution"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        trained = total = 0
        for tensor in values.tensors:
            declared, seen = tensor.declared, tensor.measured
            if declared is None or not declared.std or not tensor.is_float or not seen.count:
                continue
            total += 1
            copies = tensor.parameter.initializer.copies(tensor.parameter.shape)
            dtype = cast(TensorDtype, tensor.stored.dtype)
            if seen.min == seen.max or fit(declared, seen, dtype, copies).p_value >= _SURE:
                continue
            matches = values.looks_like(tensor).matches
            if not matches:
                trained += 1
                continue
            yield self.finding_of(
                values,
                tensor,
                f"{tensor.path} has std {seen.std:.3g}, declared {declared.std:.3g}: the values "
                f"follow {matches[0].rule}, not {declared.text}",
                "fill it with the initializer that the model declares, or declare this one",
            )
        if trained:
            values.notes.append(
                f"{trained:,} of {total:,} tensors with random initializers follow none any more: "
                "they are taken for trained"
            )
