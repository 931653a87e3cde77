"""I608: stored values that do not follow the declared distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

from initcli.checks.base import Finding
from initcli.checks.values import Held, ValueCheck, Values
from initcli.distributions import Distribution, Uniform
from initcli.measuring.fit import fit
from initcli.types import TensorDtype

_REMEDY = "fill it with the initializer that the model declares, or declare this one"
_FEWEST = 16
"""Minimum number of values that are not all equal by chance, or after one step."""
_ROUNDED = 2.0**-8
"""Relative error of a constant with 8 significant bits."""
_SURE = 1e-6
"""p-value below which values do not follow their distribution: one true tensor in a million."""


class OtherDistribution(ValueCheck):
    """Stored values follow another distribution than the declared one.

    ## What it does
    Compares the stored values of a model with the distributions that it declares. Reports values
    that follow a known initializer other than the declared one. Values that follow none are assumed
    to be trained. For a declared constant, reports only another constant and PyTorch's
    U(±1/√fan_in), because trained values may look like any other distribution.

    ## Why is this bad
    The model's own initializers did not fill the file: a scale for residual branches was not
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
            if declared is None or not tensor.is_float or not seen.count:
                continue
            if not declared.std:
                yield from self._other_constant(values, tensor, declared)
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
            message = (
                f"{tensor.path} has std {seen.std:.3g}, declared {declared.std:.3g}: the values "
                f"follow {matches[0].rule}, not {declared.text}"
            )
            yield self.finding_of(values, tensor, message, _REMEDY)
        if trained:
            values.notes.append(
                f"{trained:,} of {total:,} tensors with random initializers no longer follow any: "
                "they are assumed to be trained"
            )

    def _other_constant(
        self, values: Values, tensor: Held, declared: Distribution
    ) -> Iterator[Finding]:
        """The findings on a trainable tensor that is declared constant.

        The first step of some optimizers moves every value by the same amount, up or down.
        """
        seen, wanted = tensor.measured, declared.mean
        tolerance = abs(wanted) * _ROUNDED
        if not tensor.parameter.trainable or seen.count < _FEWEST:
            return
        if seen.min == seen.max:
            if abs(seen.min - wanted) > tolerance:
                message = f"all values of {tensor.path} are {seen.min:.4g}, declared {wanted:.4g}"
                yield self.finding_of(values, tensor, message, _REMEDY)
            return
        fans = [each.wired_fans for each in tensor.layer.parameters if each.is_summed]
        bounds = [1 / math.sqrt(each.fan_in) for each in fans if each is not None]
        for match in values.looks_like(tensor).matches:
            end = match.distribution.high if isinstance(match.distribution, Uniform) else 0.0
            if any(math.isclose(end, bound, rel_tol=_ROUNDED) for bound in bounds):
                message = (
                    f"{tensor.path} has std {seen.std:.3g}, declared {declared.text}: the values "
                    f"follow {match.rule}"
                )
                yield self.finding_of(values, tensor, message, _REMEDY)
                return
